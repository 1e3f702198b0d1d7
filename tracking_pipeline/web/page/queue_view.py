"""The queue by destination in words: how much waits, for how long, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracking_pipeline.delivery.failures import remedy_of
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.attempts import LastError
from tracking_pipeline.web.page import words
from tracking_pipeline.web.page.words import Moment, moment

STATE_WORDS = {
    "ok": "Open",
    "paused": "Paused",
    "throttled": "Throttled",
    "not_configured": "Not set up",
}


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One destination. ``state`` is that of :class:`~tracking_pipeline.status.DestinationStatus`,
    ``next_try`` a sentence. ``first_attempts`` is empty where no event waits for its first one.
    ``failure`` is the public code of what paused it, ``remedy`` what to do about that."""

    name: str
    title: str
    state: str
    state_words: str
    detail: str
    failure: str
    remedy: str
    waiting: str
    first_attempts: str
    oldest: str
    next_try: str
    dead_letters: str
    last_error: str
    last_error_at: Moment | None
    last_error_said: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """All destinations, those in trouble first. ``waiting`` is the sum."""

    waiting: int
    destinations: Sequence[DestinationView]


_TROUBLE_FIRST = ("paused", "throttled", "ok", "not_configured")


def queue_view(destinations: Mapping[str, DestinationStatus], now: datetime) -> QueueView:
    """The queue of these destinations."""
    shown = [_destination(name, each, now) for name, each in destinations.items()]
    return QueueView(
        waiting=sum(each.waiting.waiting for each in destinations.values()),
        destinations=sorted(shown, key=lambda each: _TROUBLE_FIRST.index(each.state)),
    )


def _destination(name: str, status: DestinationStatus, now: datetime) -> DestinationView:
    waiting, error = status.waiting, status.last_error
    oldest = waiting.oldest_age_seconds
    detail = words.capital(plain_reason(status.detail)) if status.detail else ""
    last_error = words.capital(plain_reason(error.message)) if error else ""
    return DestinationView(
        name=name,
        title=words.destination(name),
        state=status.state,
        state_words=STATE_WORDS[status.state],
        detail=detail,
        failure=status.failure or "",
        remedy=remedy_of(status.failure) or "",
        waiting=words.count(waiting.waiting),
        first_attempts=words.count(status.first_attempts) if status.first_attempts else "",
        oldest="–" if oldest is None else words.duration(oldest),
        next_try=_next_try(status),
        dead_letters=words.count(waiting.dead_letters),
        # What paused the destination is its last error.
        last_error="" if detail.startswith(last_error) else last_error,
        last_error_at=moment(error.attempted_at, now) if error else None,
        last_error_said=_said(error),
    )


def _said(error: LastError | None) -> str:
    """The public code, what the platform said to people, where, and its id of the request."""
    if error is None:
        return ""
    parts = (error.failure_code, error.platform_message, error.field_path, error.trace_id)
    return " · ".join(filter(None, parts))


def _next_try(status: DestinationStatus) -> str:
    seconds = status.next_try_seconds
    if status.state == "not_configured":
        return "Once it is set up" if status.waiting.waiting or status.first_attempts else "–"
    if status.waiting.leased and not status.waiting.due:
        return "Being sent now"
    if seconds is None:
        return "–"
    return "At the next run" if seconds <= 0 else f"In {words.duration(seconds)}"
