"""What an answer of TikTok's Events API means. Pure.

One bad event fails its whole request. Code 20001 says that a part was taken, and not which: the
request is searched, since what was taken is known again by its name and id for 48 hours. Where it
comes for a single event that one was taken, and the words are a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted
from tracking_pipeline.delivery.engine.outcomes import Delivered, Uniform, Verdict
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What TikTok's codes mean, which stand in the body: its HTTP status is 200 whatever happened.
#
# A wrong pixel and a wrong event have one code; the words tell them apart.

_API = "https://business-api.tiktok.com/portal/docs?id=1737172488964097"
_CONNECTOR = "rudderlabs/rudder-transformer, src/v0/destinations/tiktok_ads"

ABOUT_THE_PIXEL = "40002 about the event source"
PARTLY = "20001"

CODES = Codes(
    {
        **known(Failure.TIKTOK_EVENT_REFUSED, _CONNECTOR, "40000", "40002", PARTLY),
        **known(Failure.TIKTOK_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.TIKTOK_PIXEL_UNKNOWN, _API, ABOUT_THE_PIXEL),
        **known(Failure.TIKTOK_PERMISSION_MISSING, _CONNECTOR, "40001"),
        **known(Failure.TIKTOK_PERMISSION_MISSING, _API, "403"),
        **known(Failure.TIKTOK_TOKEN_REFUSED, _CONNECTOR, "40104", "40105"),
        **known(Failure.TIKTOK_TOKEN_REFUSED, _API, "401", "40102"),
        **known(Failure.TIKTOK_RATE_LIMITED, _CONNECTOR, "40100"),
        **known(Failure.TIKTOK_RATE_LIMITED, _API, "429", "40133"),
        **known(Failure.TIKTOK_UNAVAILABLE, _API, "50000", "50002"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.TIKTOK_RATE_LIMITED,
        "paused": Failure.TIKTOK_CALL_REFUSED,
        "rejected": Failure.TIKTOK_EVENT_REFUSED,
    },
)


PARTLY_IGNORED = "partly_ignored"
"""The kind of warning that an event draws of which TikTok took a part."""

_POSITION = re.compile(r"\bdata(?:\[|\.)(\d{1,3})\b")
_ABOUT_THE_PIXEL = re.compile(
    r"event_source|pixel|test_event_code|advertiser|\bapp_id\b", re.IGNORECASE
)


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    code = body.get("code") if isinstance(body, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        return judge.verdict(answer, None, now)
    said = body.get("message")
    words = said if isinstance(said, str) else ""
    if answer.status is not None and answer.status < 300:
        if code == 0:
            return accepted(answer.status, events)
        if str(code) == PARTLY and events == 1:
            told = redact(words, *judge.secrets)
            return Uniform(Delivered(answer.status, warnings=(PARTLY_IGNORED,), said=told))
    return judge.verdict(answer, _told(body, str(code), words), now)


def _told(body: Mapping[str, Any], code: str, words: str) -> Told:
    position = _POSITION.search(words)
    is_of_call = code == "40002" and position is None and _ABOUT_THE_PIXEL.search(words)
    return Told(
        names=(ABOUT_THE_PIXEL, code) if is_of_call else (code,),
        message=words,
        trace_id=body.get("request_id"),
        members={int(position[1]): words} if position else {},
    )
