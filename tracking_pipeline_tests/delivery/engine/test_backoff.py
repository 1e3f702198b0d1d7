from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.backoff import wait_seconds

DAY = 24 * 60 * 60
DICE = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("retry_count", "minutes"),
    [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (8, 1280), (9, 1440), (60, 1440)],
)
def test_the_wait_doubles_with_each_retry_up_to_a_day(retry_count: int, minutes: int) -> None:
    assert wait_seconds(retry_count, None, 0.0) == minutes * 60


def test_a_retry_count_of_any_size_waits_a_day() -> None:
    assert wait_seconds(2**31 - 1, None, 0.0) == DAY


@given(st.integers(0, 10_000), DICE)
def test_jitter_only_makes_it_later_and_by_a_fifth_at_most(retry_count: int, jitter: float) -> None:
    bare = wait_seconds(retry_count, None, 0.0)

    assert bare <= wait_seconds(retry_count, None, jitter) <= bare * 1.2


def test_two_rows_that_failed_together_do_not_come_back_together() -> None:
    assert wait_seconds(1, None, 0.1) < wait_seconds(1, None, 0.9)


@given(st.integers(0, 20), st.floats(0, DAY), DICE)
def test_no_retry_comes_before_the_time_that_the_answer_named(
    retry_count: int, asked: float, jitter: float
) -> None:
    assert wait_seconds(retry_count, asked, jitter) >= asked


def test_an_answer_that_asks_for_less_does_not_shorten_the_wait() -> None:
    assert wait_seconds(1, 3.0, 0.0) == 600


@pytest.mark.parametrize("asked", [DAY * 365.0, 1e300, math.inf])
def test_an_answer_that_asks_for_a_year_gets_a_day(asked: float) -> None:
    assert wait_seconds(1, asked, 0.0) == DAY


@pytest.mark.parametrize("asked", [-1.0, -math.inf, math.nan, 0.0])
def test_an_answer_that_asks_for_nonsense_is_ignored(asked: float) -> None:
    assert wait_seconds(1, asked, 0.0) == 600
