"""Dead letters on the page: which are shown, by its address, and what they are in words. Pure.

An address is typed and shared by people: what it says wrongly is left out, and never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.failures import failure_of, failure_of_reason
from tracking_pipeline.health import formatting
from tracking_pipeline.health.formatting import count_of
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.identity import sanitize
from tracking_pipeline.store.dead_letters import DeadLetters, Group

MOST_DEAD_LETTERS = 10_000
SPAN_WORDS = {"": "Any time", "1": "Last hour", "24": "Last 24 hours", "168": "Last 7 days"}
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """What is empty does not narrow. ``hours`` is how long ago at most they became dead letters, a
    key of :data:`SPAN_WORDS`."""

    destination: str = ""
    reason: str = ""
    error_code: str = ""
    event_name: str = ""
    hours: str = ""

    @property
    def is_empty(self) -> bool:
        return self == DeadLetterFilter()

    def to_query(self, now: datetime) -> DeadLetters:
        """The same for the store."""
        return DeadLetters(
            destinations=(self.destination,) if self.destination else (),
            reason=self.reason,
            error_code=self.error_code,
            event_name=self.event_name,
            since=self._since(now),
        )

    def to_replay_request(self, now: datetime) -> dict[str, Any]:
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


def dead_letter_filter(query: Mapping[str, str]) -> DeadLetterFilter:
    """The filter that the query of an address names."""
    destination, hours = query.get("destination", ""), query.get("hours", "")
    return DeadLetterFilter(
        destination=destination if destination in DESTINATIONS else "",
        reason=_text(query.get("reason", "")),
        error_code=_text(query.get("error_code", "")),
        event_name=_text(query.get("event_name", "")),
        hours=hours if hours in SPAN_WORDS else "",
    )


def _text(value: str) -> str:
    """Printable text, as PostgreSQL and the API take it."""
    return "".join(each for each in value if each.isprintable()).strip()[:_LONGEST]


@dataclass(frozen=True, slots=True)
class GroupView:
    """Dead letters of one destination and reason. ``order`` replays exactly them; None where their
    reason holds personal data, which goes nowhere: the filters find them. ``failure`` is the public
    code, ``remedy`` what to do about it."""

    destination: str
    reason: str
    failure: str
    remedy: str
    events: str
    delivered: str
    order: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Offer:
    """Dead letters of a pause that is over."""

    title: str
    message: str
    order: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLettersView:
    """``total`` says how many match; ``all_letters`` how many there are at all. ``order`` replays
    all that match."""

    total: str
    all_letters: int
    groups: Sequence[GroupView]
    chosen: DeadLetterFilter
    order: dict[str, Any]
    destinations: Sequence[tuple[str, str]]
    spans: Sequence[tuple[str, str]]


def dead_letters_view(
    groups: Sequence[Group],
    destinations: Mapping[str, DestinationStatus],
    chosen: DeadLetterFilter,
    now: datetime,
) -> DeadLettersView:
    """The groups that the filter found."""
    matched = sum(group.matched for group in groups)
    order = chosen.to_replay_request(now)
    more = " or more" if matched >= MOST_DEAD_LETTERS else ""
    return DeadLettersView(
        total=f"{count_of(matched, 'event')}{more}",
        all_letters=sum(each.waiting.dead_letters for each in destinations.values()),
        groups=[_group(each, order) for each in groups],
        chosen=chosen,
        order=order,
        destinations=[(name, formatting.destination_title(name)) for name in DESTINATIONS],
        spans=list(SPAN_WORDS.items()),
    )


def offers(groups: Sequence[Group]) -> list[Offer]:
    """One offer for each destination that is well again after a pause."""
    counts: dict[str, int] = {}
    for group in groups:
        left = group.matched - group.delivered
        counts[group.destination] = counts.get(group.destination, 0) + left
    return [
        Offer(
            title=f"{formatting.destination_title(name)} works again",
            message=f"While it was paused {count_of(n, 'event')} became dead letters. They can be "
            "sent again now.",
            order={"destination": name, "after_pause": True},
        )
        for name, n in counts.items()
        if n > 0
    ]


def _group(group: Group, order: Mapping[str, Any]) -> GroupView:
    shown = formatting.reason_text(group.reason)
    failure = failure_of(group.failure_code) or failure_of_reason(group.reason)
    is_plain = sanitize(group.reason) == group.reason
    exact = {
        **order,
        "destination": group.destination,
        "reason": group.reason,
        "reason_match": "exact",
    }
    delivered = f"{group.delivered:,} arrived another way" if group.delivered else ""
    return GroupView(
        destination=formatting.destination_title(group.destination),
        reason=shown,
        failure=failure.code if failure else "",
        remedy=failure.remedy if failure else "",
        events=f"{group.matched:,}",
        delivered=delivered,
        order=exact if is_plain else None,
    )
