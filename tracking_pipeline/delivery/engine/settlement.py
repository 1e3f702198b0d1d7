"""What an outcome makes of a row of the queue. Pure: the jitter is passed in.

Delivered   resolved
Retry       retry_count + 1; retrying with a wait, or dead letter where backoff.py gives none
Rejected    dead letter, with the outcome's reason; no retry is spent
Withheld    resolved, with the outcome's reason; no retry is spent
Postponed   the row stays as it was, and waits until its time
Throttled   the row stays as it was
Paused      the row stays as it was
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from tracking_pipeline.delivery.engine.backoff import BASE_SECONDS, next_wait_seconds
from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    NotSent,
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Withheld,
)
from tracking_pipeline.store.failed_events import MOST_RETRIES, WARNINGS_BETWEEN, Settlement

RETRIES_EXHAUSTED = "max_retries"


def settlement(
    event: FailedEvent,
    outcome: Outcome | NotSent,
    *,
    jitter: float,
    retry_horizon: timedelta | None = None,
    retry_base_seconds: float = BASE_SECONDS,
    requests: int = 0,
    request_id: UUID | None = None,
    duration_ms: int | None = None,
) -> Settlement:
    """The settlement of one attempt. ``requests`` 0 means: decided without a request.
    ``retry_horizon`` and ``retry_base_seconds`` are the destination's."""
    attempt = min(event.retry_count + 1, MOST_RETRIES)
    if isinstance(outcome, Delivered):
        return Settlement(
            event.id,
            event.event_id,
            event.lease_token,
            outcome.name,
            attempt,
            "resolved",
            error_message=outcome.said or None,
            http_status=outcome.http_status,
            requests=requests,
            request_id=request_id,
            duration_ms=duration_ms,
            duplicate=outcome.duplicate,
            warning=WARNINGS_BETWEEN.join(outcome.warnings) or None,
        )
    status: str | None = None
    retry_count: int | None = None
    wait: float | None = None
    reason: str | None = None
    if isinstance(outcome, Withheld):
        status = "resolved"
    elif isinstance(outcome, Rejected):
        status, reason = "dead_letter", outcome.reason
    elif isinstance(outcome, Retry):
        retry_count = attempt
        wait = next_wait_seconds(
            event,
            attempt,
            outcome.retry_after_seconds,
            jitter,
            retry_horizon,
            base_seconds=retry_base_seconds,
        )
        if wait is None:
            status, reason = "dead_letter", RETRIES_EXHAUSTED
        else:
            status = "retrying"
    fault = outcome.fault
    return Settlement(
        id=event.id,
        event_id=event.event_id,
        lease_token=event.lease_token,
        outcome=outcome.name,
        attempt=attempt,
        status=status,
        retry_count=retry_count,
        wait_seconds=wait,
        dead_letter_reason=reason,
        withheld_reason=outcome.reason if isinstance(outcome, Withheld) else None,
        postponed_until=outcome.until if isinstance(outcome, Postponed) else None,
        error_message=fault.message or None,
        error_code=fault.code,
        http_status=fault.http_status,
        failure_code=fault.failure.code,
        platform_message=fault.said,
        trace_id=fault.trace_id,
        field_path=fault.fields,
        requests=requests,
        request_id=request_id,
        duration_ms=duration_ms,
    )
