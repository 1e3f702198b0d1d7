"""What one run did, as numbers: one frozen value for the run, a part of it a destination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.failures import Failure, remedy_of
from tracking_pipeline.store.failed_events import WARNINGS_BETWEEN, Settlement

NUMBERS = (
    "processed",
    "resolved",
    "failed",
    "dead_lettered",
    "throttled",
    "paused",
    "withheld",
    "postponed",
    "duplicates",
    "warned",
    "unmatched",
    "requests",
    "stale_settles",
    "waiting",
    "refused_later",
    "requeued_later",
    "accepted_delivered",
    "accepted_waiting",
)
"""What every run counts, in the order in which it is told."""

UNREADABLE = "unreadable"
"""What a reason begins with that names a field which is there and cannot be read."""

_MOST_KINDS_OF_ERROR = 200
_MOST_TOP_ERRORS = 20


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often one kind of failure was met. ``reason`` holds no values of events; ``failure`` is
    the public code."""

    destination: str
    outcome: str
    reason: str
    count: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """So many events of one destination have one reason in common. It holds no values of events."""

    destination: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class DestinationTotals:
    """One destination in one run, in events.

    ``processed`` = resolved + failed + dead_lettered. ``throttled`` and ``paused`` events were left
    waiting for the destination's sake and spent nothing. ``withheld`` events are settled without
    being sent and are no failures, ``postponed`` ones wait for their own time: neither was
    processed. ``refused_later`` and ``requeued_later``
    count events that an earlier run delivered and that the destination refused afterwards.
    ``warned`` and ``unmatched`` events are delivered: the destination ignores a part of the first,
    and took the second without finding a click or a person of its own for them. What it tells of an
    earlier run's events is counted in the run that asks.
    ``waiting`` is what was left in the queue that this run would have taken. ``state`` says how the
    destination stood at the end, ``failure`` the public code of what paused it.

    Accepted events are counted apart as long as they are no failed events: ``accepted_delivered``
    at their first attempt, ``accepted_waiting`` for it. One whose first attempt fails is a failed
    event from then on, and counts as ``failed`` or ``dead_lettered``. One that is withheld or
    postponed becomes a row among the failed events, too.
    """

    state: str = "ok"
    detail: str = ""
    failure: str = ""
    resolved: int = 0
    failed: int = 0
    dead_lettered: int = 0
    throttled: int = 0
    paused: int = 0
    withheld: int = 0
    postponed: int = 0
    duplicates: int = 0
    duplicate_conversions: int = 0
    warned: int = 0
    unmatched: int = 0
    requests: int = 0
    stale_settles: int = 0
    waiting: int = 0
    refused_later: int = 0
    requeued_later: int = 0
    accepted_delivered: int = 0
    accepted_waiting: int = 0

    @property
    def processed(self) -> int:
        return self.resolved + self.failed + self.dead_lettered

    def as_json(self) -> dict[str, Any]:
        remedy = remedy_of(self.failure) or ""
        return {"processed": self.processed, **asdict(self), "remedy": remedy}


def _as_rows(dropped: dict[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    """A JSON object has no pairs for keys."""
    return [(key, reason, count) for (key, reason), count in dropped.items()]


def _from_rows(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    return {(key, reason): count for key, reason, count in given}


@dataclass(frozen=True, slots=True)
class RetryTotals:
    """One retry run. ``stopped_reason`` is ``drained``, ``time_budget``, or ``held`` where a
    destination is paused or throttled; ``dropped`` counts match keys that could not be used, by
    (key, reason); ``unreadable`` counts fields that are there and cannot be read, by where they
    stand: a handler writes rubbish into them."""

    by_destination: dict[DestinationName, DestinationTotals] = field(default_factory=dict)
    errors: tuple[ErrorCount, ...] = ()
    withheld: tuple[ReasonCount, ...] = ()
    warned: tuple[ReasonCount, ...] = ()
    unmatched: tuple[ReasonCount, ...] = ()
    dropped: Annotated[
        dict[tuple[str, str], int], PlainSerializer(_as_rows), BeforeValidator(_from_rows)
    ] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stopped_reason: str = "drained"
    dry_run: bool = False

    def total(self, name: str) -> int:
        """The sum of one number over the destinations."""
        return sum(getattr(totals, name) for totals in self.by_destination.values())

    def unreadable_fields(self) -> list[dict[str, Any]]:
        """The unreadable fields as rows, the most frequent first."""
        counted = sorted(self.unreadable.items(), key=lambda each: (-each[1], each[0]))
        return [{"field": name, "count": count} for name, count in counted]

    def as_json(self) -> dict[str, Any]:
        """The command line's and the API's answer."""
        return {
            "success": True,
            **{name: self.total(name) for name in NUMBERS},
            "duplicate_conversion": self.total("duplicate_conversions"),
            "by_destination": {
                name: totals.as_json() for name, totals in self.by_destination.items()
            },
            "top_errors": [asdict(error) for error in self.errors],
            "withheld_by_reason": [asdict(each) for each in self.withheld],
            "warned_by_kind": [asdict(each) for each in self.warned],
            "unmatched_by_reason": [asdict(each) for each in self.unmatched],
            "dropped_match_keys": [
                {"key": key, "reason": reason, "count": count}
                for (key, reason), count in sorted(self.dropped.items())
            ],
            "unreadable_fields": self.unreadable_fields(),
            "seconds": round(self.seconds, 3),
            "stopped_reason": self.stopped_reason,
            "dry_run": self.dry_run,
        }


class Tally:
    """The running count of one destination while a drain is on. Not shared between threads."""

    def __init__(
        self, destination: DestinationName, *, state: str = "ok", detail: str = ""
    ) -> None:
        self.destination = destination
        self.state = state
        self.detail = detail
        self.failure: Failure | None = None
        self.numbers: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str, str]] = Counter()
        self.withheld: Counter[str] = Counter()
        self.warned: Counter[str] = Counter()
        self.unmatched: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.unreadable: Counter[str] = Counter()

    def count_dropped(self, dropped: Iterable[tuple[str, str]]) -> None:
        """Counts what was left out of an event: (match key or field, why)."""
        for name, reason in dropped:
            if reason == UNREADABLE:
                self._count_unreadable(name)
            else:
                self.dropped[name, reason] += 1

    def _count_unreadable(self, name: str) -> None:
        # Bounded: the places in payloads are the site's own.
        if name in self.unreadable or len(self.unreadable) < _MOST_KINDS_OF_ERROR:
            self.unreadable[name] += 1

    def count(self, settlement: Settlement, delivered_number: str = "resolved") -> None:
        """Counts a settlement that was applied; a delivery as one of ``delivered_number``."""
        if settlement.outcome == "withheld":
            self.numbers["withheld"] += 1
            _count_reason(self.withheld, settlement.withheld_reason or "")
            return
        if settlement.outcome == "postponed":
            self.numbers["postponed"] += 1
            return
        if settlement.status == "resolved":
            self.numbers[delivered_number] += 1
        elif settlement.status is not None:
            self.numbers[_NUMBER_OF_STATUS[settlement.status]] += 1
        if settlement.duplicate is not None:
            self.numbers[_NUMBER_OF_DUPLICATE[settlement.duplicate]] += 1
        if settlement.warning:
            self.numbers["warned"] += 1
            for kind in settlement.warning.split(WARNINGS_BETWEEN):
                _count_reason(self.warned, kind)
        reason = settlement.dead_letter_reason or ""
        if reason.startswith(f"{UNREADABLE} "):
            self._count_unreadable(reason.removeprefix(f"{UNREADABLE} "))
        if settlement.outcome != "delivered":
            code = settlement.failure_code or ""
            self.count_error(settlement.outcome, _reason(settlement), failure=code)

    def count_error(self, outcome: str, reason: str, count: int = 1, *, failure: str = "") -> None:
        key = (outcome, reason, failure)
        # Bounded: a hostile destination could answer every request with another code.
        if key in self.errors or len(self.errors) < _MOST_KINDS_OF_ERROR:
            self.errors[key] += count

    def count_later(self, *, warned: Mapping[str, int], unmatched: Mapping[str, int]) -> None:
        """Counts what the destination tells of events that were delivered earlier, by reason."""
        for number, told in (("warned", warned), ("unmatched", unmatched)):
            self.numbers[number] += sum(told.values())
            for reason, count in told.items():
                _count_reason(getattr(self, number), reason, count)

    def frozen(self) -> DestinationTotals:
        failure = self.failure if self.state in ("paused", "probing") else None
        return DestinationTotals(
            state=self.state,
            detail=self.detail,
            failure=failure.code if failure else "",
            **self.numbers,
        )


def _count_reason(counted: Counter[str], reason: str, count: int = 1) -> None:
    if reason in counted or len(counted) < _MOST_KINDS_OF_ERROR:
        counted[reason] += count


_NUMBER_OF_STATUS = {"retrying": "failed", "dead_letter": "dead_lettered"}
_NUMBER_OF_DUPLICATE = {"event": "duplicates", "conversion": "duplicate_conversions"}


def _reason(settlement: Settlement) -> str:
    """In words, each said once: a message or a reason often has the code in it."""
    parts: list[str] = []
    for part in (settlement.dead_letter_reason, settlement.error_message, settlement.error_code):
        if part and not any(part in said for said in parts):
            parts.append(part)
    return " · ".join(parts)


def totals_of(
    tallies: list[Tally], *, seconds: float, stopped_reason: str, dry_run: bool = False
) -> RetryTotals:
    """The run's totals from the tallies of its destinations."""
    errors = [
        ErrorCount(tally.destination, outcome, reason, count, failure)
        for tally in tallies
        for (outcome, reason, failure), count in tally.errors.items()
    ]
    errors.sort(key=lambda error: (-error.count, error.destination, error.reason))
    dropped: Counter[tuple[str, str]] = Counter()
    unreadable: Counter[str] = Counter()
    for tally in tallies:
        dropped.update(tally.dropped)
        unreadable.update(tally.unreadable)
    return RetryTotals(
        by_destination={tally.destination: tally.frozen() for tally in tallies},
        errors=tuple(errors[:_MOST_TOP_ERRORS]),
        withheld=_most_frequent({tally.destination: tally.withheld for tally in tallies}),
        warned=_most_frequent({tally.destination: tally.warned for tally in tallies}),
        unmatched=_most_frequent({tally.destination: tally.unmatched for tally in tallies}),
        dropped=dict(dropped),
        unreadable=dict(unreadable),
        seconds=seconds,
        stopped_reason=stopped_reason,
        dry_run=dry_run,
    )


def _most_frequent(counted: Mapping[str, Counter[str]]) -> tuple[ReasonCount, ...]:
    """What was counted by destination and reason, the most frequent first."""
    found = [
        ReasonCount(destination, reason, count)
        for destination, reasons in counted.items()
        for reason, count in reasons.items()
    ]
    found.sort(key=lambda each: (-each.count, each.destination, each.reason))
    return tuple(found[:_MOST_TOP_ERRORS])
