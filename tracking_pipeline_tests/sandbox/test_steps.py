from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.sandbox.steps import Reach, ScriptStep, StepError, parse_step, write_step


@pytest.mark.parametrize(
    "raw",
    [
        200,
        400,
        404,
        429,
        503,
        "timeout",
        "reset",
        "late_reset",
        "html",
        "broken_json",
        "bad",
        {"status": 429, "retry_after": "30"},
        {"code": 190},
        {"code": 100, "subcode": 2804003, "message": "too old"},
        {"status": 404, "subcode": None},
        {"status": 500, "delay_seconds": 0.05},
    ],
)
def test_a_step_is_written_so_that_it_is_read_back_as_the_same(raw: Any) -> None:
    step = parse_step(raw)
    assert parse_step(write_step(step)) == step


@pytest.mark.parametrize(
    ("raw", "reach"),
    [
        (200, Reach.NOBODY),
        (400, Reach.EVENT),
        (413, Reach.EVENT),
        ("bad", Reach.EVENT),
        ({"code": 100, "subcode": 2804003}, Reach.EVENT),
        ({"code": 105}, Reach.EVENT),
        (401, Reach.DESTINATION),
        (403, Reach.DESTINATION),
        (404, Reach.DESTINATION),
        (429, Reach.DESTINATION),
        ({"code": 190}, Reach.DESTINATION),
        ({"code": 4}, Reach.DESTINATION),
        ({"code": 200}, Reach.DESTINATION),
        ({"code": 100, "subcode": 33}, Reach.DESTINATION),
        ({"code": 190, "status": 500}, Reach.DESTINATION),
        (408, Reach.REQUEST),
        (500, Reach.REQUEST),
        (503, Reach.REQUEST),
        ("timeout", Reach.REQUEST),
        ("late_reset", Reach.REQUEST),
    ],
)
def test_a_step_speaks_about_the_event_the_request_or_the_destination(
    raw: Any, reach: Reach
) -> None:
    assert parse_step(raw).reach is reach


def test_only_good_and_in_doubt_steps_leave_the_event_with_the_destination() -> None:
    raws = (200, "late_reset", "broken_json", 400, 500, "timeout", "reset", "html", "bad")
    assert [raw for raw in raws if parse_step(raw).accepts] == [200, "late_reset", "broken_json"]


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("time-out", "time-out"),
        ("answer", "answer"),
        (99, "99"),
        (True, "bool"),
        (None, "NoneType"),
        ({"satus": 500}, "satus"),
        ({"kind": "bad"}, "kind"),
        ({"status": "500"}, "500"),
        ({"code": "190"}, "code"),
        ({"status": 429, "retry_after": 30}, "retry_after"),
        ({"delay_seconds": "long"}, "delay_seconds"),
    ],
)
def test_a_step_that_does_not_exist_is_named_in_the_error(raw: Any, named: str) -> None:
    with pytest.raises(StepError, match=named):
        parse_step(raw)


def test_an_error_code_alone_is_answered_with_status_400() -> None:
    assert parse_step({"code": 4}) == ScriptStep(status=400, code=4)
