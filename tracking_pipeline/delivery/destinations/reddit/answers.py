"""What an answer of Reddit's Conversions API means. Pure.

One bad event refuses its whole request; ``fields`` may name it by its position in the list.

Reddit promises to know a conversion again between its pixel and a server, and nothing between two
requests of a server: what is sent twice may count twice. So a request that left and whose end
nobody knows is not sent again by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.json_batches import Judge, Told, accepted
from tracking_pipeline.delivery.destinations.reddit.codes import CODES, IN_DOUBT
from tracking_pipeline.delivery.engine.outcomes import (
    Fault,
    Rejected,
    Retry,
    Uniform,
    Verdict,
)
from tracking_pipeline.http_client import Answer

_POSITION = re.compile(r"events(?:\[|\.)(\d{1,4})\b")
_PROCESSED = re.compile(r"\b(\d{1,6}) conversion events?\b")
OUTCOME_UNKNOWN = "outcome unknown"


def classify(
    answer: Answer, now: datetime, judge: Judge, *, events: int = 1, resends: bool = False
) -> Verdict:
    """The verdict on a request of so many ``events``; ``resends``: what is in doubt is sent
    again."""
    body = answer.json()
    if answer.status is not None and 200 <= answer.status < 300 and isinstance(body, dict):
        data = body.get("data")
        said = data.get("message") if isinstance(data, dict) else None
        if isinstance(said, str):
            processed = _PROCESSED.search(said)
            return accepted(answer.status, events, int(processed[1]) if processed else None)
    verdict = judge.verdict(answer, _told(body), now)
    return verdict if resends else _not_again(answer, verdict)


def _not_again(answer: Answer, verdict: Verdict) -> Verdict:
    """The verdict; of a request that may have been taken, that nobody knows."""
    outcome = verdict.outcome if isinstance(verdict, Uniform) else None
    if not isinstance(outcome, Retry) or not _may_be_taken(answer):
        return verdict
    failure = CODES.failure("rejected", IN_DOUBT)
    message = f"{outcome.fault.message}: Reddit may have the event"
    fault = Fault(message, failure, outcome.fault.code, outcome.fault.http_status)
    return Uniform(Rejected(OUTCOME_UNKNOWN, fault, in_doubt=True))


def _may_be_taken(answer: Answer) -> bool:
    """Whether the request left and what came back says neither yes nor no: no answer, one that
    broke off, a success in words of somebody else, a gateway that waited in vain."""
    if answer.status is None or answer.fault:
        return answer.sent
    return answer.status < 300 or answer.status == 504


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
