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

from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted
from tracking_pipeline.delivery.destinations.tiktok.codes import ABOUT_THE_PIXEL, PARTLY
from tracking_pipeline.delivery.engine.outcomes import Delivered, Uniform, Verdict
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.http_client import Answer

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
