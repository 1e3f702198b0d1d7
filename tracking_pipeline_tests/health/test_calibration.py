"""The fit finds weights that are there to be found, and claims nothing where they are not."""

from __future__ import annotations

import random
from datetime import date, timedelta
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.emq.calibration import Calibration, ReportedScoreDay, calibrate
from tracking_pipeline.health.emq.score import SATURATING_WEIGHTS, keys_of_term, weights_of

DAY = date(2026, 11, 1)
TRUE_WEIGHTS = weights_of("saturating", {"em": 0.60, "fbc": 0.20, "ph": 0.10})


def reported(weights: dict[str, float], coverage_percent: dict[str, float]) -> float:
    exponent = sum(
        -log(1 - weight) * min(coverage_percent[key] for key in keys_of_term(term)) / 100
        for term, weight in weights.items()
    )
    return 10 * (1 - exp(-exponent))


def snapshots(count: int, weights: dict[str, float], name: str = "Lead") -> list[ReportedScoreDay]:
    chance = random.Random(count)
    made = []
    for number in range(count):
        coverage = {key: chance.uniform(0, 100) for term in weights for key in keys_of_term(term)}
        made.append(
            ReportedScoreDay(DAY + timedelta(number), name, reported(weights, coverage), coverage)
        )
    return made


@pytest.mark.parametrize("count", [0, 1])
def test_without_snapshots_the_score_is_uncalibrated(count: int) -> None:
    found = calibrate(snapshots(count, TRUE_WEIGHTS), SATURATING_WEIGHTS)
    assert found.kind == "none"
    assert found.label == "uncalibrated"
    assert found.weights == SATURATING_WEIGHTS


def test_many_snapshots_give_the_weights_that_made_them() -> None:
    found = calibrate(snapshots(300, TRUE_WEIGHTS), SATURATING_WEIGHTS)
    assert found.kind == "fit"
    assert found.weights == pytest.approx(TRUE_WEIGHTS, abs=0.03)
    assert found.mean_absolute_error is not None
    assert found.uncalibrated_error is not None
    assert found.mean_absolute_error < 0.1 < found.uncalibrated_error


def test_snapshots_that_all_look_alike_leave_the_keys_they_cannot_tell_apart_as_they_were() -> None:
    coverage = {key: 100.0 if key == "em" else 0.0 for key in TRUE_WEIGHTS} | {
        "client_ip_address": 0.0,
        "client_user_agent": 0.0,
    }
    same = [ReportedScoreDay(DAY, "Lead", 6.0, coverage)] * 40
    found = calibrate(same, SATURATING_WEIGHTS)
    assert found.weights["em"] == pytest.approx(0.6, abs=0.01)
    others = {term: weight for term, weight in found.weights.items() if term != "em"}
    assert others == pytest.approx({t: w for t, w in SATURATING_WEIGHTS.items() if t != "em"})


def test_the_error_is_that_of_predicting_what_was_left_out() -> None:
    chance = random.Random(7)
    noisy = [
        ReportedScoreDay(
            each.taken_on,
            each.event_name,
            min(max(each.reported_score + chance.uniform(-1, 1), 0), 10),
            each.coverage_percent,
        )
        for each in snapshots(10, TRUE_WEIGHTS)
    ]
    found = calibrate(noisy, SATURATING_WEIGHTS)
    errors = []
    for left_out in range(len(noisy)):
        others = [each for number, each in enumerate(noisy) if number != left_out]
        gone = noisy[left_out]
        # What is left is still enough for a fit.
        assert calibrate(others, SATURATING_WEIGHTS).kind == "fit"
        estimate = calibrate(others, SATURATING_WEIGHTS).estimate("Lead", gone.coverage_percent)
        errors.append(abs(estimate - gone.reported_score))
    assert found.mean_absolute_error == pytest.approx(np.mean(errors), abs=1e-6)


def test_few_snapshots_give_one_factor_for_each_event_name() -> None:
    few = [*snapshots(3, TRUE_WEIGHTS, "Lead"), *snapshots(1, TRUE_WEIGHTS, "Purchase")]
    half = {term: 1 - (1 - weight) ** 0.5 for term, weight in SATURATING_WEIGHTS.items()}
    few += snapshots(4, half, "Schedule")[:3]
    found = calibrate(few, SATURATING_WEIGHTS)
    assert found.kind == "factor"
    assert found.weights == SATURATING_WEIGHTS
    assert set(found.factor_by_event) == {"Lead", "Schedule"}
    assert found.factor_by_event["Schedule"] == pytest.approx(0.5)
    assert found.estimate("Schedule", few[-1].coverage_percent) == pytest.approx(
        few[-1].reported_score
    )
    assert found.label.startswith("calibrated on 7 snapshots, off by ")


def test_one_snapshot_of_each_name_tells_nothing_of_its_error() -> None:
    each_once = [snapshots(1, TRUE_WEIGHTS, name)[0] for name in ("Lead", "Purchase", "Contact")]
    assert calibrate(each_once, SATURATING_WEIGHTS).label == "uncalibrated"


def test_snapshots_without_any_coverage_tell_nothing() -> None:
    empty = [ReportedScoreDay(DAY, "Lead", 5.0, {})] * 3
    assert calibrate(empty, SATURATING_WEIGHTS).kind == "none"


SNAPSHOTS = st.lists(
    st.builds(
        ReportedScoreDay,
        st.just(DAY),
        st.sampled_from(["Lead", "Purchase"]),
        st.floats(0, 10),
        st.dictionaries(
            st.sampled_from(["em", "ph", "fbp", "client_ip_address", "client_user_agent"]),
            st.floats(0, 100),
        ),
    ),
    max_size=15,
)


@given(SNAPSHOTS)
def test_whatever_meta_reports_the_weights_can_be_used(
    given_snapshots: list[ReportedScoreDay],
) -> None:
    found = calibrate(given_snapshots, SATURATING_WEIGHTS)
    assert weights_of("saturating", found.weights) == found.weights
    for each in given_snapshots:
        assert 0 <= found.estimate(each.event_name, each.coverage_percent) <= 10


def test_no_weight_is_fitted_below_zero() -> None:
    # The more e-mail, the worse: no weight of 0 or more says that, so it becomes 0.
    against = [
        ReportedScoreDay(DAY, "Lead", 9.0 - share / 12.5, {"em": float(share), "fbp": 100.0})
        for share in range(0, 101, 5)
    ]
    found = calibrate(against, SATURATING_WEIGHTS)
    assert found.weights["em"] == 0.0
    assert min(found.weights.values()) >= 0.0


def test_the_weights_can_be_pasted_into_the_environment() -> None:
    found = Calibration("fit", {"em": 0.4512, "network": 0.38})
    assert found.as_setting() == "em=0.451,network=0.380"
