"""What an answer means that has none of its platform's own words: no answer at all, a proxy's page,
a bare HTTP status. Pure.

Failure policy: such an answer comes from something on the way (a proxy, a load balancer, a
firewall) as often as from the platform. What may pass is tried again; what would meet every event
pauses the destination; only an answer that speaks of what was sent has the request searched for its
culprits, and only a culprit that stands alone becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.engine.outcomes import (
    Fault,
    Outcome,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.http_client import Answer

_HTTP = "https://www.rfc-editor.org/rfc/rfc9110#name-status-codes"

CODES = Codes(
    {
        **known(Failure.DESTINATION_RATE_LIMITED, _HTTP, "429"),
        **known(Failure.DESTINATION_ACCESS_DENIED, _HTTP, "401", "403"),
        **known(Failure.DESTINATION_ADDRESS_WRONG, _HTTP, "3xx", "404"),
        **known(Failure.DESTINATION_REQUEST_REFUSED, _HTTP, "400", "413", "422"),
        **known(Failure.DESTINATION_ANSWER_UNREADABLE, _HTTP, "2xx", "oversized"),
        **known(Failure.DESTINATION_REQUEST_IMPOSSIBLE, _HTTP, "unsendable"),
        **known(Failure.DESTINATION_UNREACHABLE, _HTTP, "timeout", "connection"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.DESTINATION_ADDRESS_WRONG,
        "rejected": Failure.DESTINATION_REQUEST_REFUSED,
    },
)

FaultAs: TypeAlias = Callable[[FailureOutcome], Fault]
"""The fault of an answer, once it is decided what becomes of its events."""

# The wait of a rate limit whose answer names none, and the longest that is believed.
DEFAULT_THROTTLE_SECONDS = 60.0
LONGEST_THROTTLE_SECONDS = 24 * 60 * 60.0


def without_answer(answer: Answer, *, expected: str = "one of this API") -> Retry | Paused:
    """The outcome where no answer was read: ``answer.fault`` is set, or there is no status.

    ``expected`` is what an answer that is too large cannot have been, as in "a container's".
    """
    if answer.fault == "unsendable":
        # It would meet every event: the fault is in what is set, not in what is sent.
        message = "the request cannot be made: its address or its credentials are unusable"
        failure = CODES.failure("paused", answer.fault)
        return Paused(Fault(message, failure, answer.fault))
    message = {
        "timeout": "no answer in time",
        "connection": "the connection failed",
        "oversized": f"the answer was too large to be {expected}",
    }[answer.fault or "connection"]
    name = answer.fault or "connection"
    return Retry(Fault(message, CODES.failure("retry", name), answer.fault, answer.status))


def unreadable(answer: Answer, outcome: FailureOutcome) -> Fault:
    """The fault of an answer in which nothing could be read but its status."""
    status = answer.status or 0
    failure = CODES.failure(outcome, str(status), f"{status // 100}xx")
    if outcome == "retry" and status < 500 and is_web_page(answer):
        failure = Failure.DESTINATION_ANSWER_UNREADABLE
    message = f"HTTP {status} without a readable answer"
    return Fault(message, failure, str(status), answer.status)


def is_web_page(answer: Answer) -> bool:
    """Whether a page of HTML answered, as a proxy or a firewall does and no API of ours."""
    return "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def is_passing(status: int) -> bool:
    """Whether a status says of a request that it may be taken later: RFC 9110 15.5.9 and 15.6, RFC
    8470 5.2."""
    return status in (408, 425) or status >= 500


def bounded_throttle(seconds: float) -> float:
    """So many seconds, but at least one and at most :data:`LONGEST_THROTTLE_SECONDS`."""
    return min(max(seconds, 1.0), LONGEST_THROTTLE_SECONDS)


def classify_status(
    answer: Answer,
    fault_as: FaultAs,
    *,
    refusal: Callable[[Fault], str],
    retry_after_seconds: float | None,
    throttle_seconds: float,
) -> Verdict:
    """The verdict of the HTTP status alone, on an answer of a platform's API.

    ``refusal`` gives the reason of a culprit's dead letter. The two waits are those of a retry and
    of a rate limit: platforms differ in where they name them.

    A 400 or 422 speaks of what was sent, and the search for the culprit costs less than a dead
    letter for each of its mates; a web page with that status is a proxy's, and says nothing. A 413
    holds whoever says it: the request is too large, and its halves may not be.
    """
    status = answer.status
    outcome: Outcome = Retry(fault_as("retry"), retry_after_seconds)
    if status == 429:
        outcome = Throttled(fault_as("throttled"), throttle_seconds)
    elif status in (401, 403, 404) or (status is not None and 300 <= status < 400):
        outcome = Paused(fault_as("paused"), certain=status == 401)
    elif status == 413 or (status in (400, 422) and not is_web_page(answer)):
        fault = fault_as("rejected")
        return Refused(Rejected(refusal(fault), fault))
    return Uniform(outcome)
