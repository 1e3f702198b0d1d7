"""What an answer of Reddit's Conversions API means. Pure.

One bad event refuses its whole request; ``fields`` may name it by its position in the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import IN_DOUBT, Codes, known
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted
from tracking_pipeline.delivery.engine.outcomes import Verdict
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What Reddit's answers mean. Its errors have the HTTP status for a code; one row is for what
# no answer says.

_API = "https://ads-api.reddit.com/docs/v3/operations/Post%20Conversion%20Events"
_CONNECTOR = "rudderlabs/rudder-transformer, src/v0/destinations/reddit"

CODES = Codes(
    {
        **known(Failure.REDDIT_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.REDDIT_TOKEN_REFUSED, _API, "401"),
        **known(Failure.REDDIT_PERMISSION_MISSING, _API, "403"),
        **known(Failure.REDDIT_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
        **known(Failure.REDDIT_OUTCOME_UNKNOWN, _CONNECTOR, IN_DOUBT),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.REDDIT_CALL_REFUSED,
        "rejected": Failure.REDDIT_EVENT_REFUSED,
    },
)


_POSITION = re.compile(r"events(?:\[|\.)(\d{1,4})\b")
_PROCESSED = re.compile(r"\b(\d{1,6}) conversion events?\b")


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    if answer.status is not None and 200 <= answer.status < 300 and isinstance(body, dict):
        data = body.get("data")
        said = data.get("message") if isinstance(data, dict) else None
        if isinstance(said, str):
            processed = _PROCESSED.search(said)
            return accepted(answer.status, events, int(processed[1]) if processed else None)
    return judge.verdict(answer, _told(body), now)


def _told(body: Any) -> Told | None:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    fields = error.get("fields")
    listed = [each for each in fields if isinstance(each, dict)] if isinstance(fields, list) else []
    return Told(
        names=(str(error["code"]),) if isinstance(error.get("code"), int) else (),
        message=_text(error.get("message")),
        fields=[each.get("field") for each in listed],
        members=_members(listed),
    )


def _members(fields: list[dict[str, Any]]) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for each in fields:
        position = _POSITION.search(_text(each.get("field")))
        if position:
            found.setdefault(int(position[1]), _text(each.get("message")))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
