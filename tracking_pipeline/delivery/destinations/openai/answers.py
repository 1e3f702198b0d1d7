"""What an answer of OpenAI's Conversions API means. Pure.

One bad event refuses its whole request. The page does not say how errors are worded; OpenAI's other
APIs have ``error`` with ``message`` and ``param``, and others have seen a list ``errors`` and
``accepted_events``. Where a path names a position in the list, that event is taken for the culprit.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted
from tracking_pipeline.delivery.engine.outcomes import Verdict
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What OpenAI's answers mean: the HTTP status. Codes of its own are not published.

_API = "https://developers.openai.com/ads/conversions-api"

CODES = Codes(
    {
        **known(Failure.OPENAI_KEY_REFUSED, _API, "401"),
        **known(Failure.OPENAI_PERMISSION_MISSING, _API, "403"),
        **known(Failure.OPENAI_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
        **known(Failure.OPENAI_EVENT_REFUSED, _API, "400", "413", "422"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.OPENAI_CALL_REFUSED,
        "rejected": Failure.OPENAI_EVENT_REFUSED,
    },
)


_POSITION = re.compile(r"\bevents(?:\[|\.)(\d{1,4})\b")


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    errors = _errors(body)
    if answer.status is not None and answer.status < 300 and isinstance(body, dict) and not errors:
        taken = body.get("accepted_events")
        is_count = isinstance(taken, int) and not isinstance(taken, bool)
        return accepted(answer.status, events, taken if is_count else None)
    return judge.verdict(answer, _told(errors) if errors else None, now)


def _errors(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        return []
    listed = body.get("errors")
    found = [body.get("error"), *(listed if isinstance(listed, list) else ())]
    return [each for each in found if isinstance(each, dict)]


def _told(errors: list[dict[str, Any]]) -> Told:
    members: dict[int, str] = {}
    for each in errors:
        position = _POSITION.search(_text(each.get("param")))
        if position:
            members.setdefault(int(position[1]), _text(each.get("message")))
    return Told(
        message=next((said for each in errors if (said := _text(each.get("message")))), ""),
        fields=[each.get("param") for each in errors],
        members=members,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
