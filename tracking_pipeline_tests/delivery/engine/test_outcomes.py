from __future__ import annotations

from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    reject,
)
from tracking_pipeline.delivery.failures import Failure


def test_there_are_five_outcomes_and_each_has_a_name_of_its_own() -> None:
    fault = Fault("why", Failure.META_EVENT_INVALID)
    outcomes = (
        Delivered(),
        Retry(fault),
        Throttled(fault, 1.0),
        Paused(fault),
        Rejected("why", fault),
    )

    assert [outcome.name for outcome in outcomes] == [
        "delivered",
        "retry",
        "throttled",
        "paused",
        "rejected",
    ]


def test_a_rejection_decided_here_says_its_reason_as_its_message() -> None:
    rejected = reject("missing event_name", Failure.EVENT_FIELD_MISSING, code="local")

    assert rejected.reason == rejected.fault.message == "missing event_name"
    assert (rejected.fault.code, rejected.fault.http_status) == ("local", None)


def test_a_refusal_names_no_culprit_unless_it_is_told() -> None:
    assert Refused(reject("bad", Failure.META_EVENT_INVALID)).named == {}
