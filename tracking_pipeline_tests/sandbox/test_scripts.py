from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.steps import Scripts, StepError


def _labels(scripts: Scripts, *requests: list[str]) -> list[str | None]:
    steps = [scripts.take(event_ids) for event_ids in requests]
    return [None if step is None else step.label for step in steps]


def test_an_event_meets_its_steps_in_order_and_is_good_afterwards() -> None:
    scripts = Scripts()
    scripts.set("a", [500, "timeout", 200])
    assert _labels(scripts, *[["a"]] * 4) == ["500", "timeout", "200", None]


def test_events_without_a_script_are_good() -> None:
    assert _labels(Scripts(), ["a", "b"]) == [None]


def test_ten_events_with_the_same_step_fail_one_batch_once() -> None:
    scripts = Scripts()
    scripts.update({f"e{number}": [500, 200] for number in range(10)})
    batch = [f"e{number}" for number in range(10)]
    assert _labels(scripts, batch, batch, batch) == ["500", "200", None]


def test_different_faults_of_one_batch_are_met_one_after_the_other() -> None:
    scripts = Scripts()
    scripts.update({"a": [500], "b": ["reset"]})
    assert _labels(scripts, ["b", "a"], ["b", "a"], ["b", "a"]) == ["reset", "500", None]


def test_a_scripted_400_is_refused_in_every_batch_and_once_alone() -> None:
    scripts = Scripts()
    scripts.set("a", [400])
    assert _labels(scripts, ["a", "b"], ["b", "a"], ["a"], ["a"]) == ["400", "400", "400", None]


def test_a_bad_event_stays_bad_for_ever() -> None:
    scripts = Scripts()
    scripts.set("a", ["bad"])
    assert _labels(scripts, ["a", "b"], ["a"], ["a"], ["b"]) == ["400", "400", "400", None]
    assert scripts.remaining("a") == ["bad"]


def test_a_refusal_goes_before_a_failing_request_and_leaves_it_for_later() -> None:
    scripts = Scripts()
    scripts.update({"a": [503], "b": ["bad"]})
    assert _labels(scripts, ["a", "b"], ["a"], ["a"]) == ["400", "503", None]


def test_a_bad_token_goes_before_a_refusal() -> None:
    scripts = Scripts()
    scripts.update({"a": ["bad"], "b": [{"code": 190}]})
    step = scripts.take(["a", "b"])
    assert step is not None
    assert step.code == 190
    assert _labels(scripts, ["a", "b"]) == ["400"]


def test_a_good_step_is_used_up_only_when_the_event_is_accepted() -> None:
    scripts = Scripts()
    scripts.update({"a": [200, 500], "b": [503]})
    assert _labels(scripts, ["a", "b"]) == ["503"]
    assert scripts.remaining("a") == [{"status": 200, "code": None, "subcode": None}, _FAILS]
    assert _labels(scripts, ["a", "b"], ["a"]) == ["200", "500"]


_FAILS = {"status": 500, "code": 1, "subcode": None}


def test_a_request_that_was_accepted_and_lost_uses_up_the_good_steps_too() -> None:
    scripts = Scripts()
    scripts.update({"a": [200, 500], "b": ["late_reset"]})
    assert _labels(scripts, ["a", "b"], ["a"]) == ["late_reset", "500"]


def test_a_slow_good_answer_makes_its_batch_slow() -> None:
    scripts = Scripts()
    scripts.update({"a": [200], "b": [{"status": 200, "delay_seconds": 0.25}]})
    step = scripts.take(["a", "b"])
    assert step is not None
    assert (step.is_good, step.delay_seconds) == (True, 0.25)
    assert (scripts.remaining("a"), scripts.remaining("b")) == ([], [])


def test_one_wrong_step_leaves_all_scripts_as_they_were() -> None:
    scripts = Scripts()
    scripts.set("a", [500])
    with pytest.raises(StepError):
        scripts.update({"a": [503], "b": ["nonsense"]})
    assert _labels(scripts, ["a", "b"], ["a", "b"]) == ["500", None]


def test_a_new_script_takes_the_place_of_the_old_one() -> None:
    scripts = Scripts()
    scripts.set("a", [500, 500])
    scripts.set("a", [])
    assert _labels(scripts, ["a"]) == [None]
