"""What a value means beside its thresholds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.thresholds import ThresholdResult, Thresholds, evaluate

EMQ = Thresholds("below", 7.0, 4.0, minimum_events=20, clear_margin=0.05, best=10.0)
QUEUE = Thresholds("above", 5, 10, clear_margin=0.05)


@pytest.mark.parametrize(
    ("value", "level", "threshold"),
    [
        (8.0, "ok", 7.0),
        (7.0, "ok", 7.0),
        (6.99, "warning", 7.0),
        (4.0, "warning", 7.0),
        (3.99, "critical", 4.0),
        (0.0, "critical", 4.0),
    ],
)
def test_a_score_on_its_threshold_is_not_below_it(
    value: float, level: str, threshold: float
) -> None:
    result = evaluate(EMQ, Measured(value, 100))
    assert (result.level, result.threshold, result.value) == (level, threshold, value)


@pytest.mark.parametrize(
    ("value", "level"),
    [(0, "ok"), (5, "ok"), (6, "warning"), (10, "warning"), (11, "critical")],
)
def test_a_queue_on_its_threshold_is_not_above_it(value: float, level: str) -> None:
    assert evaluate(QUEUE, Measured(value)).level == level


@pytest.mark.parametrize(
    ("value", "level", "holds"),
    [
        (7.4, "ok", "ok"),
        (7.34, "ok", "warning"),
        (7.0, "ok", "warning"),
        (4.21, "warning", "warning"),
        (4.19, "warning", "critical"),
        (3.9, "critical", "critical"),
    ],
)
def test_an_alert_is_held_until_the_clear_threshold(value: float, level: str, holds: str) -> None:
    result = evaluate(EMQ, Measured(value, 100))
    assert (result.level, result.holds) == (level, holds)


def test_a_rate_of_few_events_means_nothing() -> None:
    result = evaluate(EMQ, Measured(0.5, 19))
    assert (result.level, result.holds, result.value) == ("no_data", "no_data", 0.5)
    assert result.detail == "19 of the 20 events that a verdict needs"
    assert evaluate(EMQ, Measured(0.5, 20)).level == "critical"


def test_nothing_measured_is_not_well() -> None:
    assert evaluate(EMQ, Measured(None, 0)) == ThresholdResult(
        "no_data", "no_data", None, 7.0, "no events"
    )


def test_a_metric_may_have_one_threshold_only() -> None:
    paused = Thresholds("above", None, 0)
    assert evaluate(paused, Measured(0)) == ThresholdResult("ok", "ok", 0, 0)
    assert evaluate(paused, Measured(1)) == ThresholdResult("critical", "critical", 1, 0)


def test_a_threshold_near_the_best_value_can_be_left_behind() -> None:
    strict = Thresholds("below", 9.8, 9.6, clear_margin=0.5, best=10.0)
    assert evaluate(strict, Measured(9.95)).holds == "ok"


LEVELS = ["ok", "warning", "critical"]


@given(
    st.sampled_from(["below", "above"]),
    st.floats(0, 10),
    st.floats(0, 10),
    st.floats(0, 0.5),
    st.floats(0, 10),
)
def test_an_alert_is_never_held_at_less_than_it_is_raised(
    direction: str, warning: float, critical: float, margin: float, value: float
) -> None:
    thresholds = Thresholds(
        direction,
        warning,
        critical,
        clear_margin=margin,
    )
    result = evaluate(thresholds, Measured(value))
    assert LEVELS.index(result.level) <= LEVELS.index(result.holds)
