"""The turns of a replay: which event of each destination goes back when, and what that brings.

The order is that of ``plan.py``, the moments come evenly from the pace, and what is known of an
event (its worth, the limits of its destination) is read here. No I/O.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from tracking_pipeline.delivery.destinations.registry import spec_of
from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.delivery.engine.readiness import AGE_MARGIN
from tracking_pipeline.delivery.replay.forecast import Forecast
from tracking_pipeline.delivery.replay.plan import Task, arriving, in_order
from tracking_pipeline.delivery.replay.totals import PlannedEvent, PlanTotals
from tracking_pipeline.delivery.worth import Amount, EventsWorth, Prices, stated_value
from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline.store.dead_letters import Match

SHOWN_FIRST = 10


@dataclass(frozen=True, slots=True)
class PlanningRule:
    """What the order of a replay goes by: what events are worth, and how old each destination takes
    them (not at all limited where it is not named)."""

    prices: Prices = field(default_factory=Prices)
    age_limits: Mapping[str, timedelta] = field(default_factory=dict)


class Pace:
    """Gives each destination's events their moments, evenly."""

    def __init__(self, events_per_minute: float) -> None:
        self.seconds_apart = 60.0 / events_per_minute
        self._given: Counter[str] = Counter()

    def next_seconds(self, destination: str) -> float:
        """The moment of the destination's next event, in seconds after the start."""
        seconds = self.first_seconds(destination)
        self._given[destination] += 1
        return seconds

    def first_seconds(self, destination: str) -> float:
        """The moment that the destination's next event will have."""
        return self._given[destination] * self.seconds_apart

    @property
    def minutes(self) -> float:
        """How long it takes until the last event of all destinations is due."""
        most = max(self._given.values(), default=0)
        return max(most - 1, 0) * self.seconds_apart / 60


@dataclass(frozen=True, slots=True)
class Planned:
    """A match, the value that it states, and its part of the plan. ``goes``: it will be sent, as
    far as is known now."""

    match: Match
    event_id: UUID
    amount: Amount
    task: Task
    goes: bool


class Turns:
    """Gives the events of a replay their turns, and adds up what these come to."""

    def __init__(self, planning: PlanningRule, events_per_minute: float) -> None:
        self._planning = planning
        self._pace = Pace(events_per_minute)
        self._plans: defaultdict[str, _Plan] = defaultdict(_Plan)

    @property
    def minutes(self) -> float:
        """How long it takes until the last event of all destinations is due."""
        return self._pace.minutes

    @property
    def plans(self) -> tuple[PlanTotals, ...]:
        """What the turns that were given come to, by destination."""
        prices = self._planning.prices
        return tuple(plan.totals(name, prices) for name, plan in sorted(self._plans.items()))

    def planned(self, match: Match, event: FailedEvent, found: Forecast) -> Planned:
        """What is known of an event whose ``now`` is the start of the replay. What does not go out,
        as far as is known now, needs no early turn: it has the limits of what is too late."""
        conversion = read_conversion(event)
        name, event_id = event.event_name, event.event_id
        if found.outcome not in ("sent", "waits") or not isinstance(conversion, Conversion):
            return Planned(match, event_id, Amount(name), Task(0.0, -1.0, -1.0), goes=False)
        prices = self._planning.prices
        value, currency = stated_value(conversion, prices.unnamed_currency)
        amount = Amount(name, currency, 1, value)
        age = event.now - conversion.event_time
        limit = self._planning.age_limits.get(match.destination)
        window = spec_of(match.destination).duplicate_window
        accepted = math.inf if limit is None else (limit - AGE_MARGIN - age).total_seconds()
        if accepted < 0 and found.outcome == "sent":
            accepted = math.inf  # its destination makes an exception for it
        recognised = math.inf if window is None else (window - age).total_seconds()
        task = Task(prices.rank(amount), accepted, recognised)
        return Planned(match, event_id, amount, task, goes=True)

    def give(self, found: Sequence[Planned]) -> list[tuple[Match, float]]:
        """These, which came the oldest first, with their moments in seconds after the start, the
        earliest first."""
        by_destination: defaultdict[str, list[Planned]] = defaultdict(list)
        for each in found:
            by_destination[each.match.destination].append(each)
        given: list[tuple[Match, float]] = []
        for destination, planned in by_destination.items():
            pace = self._pace.first_seconds(destination), self._pace.seconds_apart
            order = in_order([each.task for each in planned], *pace)
            self._plans[destination].add(planned, order, *pace)
            given += [(planned[each].match, self._pace.next_seconds(destination)) for each in order]
        return sorted(given, key=lambda each: each[1])


class _Sums:
    """Events and the values that they state, added up by name and currency."""

    def __init__(self) -> None:
        self.events = 0
        self._of: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])

    def add(self, found: Iterable[Planned]) -> None:
        for each in found:
            if each.goes:
                self.events += 1
                total = self._of[each.amount.event_name, each.amount.currency]
                total[0] += 1
                total[1] += each.amount.value

    def worth(self, prices: Prices) -> EventsWorth:
        return prices.worth(
            Amount(name, currency, int(events), value)
            for (name, currency), (events, value) in self._of.items()
        )


class _Plan:
    """What the order of one destination's events comes to."""

    def __init__(self) -> None:
        self._all, self._in_time, self._oldest_first = _Sums(), _Sums(), _Sums()
        self._first: list[PlannedEvent] = []

    def add(
        self,
        planned: Sequence[Planned],
        order: Sequence[int],
        first_seconds: float,
        seconds_apart: float,
    ) -> None:
        tasks = [each.task for each in planned]
        self._all.add(planned)
        for sums, places in ((self._in_time, order), (self._oldest_first, range(len(tasks)))):
            arrived = arriving(tasks, places, first_seconds, seconds_apart)
            sums.add(planned[each] for each in arrived)
        for place, each in enumerate(order[: SHOWN_FIRST - len(self._first)]):
            found = planned[each]
            minutes = (first_seconds + place * seconds_apart) / 60
            self._first.append(PlannedEvent(found.event_id, found.amount.event_name, minutes))

    def totals(self, destination: str, prices: Prices) -> PlanTotals:
        return PlanTotals(
            destination,
            self._all.events,
            self._in_time.events,
            self._oldest_first.events,
            self._all.worth(prices),
            self._in_time.worth(prices),
            self._oldest_first.worth(prices),
            tuple(self._first),
        )
