"""A destination's limits, divided among workers that come, go and die at any moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.allotment import (
    LEASE_SECONDS,
    NOTHING,
    TURN_SECONDS,
    Holdings,
    LimitShare,
    RequestPace,
    left,
    renewed,
)
from tracking_pipeline.delivery.engine.destination import Limits


def limits_of(in_flight: int = 4, per_second: float | None = None) -> Limits:
    return Limits(1, 1_000, in_flight, per_second)


@dataclass
class Site:
    """The holdings on record, a clock, and every request that was begun."""

    limits: Limits
    now: float = 0.0
    holdings: Holdings = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)


@dataclass
class Worker:
    """What one worker does, and when it is allowed to."""

    site: Site
    name: str
    usable: LimitShare = NOTHING
    deadline: float = -math.inf
    in_flight: int = 0
    requests: int = 0

    def __post_init__(self) -> None:
        self.pace = RequestPace(self.site.limits)

    def in_use(self) -> LimitShare:
        return LimitShare(self.in_flight, self.pace.in_use(self.site.now))

    def look(self) -> None:
        site = self.site
        site.holdings, self.usable = renewed(
            site.holdings, self.name, limits=site.limits, in_use=self.in_use(), now=site.now
        )
        self.deadline = site.now + LEASE_SECONDS

    def begin(self) -> None:
        site = self.site
        if site.now >= self.deadline or self.in_flight >= self.usable.in_flight:
            return
        if self.pace.seconds_to_wait(self.usable.permits, site.now) > 0:
            return
        self.in_flight += 1
        self.requests += 1
        self.pace.begin(self.usable.permits, site.now)
        site.begun.append(site.now)

    def end(self) -> None:
        self.in_flight = max(0, self.in_flight - 1)

    def leave(self) -> None:
        site = self.site
        self.in_flight, self.usable, self.deadline = 0, NOTHING, -math.inf
        site.holdings = left(
            site.holdings,
            self.name,
            in_use=self.in_use(),
            rest_seconds=self.pace.rest_seconds,
            now=site.now,
        )

    def die(self) -> None:
        """Another one comes in its place, with another name."""
        self.name += "'"
        self.in_flight, self.usable, self.deadline = 0, NOTHING, -math.inf
        self.pace = RequestPace(self.site.limits)


ACTS: Sequence[Callable[[Worker], None]] = (
    Worker.look,
    Worker.begin,
    Worker.begin,
    Worker.end,
    Worker.leave,
    Worker.die,
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(ACTS),
        st.sampled_from((0.0, 0.0, 0.01, 0.09, 0.34, 1.1, 11.0)),
    ),
    max_size=120,
)


def most_in_a_second(moments: Sequence[float]) -> int:
    ordered = sorted(moments)
    return max((sum(at <= one < at + 1.0 for one in ordered) for at in ordered), default=0)


@given(STEPS, st.integers(1, 5), st.sampled_from((None, 0.5, 1.0, 2.0, 3.0, 12.0)))
def test_all_workers_together_keep_to_the_limits_whatever_they_do(
    steps: list[tuple[int, Callable[[Worker], None], float]], in_flight: int, pace: float | None
) -> None:
    site = Site(limits_of(in_flight, pace))
    workers = [Worker(site, f"worker {number}") for number in range(4)]
    for number, act, seconds in steps:
        act(workers[number])
        site.now += seconds
        standing = [each for each in workers if each.deadline > site.now]
        assert sum(each.in_flight for each in standing) <= in_flight
    if pace is not None:
        assert most_in_a_second(site.begun) <= math.ceil(pace)


def drive(workers: Sequence[Worker], seconds: float, *, takes: float = 0.0) -> int:
    """All workers send as fast as they may; says how many requests were begun."""
    site = workers[0].site
    before, until, look_at = len(site.begun), site.now + seconds, site.now
    ends: list[tuple[float, Worker]] = []
    while site.now < until:
        if site.now >= look_at:
            look_at += 0.5
            for each in workers:
                each.look()
        for at, worker in [end for end in ends if end[0] <= site.now]:
            worker.end()
            ends.remove((at, worker))
        for each in workers:
            running = each.in_flight
            each.begin()
            if each.in_flight > running:
                ends.append((site.now + takes, each))
        site.now += 0.001
    return len(site.begun) - before


@pytest.mark.parametrize(("pace", "workers"), [(12, 1), (12, 2), (12, 3), (7, 2), (4.5, 1), (4, 4)])
def test_together_they_use_nearly_all_of_the_pace(pace: float, workers: int) -> None:
    site = Site(limits_of(8, pace))
    crowd = [Worker(site, f"worker {number}") for number in range(workers)]
    drive(crowd, 3.0)

    assert drive(crowd, 10.0) >= (0.98 if workers == 1 else 0.9) * pace * 10
    assert most_in_a_second(site.begun) <= math.ceil(pace)


def test_a_second_worker_has_its_part_within_two_seconds_and_a_half() -> None:
    site = Site(limits_of(4, 12))
    first, second = Worker(site, "first"), Worker(site, "second")
    drive([first], 3.0)
    assert first.usable == LimitShare(4, 12)

    drive([first, second], 2.5)

    assert first.usable == second.usable == LimitShare(2, 6)
    first.leave()
    drive([second], 1.6)
    assert second.usable == LimitShare(4, 12)


def test_permits_that_a_worker_leaves_behind_rest_before_another_one_uses_them() -> None:
    site = Site(limits_of(50, 5))
    first, second = Worker(site, "first"), Worker(site, "second")
    drive([first], 3.0)

    first.leave()
    site.now += 0.02

    assert drive([second], 3.0) > 5
    assert most_in_a_second(site.begun) <= 5


def test_the_part_of_a_worker_that_died_comes_back_when_its_lease_is_over() -> None:
    site = Site(limits_of(4, 12))
    first, second = Worker(site, "first"), Worker(site, "second")
    drive([first, second], 3.0)

    drive([second], LEASE_SECONDS - 3.0)
    assert second.usable == LimitShare(2, 6)
    drive([second], 4.0)
    assert second.usable == LimitShare(4, 12)


@pytest.mark.parametrize(("in_flight", "pace"), [(1, None), (1, 12.0), (4, 1.0), (2, 0.5)])
def test_where_there_is_too_little_for_all_they_take_turns(
    in_flight: int, pace: float | None
) -> None:
    site = Site(limits_of(in_flight, pace))
    crowd = [Worker(site, f"worker {number}") for number in range(3)]

    drive(crowd, 3 * len(crowd) * TURN_SECONDS, takes=0.2)

    requests = [each.requests for each in crowd]
    assert min(requests) >= 0.5 * max(requests) > 0


def test_a_destination_without_a_pace_costs_no_wait() -> None:
    pace = RequestPace(limits_of(4, None))
    pace.begin(0, now=1.0)
    assert pace.seconds_to_wait(0, now=1.0) == 0.0


def test_what_is_late_is_made_up_for_and_a_rest_is_not() -> None:
    pace = RequestPace(limits_of(4, 10))
    pace.start(100.0)
    assert begun_at(pace, 100.0, 100.5) == [100.0, 100.1, 100.2, 100.3, 100.4]
    # The machine was busy: two are late, and go at once.
    assert begun_at(pace, 100.7, 101.0) == [100.7, 100.7, 100.7, 100.8, 100.9]
    pace.start(105.0)
    assert begun_at(pace, 105.0, 105.2) == [105.0, 105.1]


def begun_at(pace: RequestPace, since: float, until: float) -> list[float]:
    """When a worker with all permits begins requests, looking every hundredth of a second."""
    begun: list[float] = []
    for hundredths in range(round(since * 100), round(until * 100)):
        while pace.seconds_to_wait(10, hundredths / 100 + 1e-6) <= 0:
            pace.begin(10, hundredths / 100)
            begun.append(hundredths / 100)
    return begun
