"""Dead letters in words: by destination and reason, and which of them a click replays. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.view.status import DestinationStatus
from tracking_pipeline.identity import sanitize
from tracking_pipeline.store.dead_letters import Group
from tracking_pipeline.web.page import words
from tracking_pipeline.web.page.letter_filter import SPAN_WORDS, LetterFilter
from tracking_pipeline.web.page.reading import MOST_DEAD_LETTERS


@dataclass(frozen=True, slots=True)
class GroupView:
    """Dead letters of one destination and reason. ``order`` replays exactly them; None where their
    reason holds personal data, which goes nowhere: the filters find them."""

    destination: str
    reason: str
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
    chosen: LetterFilter
    order: dict[str, Any]
    destinations: Sequence[tuple[str, str]]
    spans: Sequence[tuple[str, str]]


def dead_letters_view(
    groups: Sequence[Group],
    destinations: Mapping[str, DestinationStatus],
    chosen: LetterFilter,
    now: datetime,
) -> DeadLettersView:
    """The groups that the filter found."""
    matched = sum(group.matched for group in groups)
    order = chosen.order(now)
    more = " or more" if matched >= MOST_DEAD_LETTERS else ""
    return DeadLettersView(
        total=f"{words.events(matched)}{more}",
        all_letters=sum(each.waiting.dead_letters for each in destinations.values()),
        groups=[_group(each, order) for each in groups],
        chosen=chosen,
        order=order,
        destinations=[(name, words.destination(name)) for name in DESTINATIONS],
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
            title=f"{words.destination(name)} works again",
            message=f"While it was paused {words.events(n)} became dead letters. They can be sent "
            "again now.",
            order={"destination": name, "after_pause": True},
        )
        for name, n in counts.items()
        if n > 0
    ]


def _group(group: Group, order: Mapping[str, Any]) -> GroupView:
    shown = words.reason(group.reason)
    is_plain = sanitize(group.reason) == group.reason
    exact = {
        **order,
        "destination": group.destination,
        "reason": group.reason,
        "reason_match": "exact",
    }
    delivered = f"{words.count(group.delivered)} arrived another way" if group.delivered else ""
    return GroupView(
        destination=words.destination(group.destination),
        reason=shown,
        events=words.count(group.matched),
        delivered=delivered,
        order=exact if is_plain else None,
    )
