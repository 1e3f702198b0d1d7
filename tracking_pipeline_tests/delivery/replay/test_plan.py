"""The order of a replay: what it promises, on any events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.replay.plan import Task, in_order

SECONDS = st.one_of(st.just(math.inf), st.integers(-20, 120).map(float))
WORTH = st.one_of(st.just(0.0), st.integers(0, 50).map(float), st.floats(0, 1e6))
TASKS = st.lists(st.builds(Task, WORTH, SECONDS, SECONDS), max_size=30)
FEW_TASKS = st.lists(st.builds(Task, WORTH, SECONDS, SECONDS), max_size=6)
FIRST = st.floats(0, 50)
APART = st.floats(0.1, 30)


def in_time(
    tasks: Sequence[Task], order: Sequence[int], first: float, apart: float, *, recognised: bool
) -> tuple[float, int]:
    """The worth that arrives in time, and of how many events, told by the moments alone."""
    arrived = [
        task.worth
        for task, moment in ((tasks[each], first + at * apart) for at, each in enumerate(order))
        if moment <= task.accepted_until and (not recognised or moment <= task.recognised_until)
    ]
    return math.fsum(arrived), len(arrived)


@given(TASKS, FIRST, APART)
def test_nothing_is_left_out_and_the_same_events_have_the_same_order(
    tasks: list[Task], first: float, apart: float
) -> None:
    order = in_order(tasks, first, apart)
    assert sorted(order) == list(range(len(tasks)))
    assert in_order(list(tasks), first, apart) == order


@given(TASKS, st.integers(0, 50), st.integers(1, 30))
def test_it_is_never_worse_than_the_oldest_first(tasks: list[Task], first: int, apart: int) -> None:
    def arrives(order: Sequence[int]) -> tuple[tuple[float, int], tuple[float, int]]:
        return (
            in_time(tasks, order, first, apart, recognised=False),
            in_time(tasks, order, first, apart, recognised=True),
        )

    assert arrives(in_order(tasks, first, apart)) >= arrives(range(len(tasks)))


@given(FEW_TASKS, st.integers(0, 50), st.integers(1, 30))
def test_no_order_has_more_worth_arrive_while_it_is_accepted(
    tasks: list[Task], first: int, apart: int
) -> None:
    best = max(
        in_time(tasks, order, first, apart, recognised=False)
        for order in permutations(range(len(tasks)))
    )
    found = in_time(tasks, in_order(tasks, first, apart), first, apart, recognised=False)
    assert math.isclose(found[0], best[0])


@given(FEW_TASKS, st.integers(0, 50), st.integers(1, 30))
def test_where_no_age_limit_is_near_no_order_has_more_worth_arrive_while_it_is_recognised(
    tasks: list[Task], first: int, apart: int
) -> None:
    tasks = [Task(task.worth, math.inf, task.recognised_until) for task in tasks]
    best = max(
        in_time(tasks, order, first, apart, recognised=True)
        for order in permutations(range(len(tasks)))
    )
    found = in_time(tasks, in_order(tasks, first, apart), first, apart, recognised=True)
    assert math.isclose(found[0], best[0])


@given(st.lists(WORTH, max_size=30), APART)
def test_where_no_limit_is_near_the_oldest_go_first(worths: list[float], apart: float) -> None:
    assert in_order([Task(worth) for worth in worths], 0.0, apart) == list(range(len(worths)))


def test_the_dear_ones_go_where_there_is_room_for_some_only_and_the_lost_ones_go_last() -> None:
    cheap, dear, late, dearer_and_late = Task(1, 60), Task(9, 60), Task(5, -1), Task(7, -1)
    tasks = [dearer_and_late, late, cheap, cheap, dear]
    assert in_order(tasks, 0.0, 60.0) == [2, 4, 0, 1, 3]


def test_what_would_be_lost_comes_before_what_would_only_be_counted_twice() -> None:
    fresh, dying = Task(10, 600, 0), Task(5, 0, -1)
    assert in_order([fresh, dying], 0.0, 60.0) == [1, 0]
