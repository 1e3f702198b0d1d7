"""What holds of every platform that takes a JSON list of events."""

from __future__ import annotations

import pytest

from tracking_pipeline.delivery.destinations.codes import Codes
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told
from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.engine.outcomes import Refused, Retry, Uniform
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW

CODES = [spec.implementation().codes for spec in REGISTRY if not spec.is_store]


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 524])
def test_a_status_that_says_later_refuses_no_event_whatever_code_goes_with_it(
    codes: Codes, status: int
) -> None:
    judge = Judge("the platform", codes)
    for code in codes.having("rejected"):
        told = Told(names=(code,), members={0: "wrong"})
        verdict = judge.verdict(Answer(status), told, NOW)
        assert isinstance(verdict, Uniform)
        assert isinstance(verdict.outcome, Retry)
        assert isinstance(judge.verdict(Answer(400), told, NOW), Refused)
