"""What would become of a stored event, and why: each destination is asked as a drain asks it.

Nothing is sent and nothing is changed. What is read is ``events/explain.py``'s to say, what a
destination makes of it is said by its own ``prepare``. The rest is what the tables have: the row's
state and its attempts in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

import orjson
import psycopg

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.destinations.registry import STORES
from tracking_pipeline.delivery.engine.breaker import told_reason
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured, prepare
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared, event_of
from tracking_pipeline.delivery.engine.outcomes import NotSent, Postponed, Rejected
from tracking_pipeline.delivery.engine.readiness import latest_of_lead
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.failures import remedy_of
from tracking_pipeline.events.explain import (
    PayloadExplained,
    ReadingRules,
    StatementSeen,
    explain_payload,
)
from tracking_pipeline.events.masking import match_keys_in, shown_body, told
from tracking_pipeline.events.texts import id_text
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.explain import (
    MOST_EVENTS,
    Attempt,
    StoredEvent,
    find_by_ids,
    find_by_text,
    read_attempts,
    read_attempts_of_recorded,
)

Made = Destination | NotConfigured
OutcomeSeen = Literal["would_be_sent", "withheld", "rejected", "postponed", "not_configured"]
_LEDGER_TABLE = "wm_event_log"


@dataclass(frozen=True, slots=True)
class DroppedKey:
    """Values of one match key (or parameter) that were there and could not be used."""

    key: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class DestinationSeen:
    """What one destination makes of the event now. ``own``: the row is this destination's.

    ``reason`` is what the row would be counted by, ``message`` what the log of attempts would say,
    ``failure`` the public code of that, ``remedy`` what to do about it.
    ``match_keys`` are those in ``body``, by Meta's names. ``body`` is what a request carries for
    the event, ``shared`` what it says once for all of its events; both as they are prepared, with
    personal data masked. ``held``: why the destination takes nothing at present, empty where it
    does.
    """

    name: str
    own: bool
    outcome: OutcomeSeen
    reason: str = ""
    message: str = ""
    until: datetime | None = None
    held: str = ""
    failure: str = ""
    remedy: str = ""
    match_keys: tuple[str, ...] = ()
    dropped: tuple[DroppedKey, ...] = ()
    body: Any = None
    shared: Any = None


@dataclass(frozen=True, slots=True)
class RowSeen:
    """Where the event stands: a row of a table, or a line of a file. ``status`` is a failed event's
    own, ``withheld``, ``accepted`` (waits for its first attempt), ``recorded`` (in the ledger) or
    ``file``. ``being_sent``: a worker holds it just now. ``failure`` is the public code of its last
    failure, ``remedy`` what to do about it."""

    table: str
    id: str | None
    line: int | None
    destination: str | None
    event_id: str
    lead_id: str | None
    status: str
    retry_count: int
    max_retries: int
    next_retry_at: datetime | None
    being_sent: bool
    created_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    reason: str | None
    error: str | None
    error_code: str | None
    http_status: int | None
    replays: int
    failure: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """One try: when, at which destination, and what came of it. ``failure`` is the public code,
    ``code`` the platform's own; ``platform_message`` its words for people, ``trace_id`` what its
    support finds the request by, ``field_path`` what it objects to."""

    at: datetime
    destination: str
    attempt: int
    outcome: str
    code: str | None
    message: str | None
    http_status: int | None
    failure: str | None
    platform_message: str | None
    trace_id: str | None
    field_path: str | None
    requests: int
    duration_ms: int | None
    worker: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class EventExplained(PayloadExplained):
    """One event: where it stands, what is read from it, what each destination makes of it, and its
    attempts, the oldest first (the newest hundred). ``lead_consent``: the newest that the site
    keeps of the lead, by purpose."""

    row: RowSeen
    lead_consent: dict[str, StatementSeen]
    destinations: tuple[DestinationSeen, ...]
    attempts: tuple[AttemptSeen, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All events that were found, the newest first. ``more``: there are others. ``all_searched``
    False: order ids were looked for in the newest rows only."""

    events: tuple[EventExplained, ...]
    more: bool = False
    all_searched: bool = True

    def as_json(self, *, rehearsal: bool) -> dict[str, Any]:
        """The command's JSON, and the API's. ``rehearsal``: whose destinations were asked."""
        return {
            "success": True,
            "events": [asdict(event) for event in self.events],
            "more": self.more,
            "all_searched": self.all_searched,
            "rehearsal": rehearsal,
        }


def explain_event(
    event: FailedEvent,
    destinations: Sequence[Made],
    rules: ReadingRules,
    row: RowSeen,
    *,
    place_sources: Mapping[str, str] | None = None,
    states: Mapping[str, DestinationState] | None = None,
    attempts: Sequence[Attempt] = (),
) -> EventExplained:
    """What is read from the event and what each of ``destinations`` makes of it. ``states`` says
    which of them take nothing at present."""
    read = explain_payload(event, rules, place_sources)
    latest = latest_of_lead(event.statements, rules.policy)
    return EventExplained(
        **{each.name: getattr(read, each.name) for each in fields(read)},
        row=row,
        lead_consent={
            purpose.value: StatementSeen(statement.said.value, statement.path)
            for purpose, statement in latest.items()
        },
        destinations=tuple(
            _asked(each, event, row, (states or {}).get(each.name)) for each in destinations
        ),
        attempts=tuple(map(_attempt, attempts)),
    )


def _asked(
    destination: Made, event: FailedEvent, row: RowSeen, state: DestinationState | None
) -> DestinationSeen:
    name, own = destination.name, destination.name == row.destination
    if isinstance(destination, NotConfigured):
        return DestinationSeen(name, own, "not_configured", message=destination.missing)
    held = _held(state)
    made = prepare(destination, event)
    if not isinstance(made, Prepared):
        return _not_sent(name, own, made, held)
    body, shared = orjson.loads(made.body), orjson.loads(made.shared) if made.shared else None
    # The visitor of a container's list stands in each of its events too.
    shared = shared if isinstance(shared, dict) else None
    return DestinationSeen(
        name,
        own,
        "would_be_sent",
        held=held,
        match_keys=tuple(match_keys_in([body, shared])),
        dropped=tuple(
            DroppedKey(key, reason, count) for (key, reason), count in Counter(made.dropped).items()
        ),
        body=shown_body(body),
        shared=shown_body(shared),
    )


def _not_sent(name: str, own: bool, made: NotSent, held: str) -> DestinationSeen:
    failure = made.fault.failure
    seen = partial(
        DestinationSeen,
        name=name,
        own=own,
        message=redact(made.fault.message),
        held=held,
        failure=failure.code,
        remedy=failure.remedy,
    )
    if isinstance(made, Postponed):
        return seen(outcome="postponed", until=made.until)
    outcome: OutcomeSeen = "rejected" if isinstance(made, Rejected) else "withheld"
    return seen(outcome=outcome, reason=redact(made.reason))


def retries_words(retry_count: int, max_retries: int) -> str:
    """As in "3 of 5"; the retries of a destination's horizon come on top."""
    beyond = retry_count - max_retries
    if beyond <= 0:
        return f"{retry_count} of {max_retries}"
    return f"{retry_count} (the usual {max_retries}, and {beyond} up to the horizon)"


def why_not(reason: str, message: str) -> str:
    """Why an event is not sent, for people: the words of its outcome, once."""
    return message if message.startswith(reason) else f"{reason}: {message}"


def _held(state: DestinationState | None) -> str:
    """Why a destination takes nothing at present."""
    if state is None:
        return ""
    if state.state != "closed":
        reason = told_reason(state.failure_code, state.reason or "no reason on record")
        return redact(f"paused: {reason}")
    if state.throttled_seconds > 0:
        return f"throttled for {state.throttled_seconds:.0f} s"
    return ""


def _attempt(found: Attempt) -> AttemptSeen:
    return AttemptSeen(
        at=found.attempted_at,
        destination=found.destination,
        attempt=found.attempt,
        outcome=found.outcome,
        code=found.error_code and redact(found.error_code),
        message=found.error_message and redact(found.error_message),
        http_status=found.http_status,
        failure=found.failure_code,
        platform_message=found.platform_message and redact(found.platform_message),
        trace_id=found.trace_id,
        field_path=found.field_path,
        requests=found.requests,
        duration_ms=found.duration_ms,
        worker=found.worker,
        run_id=found.run_id,
    )


# -- by id --------------------------------------------------------------------------------------


def explain_id(
    connection: psycopg.Connection[Any],
    wanted: str,
    destinations: Sequence[Made],
    rules: ReadingRules,
) -> Explanation:
    """The events that ``wanted`` names: a row's id, an event's id (any text), an order's id or a
    lead's. Reads one moment and changes nothing; the search for an order is bounded in rows and
    time. Raises psycopg errors."""
    text = (id_text(wanted) or "").strip()
    if not text:
        return Explanation(())
    with one_moment(connection) as now:
        states = read_destination_states(connection)
        stored = find_by_ids(connection, [ledger_event_id(text)])
    searched = None if stored and _is_uuid(text) else find_by_text(connection, text)
    known = {each.key for each in stored}
    others = [each for each in (searched.events if searched else ()) if each.key not in known]
    attempts = read_attempts(connection, [*stored, *others])
    queued = [each.row["id"] for each in stored if each.table != _LEDGER_TABLE]
    for each in stored:
        if each.table == _LEDGER_TABLE:
            attempts[each.key] = read_attempts_of_recorded(connection, each, queued)

    def explained(each: StoredEvent) -> EventExplained:
        return _explained(
            each, destinations, rules, now=now, states=states, attempts=attempts.get(each.key, ())
        )

    found = [explained(each) for each in stored]
    found += [made for each in others if _names(made := explained(each), text)]
    found.sort(key=_newest_first, reverse=True)
    return Explanation(
        tuple(found[:MOST_EVENTS]),
        more=len(found) > MOST_EVENTS,
        all_searched=bool(stored) or (searched is not None and not searched.cut_short),
    )


def _names(made: EventExplained, text: str) -> bool:
    """Whether the very reader takes the text for the event's order or id."""
    return any(
        name in made.fields and made.fields[name].value == told(text)
        for name in ("order_id", "event_id")
    )


def _newest_first(each: EventExplained) -> float:
    return each.row.created_at.timestamp() if each.row.created_at is not None else 0.0


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _explained(
    stored: StoredEvent,
    destinations: Sequence[Made],
    rules: ReadingRules,
    *,
    now: datetime,
    states: Mapping[str, DestinationState],
    attempts: Sequence[Attempt],
) -> EventExplained:
    # A row of the ledger is there already.
    there = STORES if stored.table == _LEDGER_TABLE else ()
    asked = [each for each in destinations if each.name not in there]
    return explain_event(
        event_of({**stored.row, "now": now}),
        asked,
        rules,
        _row(stored),
        place_sources=dict(_place_sources(stored.row)),
        states=states,
        attempts=attempts,
    )


def _row(stored: StoredEvent) -> RowSeen:
    row = stored.row
    reason = row["withheld_reason"] or row["dead_letter_reason"]
    return RowSeen(
        table=stored.table,
        id=str(row["id"]),
        line=None,
        destination=row["destination"],
        event_id=str(row["event_id"]),
        lead_id=None if row["lead_id"] is None else str(row["lead_id"]),
        status=row["shown_status"],
        retry_count=row["retry_count"],
        max_retries=row["max_retries"],
        next_retry_at=row["next_retry_at"],
        being_sent=row["being_sent"],
        created_at=row["created_at"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"] and redact(row["resolved_by"]),
        reason=reason and redact(reason),
        error=row["error_message"] and redact(row["error_message"]),
        error_code=row["error_code"] and redact(row["error_code"]),
        http_status=row["http_status"],
        replays=row["replays"],
        failure=row["failure_code"],
        remedy=remedy_of(row["failure_code"]),
    )


# Who says so of a lead's place is the visitor: it is no place of an address.
_OWN_SOURCES = ("user", "session")


def _place_sources(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which columns of the lead's place came from its IP address, and by which source."""
    noted = row["geo_fields"]
    for column, each in (noted if isinstance(noted, dict) else {}).items():
        if not isinstance(each, dict) or each.get("value") != row.get(column):
            continue
        source = each.get("source")
        if isinstance(source, str) and source not in _OWN_SOURCES:
            yield column, source


def explain_unstored(
    event: FailedEvent,
    destinations: Sequence[Made],
    rules: ReadingRules,
    *,
    line: int,
    destination: str | None,
) -> EventExplained:
    """The same of an event that stands in a file: as if it were imported and due now."""
    row = RowSeen(
        table="file",
        id=None,
        line=line,
        destination=destination,
        event_id=str(event.event_id),
        lead_id=None if event.lead_id is None else str(event.lead_id),
        status="file",
        retry_count=event.retry_count,
        max_retries=event.max_retries,
        next_retry_at=None,
        being_sent=False,
        created_at=event.created_at,
        resolved_at=None,
        resolved_by=None,
        reason=None,
        error=None,
        error_code=None,
        http_status=None,
        replays=0,
    )
    return explain_event(event, destinations, rules, row)
