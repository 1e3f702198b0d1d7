"""One event in words: how it stands, its attempts, what each destination would get, what was read.
Pure; what it shows was masked before (``events/masking.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import orjson

from tracking_pipeline.delivery.explain import (
    AttemptSeen,
    DestinationSeen,
    EventExplained,
    Explanation,
    RowSeen,
    retries_words,
    why_not,
)
from tracking_pipeline.health import formatting
from tracking_pipeline.health.formatting import Moment, capital, moment_near

STATUS_WORDS = {
    "pending": "Waits to be sent again",
    "retrying": "Waits for its next try",
    "resolved": "Delivered",
    "dead_letter": "Given up",
    "withheld": "Withheld",
    "accepted": "Waits for its first try",
    "delivered": "Delivered at its first try",
    "recorded": "In the ledger",
}
OUTCOME_WORDS = {
    "would_be_sent": "Would be sent",
    "withheld": "Withheld",
    "rejected": "Refused",
    "postponed": "Waits for its own time",
    "not_configured": "Not set up",
}
ATTEMPT_WORDS = {
    "delivered": "Delivered",
    "retry": "Failed, to be tried again",
    "throttled": "Held back: the destination asked everybody to slow down",
    "paused": "Held back: the destination is paused",
    "rejected": "Refused",
    "withheld": "Withheld",
    "postponed": "Waits for its own time",
}
# The page's three colours.
_LEVELS = {
    "would_be_sent": "ok",
    "delivered": "ok",
    "granted": "ok",
    "agreed": "ok",
    "rejected": "critical",
    "denied": "critical",
    "unclear": "critical",
    "unreadable": "critical",
    "withheld": "warning",
    "retry": "warning",
    "throttled": "warning",
    "paused": "critical",
    "postponed": "warning",
}
FIELD_WORDS = {
    "event_name": "Name",
    "event_id": "Id",
    "event_time": "Time",
    "page_url": "Page",
    "referrer_url": "Referrer",
    "value": "Value",
    "currency": "Currency",
    "order_id": "Order",
    "action_source": "Source",
    "client_id": "Client id",
    "session_id": "Session",
}


@dataclass(frozen=True, slots=True)
class DetailLine:
    """A line of a list: what, its value, where it comes from. ``level`` is empty, ``ok``,
    ``warning`` or ``critical``; ``note`` is said in small."""

    name: str
    value: str
    where: str = ""
    note: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try. ``when`` is in seconds: two may come in one minute. ``said`` is what the platform
    said to people, where, and the id under which it knows the request."""

    at: Moment
    when: str
    words: str
    level: str
    destination: str
    detail: str
    said: str
    worker: str


@dataclass(frozen=True, slots=True)
class EventAtDestination:
    """What one destination makes of the event. ``bodies``: (title, JSON) of what it would get."""

    title: str
    is_own: bool
    words: str
    level: str
    reason: str
    failure: str
    remedy: str
    until: Moment | None
    held: str
    match_keys: str
    dropped: Sequence[str]
    bodies: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class EventView:
    """One event."""

    title: str
    standing: str
    facts: Sequence[DetailLine]
    problem: str
    form: str
    attempts: Sequence[AttemptView]
    destinations: Sequence[EventAtDestination]
    fields: Sequence[DetailLine]
    ignored: str
    consent: Sequence[DetailLine]
    silence: str
    people: Sequence[DetailLine]


@dataclass(frozen=True, slots=True)
class EventPageView:
    """What was found for ``wanted``."""

    wanted: str
    database: str
    rehearsal: bool
    events: Sequence[EventView]
    more: bool
    all_searched: bool


def event_page_view(
    found: Explanation, wanted: str, now: datetime, *, database: str, rehearsal: bool
) -> EventPageView:
    """The page of this explanation."""
    return EventPageView(
        wanted=wanted,
        database=database,
        rehearsal=rehearsal,
        events=[event_view(event, now) for event in found.events],
        more=found.more,
        all_searched=found.all_searched,
    )


def event_view(event: EventExplained, now: datetime) -> EventView:
    """One event as seen ``now``."""
    name = event.fields["event_name"].value if event.fields else None
    more = f" and {event.ignored_more} more" if event.ignored_more else ""
    row = event.row
    title = f"{name or 'Event'}"
    if row.destination:
        title += f" to {formatting.destination_title(row.destination)}"
    return EventView(
        title=title,
        standing=STATUS_WORDS.get(row.status, row.status),
        facts=list(_facts(row, now)),
        problem=capital(event.problem or ""),
        form=event.form.title,
        attempts=[_attempt(each, now) for each in event.attempts],
        destinations=[_destination(each, now) for each in event.destinations],
        fields=list(_fields(event)),
        ignored=", ".join(event.ignored) + more,
        consent=list(_consent(event)),
        silence=f"{capital(event.consent.silence)}.",
        people=list(_people(event)),
    )


def _facts(row: RowSeen, now: datetime) -> Iterator[DetailLine]:
    if row.created_at is not None:
        yield DetailLine("Came", moment_near(row.created_at, now).full)
    yield DetailLine("Event id", row.event_id)
    if row.lead_id:
        yield DetailLine("Lead", row.lead_id)
    if row.table == "tracking_failed_events":
        yield DetailLine("Retries spent", retries_words(row.retry_count, row.max_retries))
    if row.being_sent:
        yield DetailLine("Now", "A worker holds it")
    for name, at in (("Next try", row.next_retry_at), ("Settled", row.resolved_at)):
        if at is not None:
            yield DetailLine(name, f"{moment_near(at, now).full} ({moment_near(at, now).near})")
    if row.replays:
        yield DetailLine("Replayed", f"{row.replays} times")
    if row.reason:
        yield DetailLine("Reason", formatting.reason_text(row.reason))
    if row.error:
        yield DetailLine("Last error", " ".join(filter(None, (row.error, row.error_code))))
    if row.failure and row.status != "resolved":
        yield DetailLine("Failure", row.failure)
        if row.remedy:
            yield DetailLine("What to do", row.remedy)


def _attempt(each: AttemptSeen, now: datetime) -> AttemptView:
    status = f"HTTP {each.http_status}" if each.http_status else ""
    return AttemptView(
        at=moment_near(each.at, now),
        when=f"{each.at.astimezone(timezone.utc):%d %b %Y, %H:%M:%S} UTC",
        words=ATTEMPT_WORDS.get(each.outcome, each.outcome),
        level=_LEVELS.get(each.outcome, ""),
        destination=formatting.destination_title(each.destination),
        detail=" · ".join(filter(None, (each.failure, status, each.code, each.message))),
        said=" · ".join(filter(None, (each.platform_message, each.field_path, each.trace_id))),
        worker=f"run {each.run_id[:8]}" if each.run_id else each.worker or "",
    )


def _destination(each: DestinationSeen, now: datetime) -> EventAtDestination:
    titles = (("For all events of the request", each.shared), ("The event", each.body))
    return EventAtDestination(
        title=formatting.destination_title(each.name),
        is_own=each.own,
        words=OUTCOME_WORDS[each.outcome],
        level=_LEVELS.get(each.outcome, ""),
        reason=capital(why_not(each.reason, each.message)),
        failure=each.failure,
        remedy=each.remedy,
        until=moment_near(each.until, now) if each.until is not None else None,
        held=capital(each.held),
        match_keys=", ".join(each.match_keys),
        dropped=[f"{one.key}: {one.reason} ({one.count})" for one in each.dropped],
        bodies=[
            (title, orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
            for title, body in titles
            if body is not None
        ],
    )


def _fields(event: EventExplained) -> Iterator[DetailLine]:
    for name, each in (*event.fields.items(), *event.click_ids.items()):
        yield DetailLine(
            FIELD_WORDS.get(name, name),
            str(each.value) if each.state == "read" else each.state.capitalize(),
            each.path,
            each.note,
            _LEVELS.get(each.state, "" if each.state == "read" else "absent"),
        )


def _consent(event: EventExplained) -> Iterator[DetailLine]:
    for purpose, said in event.consent.purposes.items():
        level = _LEVELS.get(said.said, "absent")
        yield DetailLine(purpose, said.said.capitalize(), said.path, level=level)
    for purpose, said in event.lead_consent.items():
        level = _LEVELS.get(said.said, "")
        yield DetailLine(purpose, said.said.capitalize(), said.path, "the lead's newest", level)
    if event.consent.global_privacy_control:
        yield DetailLine("Global Privacy Control", "Set", level="warning")
    for option in event.privacy_options:
        value = "Unreadable" if option.value is None else str(option.value)
        yield DetailLine(option.name, value, option.path)


def _people(event: EventExplained) -> Iterator[DetailLine]:
    for each in event.people:
        source = "" if each.source == "payload" else f"{each.source}: "
        used = f"used for {' and '.join(map(str.capitalize, each.used_by))}"
        yield DetailLine(
            each.key,
            each.shown,
            f"{source}{each.path}",
            used if each.used_by else f"not used: {each.note}",
            "" if each.used_by else "absent",
        )
