"""What an answer of Snapchat's Conversions API means. Pure.

``status`` says whether the events were taken, ``error_records`` which were not: by position, with a
reason. With a status of success the others were taken; with an error nothing was, and they are sent
again without those. The list is not documented, so an answer without one is judged as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted, in_order
from tracking_pipeline.delivery.engine.outcomes import Refused, Verdict
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What Snapchat's answers mean. Its errors have the HTTP status for a code; one row is our own name
# for what their words say.

_API = "https://developers.snap.com/api/marketing-api/Conversions-API/UsingTheAPI"

ABOUT_THE_CALL = "400 about the pixel or the token"

CODES = Codes(
    {
        **known(Failure.SNAPCHAT_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.SNAPCHAT_CALL_REFUSED, _API, ABOUT_THE_CALL),
        **known(Failure.SNAPCHAT_TOKEN_REFUSED, _API, "401"),
        **known(Failure.SNAPCHAT_PERMISSION_MISSING, _API, "403"),
        **known(Failure.SNAPCHAT_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.SNAPCHAT_CALL_REFUSED,
        "rejected": Failure.SNAPCHAT_EVENT_REFUSED,
    },
)


_TAKEN = frozenset(("VALID", "OK", "SUCCESS"))
_REFUSED = frozenset(("INVALID", "FAILED", "ERROR", "PARTIAL", "PARTIALLY_VALID"))
_ABOUT_THE_CALL = re.compile(
    r"access.?token|unauthori[sz]ed|permission|pixel.?id|asset|app.?id", re.IGNORECASE
)


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    state = _text(body.get("status")).upper() if isinstance(body, dict) else ""
    if answer.fault or answer.status is None or state not in _TAKEN | _REFUSED:
        return judge.verdict(answer, None, now)
    named = _named(body, events)
    told = Told(message=_text(body.get("reason")), members=named)
    if answer.status < 300:
        if named:
            refused = {at: judge.refused(answer, told, at) for at in named}
            return in_order(refused, answer.status, events)
        if state in _TAKEN:
            return accepted(answer.status, events)
        return Refused(judge.refused(answer, told))
    if answer.status == 400 and not named and _ABOUT_THE_CALL.search(told.message):
        told = Told((ABOUT_THE_CALL,), told.message)
    return judge.verdict(answer, told, now)


def _named(body: Mapping[str, Any], events: int) -> dict[int, str]:
    records = body.get("error_records")
    found: dict[int, str] = {}
    for record in records if isinstance(records, list) else []:
        index = record.get("index") if isinstance(record, dict) else None
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < events:
            found.setdefault(index, _text(record.get("reason")))
    return found


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
