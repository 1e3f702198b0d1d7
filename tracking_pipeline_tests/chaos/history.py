"""What happened in one scenario, as the checker reads it: the database's side and the sinks' own.

All times are seconds of the scenario's clock, which goes on by itself and is moved forward when the
scenario lets time pass. Everything is a plain value, so that a test can falsify any of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Planned:
    """One event that was put into a queue. ``refused``: nobody will ever accept it. ``is_kept``:
    its row stays when it is delivered, as a failed event's does."""

    row: str
    event_id: str
    destination: str
    refused: bool = False
    is_kept: bool = True


@dataclass(frozen=True)
class Row:
    """One event as its table has it at the end; ``is_delivered`` by us."""

    row: str
    event_id: str
    destination: str
    status: str
    is_delivered: bool = False
    retry_count: int = 0
    max_retries: int = 5
    is_leased: bool = False
    replays: int = 0


@dataclass(frozen=True)
class Version:
    """One state that a row was in, in the order of the states."""

    at: float
    row: str
    destination: str
    status: str | None
    lease_token: int
    retry_count: int = 0
    next_retry_at: float | None = None
    lease_expires_at: float | None = None


@dataclass(frozen=True)
class Standing:
    """One state that a destination was in."""

    at: float
    destination: str
    state: str
    not_before: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One row of the attempt log."""

    at: float
    row: str
    event_id: str
    outcome: str
    requests: int
    lease_token: int


@dataclass(frozen=True)
class Request:
    """One request that a sink received. ``accepted``: it has the events now. ``told``: its answer
    says so, and was sent."""

    at: float
    destination: str
    event_ids: tuple[str, ...]
    answer: str
    accepted: bool = False
    told: bool = True


@dataclass(frozen=True)
class AskedWait:
    """What an answer of the sink (its status) asked for, in seconds."""

    destination: str
    answer: str
    seconds: float


@dataclass(frozen=True)
class Owed:
    """One row of the outbox of alerts; ``key`` names the episode and what is told of it."""

    key: str
    alert_type: str
    kind: str
    channel: str
    title: str
    is_sent: bool


@dataclass(frozen=True)
class Alert:
    """One episode of an alert that was recorded."""

    alert_type: str
    is_over: bool


@dataclass(frozen=True)
class Rate:
    """How fast healthy work went beside the fault, as a share of its speed without it; ``lag`` is
    the same of the 99th percentile of how long an event waited."""

    what: str
    share: float
    lag: float


@dataclass(frozen=True)
class Replay:
    """What a dry run foresaw, what the replay did, and what a second one did; in events."""

    foreseen: int
    replayed: int
    again: int
    events_per_minute: float


@dataclass(frozen=True)
class History:
    """One scenario.

    ``doubtful_events`` bounds how many deliveries nobody could know of: what killed workers held,
    and what was on connections that were broken. ``unreachable`` destinations are those whose
    requests the fault kept from the sink. ``revived`` counts workers that went on after they had
    lost their leases. ``paces`` are the caps set, in requests a second, and ``recovered_at`` when
    an outage ended. ``messages`` is the log of the alerts' channel. ``texts`` is what was written
    for people; ``secrets`` what must not be in it.
    """

    planned: Sequence[Planned]
    rows: Sequence[Row]
    versions: Sequence[Version] = ()
    standings: Sequence[Standing] = ()
    attempts: Sequence[Attempt] = ()
    requests: Sequence[Request] = ()
    ledger: Mapping[str, int] = field(default_factory=dict)
    stale_settles: int = 0
    at_rest: bool = True
    doubtful_events: int = 0
    unreachable: frozenset[str] = frozenset()
    revived: int = 0
    asked_waits: Sequence[AskedWait] = ()
    request_events: Mapping[str, int] = field(default_factory=dict)
    paces: Mapping[str, float] = field(default_factory=dict)
    recovered_at: float | None = None
    rates: Sequence[Rate] = ()
    is_snapshot_held: bool = False
    alerts: Sequence[Alert] = ()
    outbox: Sequence[Owed] = ()
    messages: Sequence[str] | None = None
    notifiers_killed: int = 0
    replays: Sequence[Replay] = ()
    texts: Sequence[str] = ()
    secrets: Sequence[str] = ()
    sink_violations: Sequence[str] = ()

    @cached_property
    def versions_of(self) -> Mapping[str, Sequence[Version]]:
        found: dict[str, list[Version]] = defaultdict(list)
        for version in self.versions:
            found[version.row].append(version)
        return found

    @cached_property
    def attempts_of(self) -> Mapping[str, Sequence[Attempt]]:
        found: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            found[attempt.row].append(attempt)
        return found

    @cached_property
    def row_of(self) -> Mapping[str, Row]:
        return {row.row: row for row in self.rows}

    @cached_property
    def carried(self) -> Mapping[tuple[str, str], int]:
        """How many requests carried an event to a destination, by the sink's log."""
        return self._count(lambda request: True)

    @cached_property
    def accepted(self) -> Mapping[tuple[str, str], int]:
        """How often the sink accepted it; the ledger is a sink of its own."""
        counted = self._count(lambda request: request.accepted)
        counted.update({("supabase", event): count for event, count in self.ledger.items()})
        return counted

    @cached_property
    def untold(self) -> Mapping[tuple[str, str], int]:
        """How often it was accepted by an answer that did not say so."""
        return self._count(lambda request: request.accepted and not request.told)

    def _count(self, counts: Callable[[Request], bool]) -> Counter[tuple[str, str]]:
        return Counter(
            (request.destination, event)
            for request in self.requests
            if counts(request)
            for event in request.event_ids
        )

    def claims(self) -> Iterator[tuple[Version | None, Version]]:
        """Every claim, with the state of the row before it."""
        for versions in self.versions_of.values():
            for before, version in zip([None, *versions], versions, strict=False):
                is_newer = before is None or version.lease_token > before.lease_token
                if is_newer and version.lease_expires_at is not None:
                    yield before, version

    def standing_at(self, destination: str, at: float) -> Standing | None:
        found = [s for s in self.standings if s.destination == destination and s.at <= at]
        return found[-1] if found else None
