"""Which dead letters the page shows: read from its address, and said again to store and API. Pure.

An address is typed and shared by people: what it says wrongly is left out, and never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.store.dead_letters import DeadLetters

SPAN_WORDS = {"": "Any time", "1": "Last hour", "24": "Last 24 hours", "168": "Last 7 days"}
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """What is empty does not narrow. ``hours`` is how long ago at most they became dead letters, a
    key of :data:`SPAN_WORDS`."""

    destination: str = ""
    reason: str = ""
    error_code: str = ""
    event_name: str = ""
    hours: str = ""

    @property
    def is_empty(self) -> bool:
        return self == LetterFilter()

    def letters(self, now: datetime) -> DeadLetters:
        """The same for the store."""
        return DeadLetters(
            destinations=(self.destination,) if self.destination else (),
            reason=self.reason,
            error_code=self.error_code,
            event_name=self.event_name,
            since=self._since(now),
        )

    def order(self, now: datetime) -> dict[str, Any]:
        """The same as the body of a replay (``web/admin/replay.py``), without what is empty."""
        since = self._since(now)
        wanted = {
            "destination": self.destination,
            "reason": self.reason,
            "error_code": self.error_code,
            "event_name": self.event_name,
            "since": since.isoformat() if since else "",
        }
        return {name: value for name, value in wanted.items() if value}

    def _since(self, now: datetime) -> datetime | None:
        return now - timedelta(hours=int(self.hours)) if self.hours else None


def letter_filter(query: Mapping[str, str]) -> LetterFilter:
    """The filter that the query of an address names."""
    destination, hours = query.get("destination", ""), query.get("hours", "")
    return LetterFilter(
        destination=destination if destination in DESTINATIONS else "",
        reason=_text(query.get("reason", "")),
        error_code=_text(query.get("error_code", "")),
        event_name=_text(query.get("event_name", "")),
        hours=hours if hours in SPAN_WORDS else "",
    )


def _text(value: str) -> str:
    """Printable text, as PostgreSQL and the API take it."""
    return "".join(each for each in value if each.isprintable()).strip()[:_LONGEST]
