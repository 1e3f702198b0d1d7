"""What an answer of Pinterest's API for Conversions means. Pure.

A request has a status for each of its events, in their order: with 200, and with 422 where some
were not processed. An answer without one for each is judged by its code and its HTTP status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.json_batches import (
    Judge,
    Told,
    accepted,
    in_order,
)
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Refused,
    Rejected,
    Retry,
    Verdict,
)
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer

# What Pinterest's error codes mean, and its HTTP statuses where a body has no code.

_API = "https://developers.pinterest.com/docs/api/v5/events-create"

# Codes of the body have this before them, lest they be taken for a status.
BODY = "code "

CODES = Codes(
    {
        **known(Failure.PINTEREST_TOKEN_REFUSED, _API, f"{BODY}2", "401"),
        **known(Failure.PINTEREST_PERMISSION_MISSING, _API, f"{BODY}3", f"{BODY}29", "403"),
        **known(Failure.PINTEREST_ACCOUNT_UNKNOWN, _API, "404"),
        **known(Failure.PINTEREST_RATE_LIMITED, _API, f"{BODY}8", "429"),
        **known(Failure.PINTEREST_EVENT_REFUSED, _API, f"{BODY}4196", "400", "413", "422"),
        **known(Failure.PINTEREST_UNAVAILABLE, _API, f"{BODY}4197"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.PINTEREST_RATE_LIMITED,
        "paused": Failure.PINTEREST_CALL_REFUSED,
        "rejected": Failure.PINTEREST_EVENT_REFUSED,
    },
)


WARNED = "pinterest_warning"
"""The kind of warning that an event draws of which Pinterest says what is not standard."""

# Of a row that failed, what speaks of Pinterest and not of the event.
_PASSING = re.compile(r"internal|try again|temporar|time[d ]?\s?out|unavailable", re.IGNORECASE)


def classify(answer: Answer, now: datetime, judge: Judge, *, events: int = 1) -> Verdict:
    """The verdict on a request of so many ``events``."""
    body = answer.json()
    status = answer.status
    if status is None or answer.fault or not isinstance(body, dict):
        return judge.verdict(answer, None, now)
    if status < 300 or status == 422:
        rows = _rows(body)
        if rows is not None and len(rows) == events:
            return _by_row(answer, status, rows, judge)
        processed = body.get("num_events_processed")
        if status < 300 and isinstance(processed, int):
            if processed >= events:
                return accepted(status, events)
            # Some were not taken, and it does not say which: its halves will tell.
            told = Told(("422",), "not all events were processed")
            return Refused(judge.refused(answer, told))
    code = body.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        return judge.verdict(answer, None, now)
    message = body.get("message")
    return judge.verdict(
        answer, Told((f"{BODY}{code}",), message if isinstance(message, str) else ""), now
    )


def _rows(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """The statuses of the events; None where there are none. An error has them in its details."""
    for place in (body, body.get("details")):
        rows = place.get("events") if isinstance(place, dict) else None
        if isinstance(rows, list) and all(
            isinstance(row, dict) and row.get("status") in ("processed", "failed") for row in rows
        ):
            return rows
    return None


def _by_row(
    answer: Answer, status: int, rows: Sequence[Mapping[str, Any]], judge: Judge
) -> Verdict:
    found: dict[int, Delivered | Rejected | Retry] = {}
    for position, row in enumerate(rows):
        if row["status"] == "failed":
            words = _text(row.get("error_message"))
            told = Told(("422",), words or "not processed")
            if _PASSING.search(words):
                message = redact(words, *judge.secrets)
                fault = Fault(message, CODES.failure("retry"), "failed", status)
                found[position] = Retry(fault)
            else:
                found[position] = judge.refused(answer, told)
        elif warning := _text(row.get("warning_message")):
            said = redact(warning, *judge.secrets)
            found[position] = Delivered(status, warnings=(WARNED,), said=said)
    return in_order(found, status, len(rows))


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
