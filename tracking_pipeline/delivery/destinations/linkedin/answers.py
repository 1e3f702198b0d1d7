"""What an answer of LinkedIn's Conversions API means. Pure.

A batch is answered with a status for each element. One invalid event may also refuse the whole
request with 422, whose message has a line for each culprit with its position; that is not
documented, and where no line is found the request is searched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, in_order
from tracking_pipeline.delivery.engine.outcomes import Delivered, Rejected, Retry, Verdict
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What LinkedIn's errors mean: their ``code``, their ``serviceErrorCode``, and the HTTP status.

_ERRORS = "https://learn.microsoft.com/en-us/linkedin/shared/api-guide/concepts/error-handling"
_VERSIONS = "https://learn.microsoft.com/en-us/linkedin/marketing/versioning"
_RATES = "https://learn.microsoft.com/en-us/linkedin/shared/api-guide/concepts/rate-limits"
_OBSERVED = "rudderlabs/rudder-transformer, src/v1/destinations/linkedin_ads"

CODES = Codes(
    {
        **known(
            Failure.LINKEDIN_TOKEN_REFUSED,
            _ERRORS,
            *("401", "INVALID_ACCESS_TOKEN", "REVOKED_ACCESS_TOKEN", "EXPIRED_ACCESS_TOKEN"),
            *("EMPTY_ACCESS_TOKEN", "65600", "65601", "65602", "65604"),
        ),
        **known(Failure.LINKEDIN_PERMISSION_MISSING, _ERRORS, "403", "ACCESS_DENIED"),
        **known(
            Failure.LINKEDIN_VERSION_ENDED,
            _VERSIONS,
            *("426", "NONEXISTENT_VERSION", "VERSION_MISSING"),
        ),
        **known(Failure.DESTINATION_RATE_LIMITED, _RATES, "429", "TOO_MANY_REQUESTS"),
        **known(Failure.LINKEDIN_EVENT_REFUSED, _OBSERVED, "400", "413", "422"),
        **known(Failure.LINKEDIN_CALL_REFUSED, _ERRORS, "404", "405", "RESOURCE_NOT_FOUND"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.LINKEDIN_CALL_REFUSED,
        "rejected": Failure.LINKEDIN_EVENT_REFUSED,
    },
)


_OF_ONE = re.compile(r"Index:\s*(\d{1,5}),\s*ERROR\s*::\s*([^\n]*)")
_PASSING = frozenset((408, 425, 429))


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    elements = body.get("elements") if isinstance(body, dict) else None
    if answer.status in (200, 201, 207) and isinstance(elements, list) and len(elements) == events:
        found = _of_elements(answer, elements, judge)
        if found is not None:
            return in_order(found, answer.status, events)
    return judge.verdict(answer, _told(body), now)


def _of_elements(
    answer: Answer, elements: list[Any], judge: Judge
) -> dict[int, Delivered | Rejected | Retry] | None:
    """What became of the elements that were not taken, by position; None where one of them has no
    status, so that nobody can tell."""
    found: dict[int, Delivered | Rejected | Retry] = {}
    for position, element in enumerate(elements):
        status = element.get("status") if isinstance(element, dict) else None
        if not isinstance(status, int):
            return None
        if 200 <= status < 300:
            continue
        told = _told(element.get("error") or element) or Told(names=(str(status),))
        if status >= 500 or status in _PASSING:
            found[position] = Retry(judge.fault(answer, told, "retry"))
        else:
            found[position] = judge.refused(answer, told)
    return found


def _told(body: Any) -> Told | None:
    if not isinstance(body, dict) or not isinstance(body.get("status"), int):
        return None
    message = body.get("message")
    message = message if isinstance(message, str) else ""
    code, number = body.get("code"), body.get("serviceErrorCode")
    names = [str(each) for each in (code, number, body["status"]) if isinstance(each, (str, int))]
    return Told(names=tuple(names), message=message, members=_members(message))


def _members(message: str) -> Mapping[int, str]:
    return {int(position): said for position, said in _OF_ONE.findall(message)}
