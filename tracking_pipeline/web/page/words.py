"""How the page says things: names, numbers, times. Pure; English, times in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.identity import plain_reason

_DESTINATION_TITLES = {spec.name: spec.title for spec in REGISTRY}
REASON_WORDS = {
    "expired": "Too old for the destination",
    "max_retries": "Still failing after the last retry",
    "worker_crash": "Workers were lost again and again while they held this event, at last alone",
    "unknown": "No reason on record",
}
SOURCE_WORDS = {
    "user": "The visitor",
    "session": "The visitor's session",
    "mmdb": "Local IP database",
    "ip_api": "ip-api",
    "ipinfo": "ipinfo",
}
RUN_STATE_WORDS = {
    "SUCCESS": "Succeeded",
    "FAILURE": "Failed",
    "STARTED": "Running",
    "STARTING": "Starting",
    "QUEUED": "Queued",
    "NOT_STARTED": "Queued",
    "CANCELING": "Being stopped",
    "CANCELED": "Stopped",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time for machines (``iso``), in full, and as people say it ("4 min ago")."""

    iso: str
    full: str
    near: str


def moment(at: datetime, now: datetime) -> Moment:
    """The words for ``at`` as seen ``now``."""
    utc = at.astimezone(timezone.utc)
    seconds = (now - at).total_seconds()
    if abs(seconds) < 60:
        near = "just now"
    elif seconds > 0:
        near = f"{duration(seconds)} ago"
    else:
        near = f"in {duration(-seconds)}"
    return Moment(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%d %b %Y, %H:%M} UTC", near)


def duration(seconds: float) -> str:
    """One unit, rounded down: "40 s", "12 min", "3 h", "2 days"."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86_400:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} days"


def count(number: float) -> str:
    """As in "12,000"."""
    return f"{number:,.0f}"


def events(number: int) -> str:
    """As in "1 event", "12,000 events"."""
    return f"{count(number)} event" if number == 1 else f"{count(number)} events"


def percent(share: float | None) -> str:
    """As in "4.2 %"; a share that is neither none nor all is never shown as such."""
    if share is None:
        return "–"
    if 0 < share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.1f}".removesuffix(".0") + " %"


def capital(sentence: str) -> str:
    """With its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


def reason(text: str) -> str:
    """Why events were given up, in words; what others wrote loses its personal data."""
    return REASON_WORDS.get(text) or capital(plain_reason(text))


def destination(name: str) -> str:
    """The destination's name for people."""
    return _DESTINATION_TITLES.get(name, name)
