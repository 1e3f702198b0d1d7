"""What an answer of Microsoft's UET Conversions API means. Pure.

It takes the good events of a request and says of each of the others, by position, what is wrong; of
those that it takes it may warn. The value that it objects to is quoted as well, and never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import (
    FEWER_RECEIVED,
    Judge,
    Told,
    in_order,
)
from tracking_pipeline.delivery.engine.outcomes import Delivered, Rejected, Retry, Verdict
from tracking_pipeline.delivery.engine.redaction import kept_fields
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What Microsoft's answers mean: the HTTP status. The codes of single fields are not listed.

_GUIDE = "https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration"

CODES = Codes(
    {
        **known(Failure.MICROSOFT_TOKEN_REFUSED, _GUIDE, "401"),
        **known(Failure.MICROSOFT_PERMISSION_MISSING, _GUIDE, "403"),
        **known(Failure.MICROSOFT_TAG_UNKNOWN, _GUIDE, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _GUIDE, "429"),
        **known(Failure.MICROSOFT_EVENT_REFUSED, _GUIDE, "400", "413", "422"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.MICROSOFT_CALL_REFUSED,
        "rejected": Failure.MICROSOFT_EVENT_REFUSED,
    },
)


class _Detail(NamedTuple):
    """What is said of one event."""

    position: int
    field: object
    message: str
    code: str
    is_warning: bool


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    received = body.get("eventsReceived") if isinstance(body, dict) else None
    if answer.status is not None and 200 <= answer.status < 300 and isinstance(received, int):
        return _taken(answer, body, received, events, judge)
    return judge.verdict(answer, _told(body), now)


def _taken(
    answer: Answer, body: Mapping[str, Any], received: int, events: int, judge: Judge
) -> Verdict:
    status = answer.status or 200
    refused: dict[int, Rejected] = {}
    warnings: dict[int, list[str]] = {}
    for each in _details(body):
        if each.position >= events:
            continue
        if each.is_warning:
            warnings.setdefault(each.position, []).append(kept_fields([each.field]) or "event")
        elif each.position not in refused:
            told = Told((each.code,), each.message, body.get("traceId"), (each.field,))
            refused[each.position] = judge.refused(answer, told)
    if received < events - len(refused):
        # Some are missing of which nothing was said: nobody knows which.
        warnings = {at: [*warnings.get(at, ()), FEWER_RECEIVED] for at in range(events)}
    found: dict[int, Delivered | Rejected | Retry] = {
        at: Delivered(status, warnings=tuple(dict.fromkeys(kinds)))
        for at, kinds in warnings.items()
    }
    return in_order({**found, **refused}, status, events)


def _told(body: Any) -> Told | None:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    refusals = [each for each in _details(body) if not each.is_warning]
    message = error.get("message")
    return Told(
        message=message if isinstance(message, str) else "",
        trace_id=body.get("traceId"),
        fields=[each.field for each in refusals],
        members={each.position: each.message for each in reversed(refusals)},
    )


def _details(body: Mapping[str, Any]) -> Iterator[_Detail]:
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    for each in details if isinstance(details, list) else ():
        position = each.get("index") if isinstance(each, dict) else None
        if isinstance(position, int) and not isinstance(position, bool) and position >= 0:
            message, code = each.get("errorMessage"), each.get("errorCode")
            yield _Detail(
                position,
                each.get("propertyName"),
                message if isinstance(message, str) else "",
                str(code) if isinstance(code, (str, int)) else "invalid",
                each.get("isWarning") is True,
            )
