"""What Google's later answer makes of a failed event that it had accepted. Pure.

    refused     dead letter, with the reason
    later       one retry spent, and waits for six hours at least, or dead letter at its last one
    account     back in the queue, due at once, nothing spent: the breaker is what it waits for

An event that is only sent again, to find out which one of its request is meant, stays resolved
whatever comes of that; unless it is refused by itself, which is exact.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tracking_pipeline.delivery.destinations.google.answers import CODES
from tracking_pipeline.delivery.destinations.google.request_status import RequestStatus
from tracking_pipeline.delivery.engine.bisection import INTERRUPTED, Tried
from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.delivery.engine.outcomes import Fault, Paused, Rejected, Retry
from tracking_pipeline.delivery.engine.settlement import settlement
from tracking_pipeline.store.failed_events import Settlement

# TOO_RECENT_CLICK and the like: Google asks for some hours.
LATER_SECONDS = 6 * 60 * 60.0


def later_outcome(status: RequestStatus) -> Rejected | Retry | Paused:
    """What a status that holds for all events of its request, and is no delivery, means for
    each."""
    names = ", ".join(status.reasons) or "no reason given"
    code = status.reasons[0] if status.reasons else "FAILED"
    if status.state == "account":
        failure = CODES.failure("paused", *status.reasons)
        return Paused(Fault("accepted, then refused by Google", failure, code))
    message = f"accepted, then refused by Google: {names}"
    if status.state == "refused":
        fault = Fault(message, CODES.failure("rejected", *status.reasons), code)
        return Rejected(f"refused by Google: {names}", fault)
    return Retry(Fault(message, CODES.failure("retry", *status.reasons), code), LATER_SECONDS)


def taking_back(
    event: FailedEvent,
    outcome: Rejected | Retry | Paused,
    *,
    jitter: float,
    retry_horizon: timedelta | None,
) -> Settlement:
    """The settlement that takes back a delivery; it was decided without a request."""
    settled = settlement(event, outcome, jitter=jitter, retry_horizon=retry_horizon)
    if isinstance(outcome, Paused):
        return replace(
            settled, status="retrying" if event.retry_count else "pending", wait_seconds=0.0
        )
    return settled


def sent_again(tried: Tried) -> Settlement:
    """The settlement of a delivered event that was sent again in a search."""
    outcome = tried.outcome or INTERRUPTED
    settled = settlement(
        tried.prepared.event,
        outcome,
        jitter=0.0,
        requests=tried.requests,
        request_id=tried.request_id,
        duration_ms=tried.duration_ms,
    )
    if isinstance(outcome, Rejected):
        return settled
    return replace(
        settled, status=None, retry_count=None, wait_seconds=None, dead_letter_reason=None
    )
