"""Moments, spans and numbers as people read them, and what they call destinations, reasons and the
states of runs; English, times in UTC. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.identity import plain_reason


def moment(when: datetime) -> str:
    """As in "2026-11-24 10:05 UTC"."""
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """As in "34 s", "12 min", "2 h 15 min", "3 d 4 h"; never negative, whatever a clock did."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def count_of(number: int, noun: str) -> str:
    """As in "1 event", "2 events"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float | None) -> str:
    """As in "42.0 %"; a share that is neither none nor all is never written as such, and "no data"
    where there was nothing to take a share of."""
    if share is None:
        return "no data"
    if 0 < share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.1f} %"


def score_text(value: float | None) -> str:
    """As in "6.8"; "no data" where there were no events."""
    return "no data" if value is None else f"{value:.1f}"


def signed(value: float, decimals: int) -> str:
    """As in "+0.3"; a true minus sign below zero."""
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return f"±{text}"
    return f"+{text}" if value > 0 else f"\N{MINUS SIGN}{text}"


def capital(sentence: str) -> str:
    """With its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time for machines (``iso``), in full, and as people say it ("4 min ago")."""

    iso: str
    full: str
    near: str


def moment_near(at: datetime, now: datetime) -> Moment:
    """The words for ``at`` as seen ``now``."""
    utc = at.astimezone(timezone.utc)
    seconds = (now - at).total_seconds()
    if abs(seconds) < 60:
        near = "just now"
    elif seconds > 0:
        near = f"{about(seconds)} ago"
    else:
        near = f"in {about(-seconds)}"
    return Moment(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%d %b %Y, %H:%M} UTC", near)


def about(seconds: float) -> str:
    """One unit, rounded down: "40 s", "12 min", "3 h", "2 days"."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86_400:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} days"


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


def reason_text(text: str) -> str:
    """Why events were given up, in words; what others wrote loses its personal data."""
    return REASON_WORDS.get(text) or capital(plain_reason(text))


def destination_title(name: str) -> str:
    """The destination's name for people."""
    return _DESTINATION_TITLES.get(name, name)
