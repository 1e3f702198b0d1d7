"""What Meta's own scores say about our estimate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tracking_pipeline.health.view.calibration_note import (
    CalibrationNote,
    calibration_note,
    coverage_gaps,
    daily_snapshots,
)
from tracking_pipeline.store.health_history import ReportedScore
from tracking_pipeline_tests.health.recorded import NOW, reported
from tracking_pipeline_tests.health.site import policy


def note(
    scores: list[ReportedScore], *, asks_meta: bool = True, **settings: object
) -> CalibrationNote:
    return calibration_note(scores, policy(**settings), asks_meta=asks_meta)


def said(found: CalibrationNote) -> str:
    return " ".join(found.sentences)


def test_without_a_token_the_score_is_uncalibrated_and_it_says_what_to_set() -> None:
    found = note([], asks_meta=False)
    assert found.label == "uncalibrated estimate"
    assert "META_ACCESS_TOKEN" in said(found)
    assert (found.setting, found.error) == (None, None)


def test_with_a_token_and_no_score_yet_it_says_how_to_get_one() -> None:
    assert "materialize the asset meta_reported_emq" in said(note([]))


def test_one_score_is_too_few() -> None:
    found = note(reported(1))
    assert "too few" in said(found)
    assert found.label == "uncalibrated estimate"


def test_a_few_scores_give_a_factor_and_no_weights_to_set() -> None:
    found = note(reported(4))
    assert found.calibration is not None
    assert found.calibration.kind == "factor"
    assert found.setting is None
    assert "calibrated, it would be off by" in said(found)


def test_enough_scores_give_weights_to_set_and_their_error() -> None:
    found = note(reported(12))
    assert found.setting is not None
    assert found.setting.startswith("em=0.")
    assert found.error is not None
    assert found.error < 0.2
    assert found.label == "uncalibrated estimate"


def test_weights_in_use_are_judged_by_what_meta_reports() -> None:
    offered = note(reported(12)).setting
    assert offered is not None
    weights = dict(part.split("=") for part in offered.split(","))
    used = note(reported(12), emq_weights={name: float(w) for name, w in weights.items()})
    assert used.label.startswith("calibrated by EMQ_WEIGHTS, off by 0.")
    assert used.setting is None
    assert used.error is not None
    default = note(reported(12)).calibration
    assert default is not None
    assert default.uncalibrated_error is not None
    assert used.error < default.uncalibrated_error


def test_a_fit_that_is_no_better_is_not_offered() -> None:
    # The default weights are right: e-mail 0.45, fbp 0.32, network 0.38.
    scores = [
        replace(each, score=10 * (1 - (1 - 0.45) ** (em / 100) * (1 - 0.32) ** 0.97 * (1 - 0.38)))
        for each in reported(12)
        if (em := each.ledger_coverage_percent["em"])
    ]
    found = note(scores)
    assert found.setting is None
    assert "would not be better" in said(found)


def test_the_weighted_model_is_not_calibrated() -> None:
    found = note(reported(12), emq_model="weighted")
    assert found.setting is None
    assert "saturating" in said(found)


def test_of_several_scores_of_a_day_the_last_counts() -> None:
    first = reported(1)[0]
    second = replace(first, score=9.0, taken_at=first.taken_at + timedelta(hours=1))
    (snapshot,) = daily_snapshots([first, second])
    assert snapshot.reported_score == 9.0


def test_a_score_without_a_coverage_of_ours_calibrates_nothing() -> None:
    assert daily_snapshots([ReportedScore("Lead", 6.0, NOW)]) == []


def test_a_key_that_gets_lost_on_its_way_is_named() -> None:
    score = ReportedScore(
        "Lead", 6.0, NOW, {"email": 60.0, "phone": 88.0}, {"em": 90.0, "ph": 90.0}
    )
    (sentence,) = coverage_gaps([score])
    assert sentence.startswith(
        "Meta sees e-mail with 60 % of the events Lead, the ledger with 90 %"
    )


def test_a_key_that_we_do_not_know_is_no_gap() -> None:
    score = ReportedScore("Lead", 6.0, NOW, {"something_new": 1.0}, {"em": 90.0})
    assert coverage_gaps([score]) == []
