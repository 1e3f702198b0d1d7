from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Outcome,
    Paused,
    Postponed,
    Rejected,
    Retry,
    Throttled,
    reject,
    withhold,
)
from tracking_pipeline.delivery.engine.settlement import RETRIES_EXHAUSTED, settlement
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

FAULT = Fault("no answer in time", Failure.DESTINATION_UNREACHABLE, "timeout", 503)


def test_a_delivered_event_is_resolved_and_spends_no_retry() -> None:
    settled = settlement(claimed({}, retry_count=2), Delivered(200), jitter=0.5)

    assert (settled.status, settled.retry_count, settled.wait_seconds) == ("resolved", None, None)
    assert (settled.outcome, settled.http_status) == ("delivered", 200)
    assert settled.error_message is settled.error_code is settled.dead_letter_reason is None


@pytest.mark.parametrize("duplicate", ["event", "conversion", None])
def test_a_duplicate_is_resolved_and_told_apart(duplicate: str | None) -> None:
    settled = settlement(claimed({}), Delivered(duplicate=duplicate), jitter=0.0)

    assert (settled.status, settled.duplicate) == ("resolved", duplicate)


@pytest.mark.parametrize(("retries_before", "minutes"), [(0, 10), (1, 20), (2, 40), (3, 80)])
def test_a_failure_waits_by_the_retry_that_it_spent(retries_before: int, minutes: int) -> None:
    settled = settlement(claimed({}, retry_count=retries_before), Retry(FAULT), jitter=0.0)

    assert (settled.status, settled.retry_count) == ("retrying", retries_before + 1)
    assert settled.wait_seconds == minutes * 60
    assert (settled.error_message, settled.error_code, settled.http_status) == (
        "no answer in time",
        "timeout",
        503,
    )


def test_the_fifth_failure_of_a_row_with_five_retries_is_a_dead_letter() -> None:
    settled = settlement(claimed({}, retry_count=4), Retry(FAULT), jitter=0.0)

    assert (settled.status, settled.retry_count) == ("dead_letter", 5)
    assert (settled.dead_letter_reason, settled.wait_seconds) == (RETRIES_EXHAUSTED, None)


@given(st.integers(0, 50), st.integers(0, 50))
def test_each_row_has_as_many_retries_as_it_says_itself(
    retries_before: int, max_retries: int
) -> None:
    event = claimed({}, retry_count=retries_before, max_retries=max_retries)

    settled = settlement(event, Retry(FAULT), jitter=0.0)

    assert (settled.status == "dead_letter") == (retries_before + 1 >= max_retries)
    assert settled.retry_count == retries_before + 1


@given(
    st.integers(5, 200),
    st.floats(0, 200 * 3600),
    st.floats(1, 200),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 10**9),
)
def test_a_horizon_goes_on_after_the_usual_retries_and_never_past_itself(
    retries_before: int, age_seconds: float, hours: float, jitter: float, asked: float | None
) -> None:
    event = claimed({}, retry_count=retries_before, created_at=NOW - timedelta(seconds=age_seconds))
    horizon = timedelta(hours=hours)

    settled = settlement(
        event, Retry(FAULT, retry_after_seconds=asked), jitter=jitter, retry_horizon=horizon
    )

    assert settled.retry_count == retries_before + 1
    wait = settled.wait_seconds
    if wait is None:
        assert settled.dead_letter_reason == RETRIES_EXHAUSTED
        most = max(160 * 60, min(asked or 0, 24 * 3600)) * 1.2
        assert age_seconds + most >= hours * 3600 - 1e-3
    else:
        assert settled.status == "retrying"
        assert wait >= max(160 * 60, min(asked or 0, 24 * 3600))
        assert age_seconds + wait <= hours * 3600 + 1e-3


@given(st.integers(0, 50), st.integers(0, 50).filter(lambda most: most != 5))
def test_a_row_whose_retries_the_site_set_keeps_to_them_whatever_the_horizon(
    retries_before: int, max_retries: int
) -> None:
    event = claimed({}, retry_count=retries_before, max_retries=max_retries)

    with_horizon, without = (
        settlement(event, Retry(FAULT), jitter=0.0, retry_horizon=horizon)
        for horizon in (timedelta(days=7), None)
    )

    assert with_horizon == without


@given(st.integers(0, 3), st.floats(0, 10**7))
def test_a_horizon_takes_no_retry_away(retries_before: int, age_seconds: float) -> None:
    event = claimed({}, retry_count=retries_before, created_at=NOW - timedelta(seconds=age_seconds))

    short, without = (
        settlement(event, Retry(FAULT), jitter=0.0, retry_horizon=horizon)
        for horizon in (timedelta(hours=1), None)
    )

    assert short == without


@pytest.mark.parametrize(
    "created_at", [NOW + timedelta(minutes=1), datetime(9999, 12, 30, tzinfo=timezone.utc)]
)
def test_a_row_that_was_made_after_its_claim_has_no_horizon(created_at: datetime) -> None:
    event = claimed({}, retry_count=4, created_at=created_at)

    settled = settlement(event, Retry(FAULT), jitter=0.0, retry_horizon=timedelta(days=7))

    assert settled.status == "dead_letter"


def test_the_wait_that_an_answer_asks_for_is_kept() -> None:
    settled = settlement(claimed({}), Retry(FAULT, retry_after_seconds=7_200.0), jitter=0.0)

    assert settled.wait_seconds == 7_200


def test_a_rejected_event_is_a_dead_letter_at_once_with_the_reason() -> None:
    settled = settlement(
        claimed({}), reject("missing event_name", Failure.EVENT_FIELD_MISSING), jitter=0.0
    )

    assert (settled.status, settled.dead_letter_reason) == ("dead_letter", "missing event_name")
    assert settled.retry_count is settled.wait_seconds is None
    assert settled.requests == 0


def test_a_withheld_event_is_resolved_with_the_reason_and_spends_no_retry() -> None:
    settled = settlement(
        claimed({}, retry_count=2), withhold("consent denied", Failure.CONSENT_DENIED), jitter=0.5
    )

    assert (settled.status, settled.outcome) == ("resolved", "withheld")
    assert settled.withheld_reason == settled.error_message == "consent denied"
    assert settled.retry_count is settled.wait_seconds is None
    assert settled.dead_letter_reason is None
    assert settled.requests == 0


def test_a_postponed_event_stays_as_it_was_until_its_time() -> None:
    settled = settlement(claimed({}, retry_count=4), Postponed(NOW), jitter=0.9)

    assert (settled.status, settled.retry_count, settled.wait_seconds) == (None, None, None)
    assert settled.postponed_until == NOW
    assert settled.withheld_reason is settled.dead_letter_reason is None
    assert settled.error_message == "event_time lies in the future"


@pytest.mark.parametrize("outcome", [Throttled(FAULT, 60.0), Paused(FAULT)])
def test_a_destination_that_takes_nothing_leaves_the_row_as_it_was(outcome: Outcome) -> None:
    settled = settlement(claimed({}, retry_count=4), outcome, jitter=0.9)

    assert (settled.status, settled.retry_count, settled.wait_seconds) == (None, None, None)
    assert settled.dead_letter_reason is None
    assert settled.error_message == "no answer in time"


@pytest.mark.parametrize(
    "outcome",
    [Delivered(), Retry(FAULT), Throttled(FAULT, 1.0), Paused(FAULT), Rejected("expired", FAULT)],
)
def test_the_record_of_an_attempt_names_the_row_its_lease_and_its_request(outcome: Outcome) -> None:
    event = claimed({}, retry_count=2)
    request_id = UUID(int=9)

    settled = settlement(
        event, outcome, jitter=0.0, requests=3, request_id=request_id, duration_ms=41
    )

    assert (settled.id, settled.event_id) == (event.id, event.event_id)
    assert (settled.lease_token, settled.attempt) == (event.lease_token, 3)
    assert (settled.requests, settled.request_id, settled.duration_ms) == (3, request_id, 41)
    assert settled.outcome == outcome.name
