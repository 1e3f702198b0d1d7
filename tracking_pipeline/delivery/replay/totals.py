"""What a replay was asked and what it came to, in the words of its callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from tracking_pipeline.delivery.replay import CANARIES
from tracking_pipeline.delivery.replay.canary import CanaryTotals
from tracking_pipeline.delivery.replay.repair import Rule
from tracking_pipeline.delivery.worth import EventsWorth
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.dead_letters import DeadLetters

# Half of what the site sends by itself, and never a trickle or a flood.
LEAST_EVENTS_PER_MINUTE = 10.0
MOST_EVENTS_PER_MINUTE = 600.0


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """``events_per_minute`` spreads each destination's events; None: half the site's own rate.
    ``canaries`` of each larger group are sent first; 0: none. ``rules`` repair each payload."""

    letters: DeadLetters = field(default_factory=DeadLetters)
    dry_run: bool = True
    events_per_minute: float | None = None
    canaries: int = CANARIES
    rules: tuple[Rule, ...] = ()


def chosen_rate(asked: float | None, live_events_per_minute: float) -> float:
    """The events a minute of a replay: as asked, else below the live rate."""
    if asked is not None:
        return asked
    half = live_events_per_minute / 2
    return min(max(half, LEAST_EVENTS_PER_MINUTE), MOST_EVENTS_PER_MINUTE)


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """The dead letters of one destination and reason, in events.

    ``matched`` = replayed + already_delivered + held_back + gone; a dry run replays none, and says
    in ``sent``, ``waits``, ``withheld``, ``expired`` and ``refused`` what would become of those it
    would replay.
    ``gone`` were taken or changed by somebody else meanwhile. ``may_count_twice`` are some of the
    sent and waiting ones.
    """

    destination: str
    reason: str
    matched: int = 0
    replayed: int = 0
    already_delivered: int = 0
    held_back: int = 0
    gone: int = 0
    sent: int = 0
    waits: int = 0
    withheld: int = 0
    expired: int = 0
    refused: int = 0
    may_count_twice: int = 0


def shown_groups(groups: Iterable[GroupTotals]) -> tuple[GroupTotals, ...]:
    """The groups under reasons without personal data, the most frequent first: those whose reasons
    differ in nothing else are one."""
    added: dict[tuple[str, str], Counter[str]] = {}
    for group in groups:
        numbers = added.setdefault((group.destination, plain_reason(group.reason)), Counter())
        numbers.update({name: getattr(group, name) for name in NUMBERS})
    shown = [
        GroupTotals(destination, reason, **numbers)
        for (destination, reason), numbers in added.items()
    ]
    return tuple(sorted(shown, key=lambda each: -each.matched))


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event and when it is due, in minutes after the start of the replay."""

    event_id: UUID
    event_name: str
    after_minutes: float


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """The order in which one destination's events go back: of the ``events`` that go out, as far as
    is known, so many become due ``in_time`` for its age limit, and so many would with the oldest
    first. ``first`` are those that go first."""

    destination: str
    events: int
    in_time: int
    in_time_oldest_first: int
    worth: EventsWorth
    worth_in_time: EventsWorth
    worth_in_time_oldest_first: EventsWorth
    first: tuple[PlannedEvent, ...]


@dataclass(frozen=True, slots=True)
class ReplayTotals:
    """One replay, its reasons without personal data. ``repairs`` counts events by (number of the
    rule, change); ``refusals`` counts forecast refusals by (destination, reason), and ``withheld``
    what a forecast found withheld; ``minutes`` is how long the events are spread over.
    """

    dry_run: bool
    groups: tuple[GroupTotals, ...] = ()
    canaries: tuple[CanaryTotals, ...] = ()
    repairs: Mapping[tuple[int, str], int] = field(default_factory=dict)
    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    withheld: Mapping[tuple[str, str], int] = field(default_factory=dict)
    plans: tuple[PlanTotals, ...] = ()
    events_per_minute: float = 0.0
    minutes: float = 0.0
    seconds: float = 0.0

    def total(self, name: str) -> int:
        """The sum of one number over the groups."""
        return sum(getattr(group, name) for group in self.groups)

    @property
    def by_reason(self) -> dict[str, int]:
        """The matched events by reason, the most frequent first."""
        counts: Counter[str] = Counter()
        for group in self.groups:
            counts[group.reason] += group.matched
        return dict(counts.most_common())

    def as_json(self) -> dict[str, Any]:
        """The command line's and the API's answer."""
        return {
            "success": True,
            "dry_run": self.dry_run,
            **{name: self.total(name) for name in NUMBERS},
            "by_reason": self.by_reason,
            "groups": [asdict(group) for group in self.groups],
            "canaries": [{**asdict(each), "holds_back": each.holds_back} for each in self.canaries],
            "repairs": [
                {"rule": rule, "change": change, "events": count}
                for (rule, change), count in sorted(self.repairs.items())
            ],
            "refusals": [
                {"destination": destination, "reason": reason, "events": count}
                for (destination, reason), count in sorted(self.refusals.items())
            ],
            "withheld_by_reason": [
                {"destination": destination, "reason": reason, "count": count}
                for (destination, reason), count in sorted(self.withheld.items())
            ],
            "plan": [_plan_json(each) for each in self.plans],
            "events_per_minute": round(self.events_per_minute, 1),
            "minutes": round(self.minutes, 1),
            "seconds": round(self.seconds, 3),
        }


def _plan_json(plan: PlanTotals) -> dict[str, Any]:
    first = [
        {
            "event_id": str(each.event_id),
            "event_name": each.event_name,
            "after_minutes": round(each.after_minutes, 1),
        }
        for each in plan.first
    ]
    return {**asdict(plan), "first": first}


NUMBERS = (
    "matched",
    "replayed",
    "already_delivered",
    "held_back",
    "gone",
    "sent",
    "waits",
    "withheld",
    "expired",
    "refused",
    "may_count_twice",
)
