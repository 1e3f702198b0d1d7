"""What an answer of Meta's Conversions API means. Pure.

The HTTP status alone is not reliable (an invalid token has come with 500, a passing fault with
400), so the decision goes: a rate limit, which Meta marks as transient too; ``is_transient``; the
error's code; and only without a code the status. Codes:
https://developers.facebook.com/docs/graph-api/guides/error-handling,
https://developers.facebook.com/docs/marketing-api/error-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    bounded_throttle,
    classify_status,
    unreadable,
    without_answer,
)
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.http_client import Answer, retry_after_seconds

TRANSIENT_CODES = frozenset((1, 2, 5000, 21009))
THROTTLE_CODES = frozenset((4, 17, 32, 341, 613, 80000, 80003, 80004, 80014))
# Token, permissions, account: no event gets in until somebody mends it.
CONFIGURATION_CODES = frozenset((3, 10, 102, 190, *range(200, 300)))
OBJECT_MISSING = (100, 33)
# The type of errors about the call and its object. An event's own errors are OAuthException, even
# where both have code 100: a wrong appsecret_proof must not turn the queue into dead letters.
CALL_ERROR = "GraphMethodException"
# A block for breaking the rules: asking again soon makes it worse, and somebody should look.
POLICY_BLOCK = 368
INVALID_EVENT_CODES = frozenset((100, 105))
# Of code 100, what speaks of the object that was called, not of a parameter of an event.
_ABOUT_THE_OBJECT = re.compile(
    r"nonexisting field|unsupported (?:post|get|request)|does not support this operation"
    r"|unknown path components|cannot be loaded due to missing permissions",
    re.IGNORECASE,
)

# In percent of the allowance, as the usage headers count.
NEARLY_USED_UP = 95.0


def classify(answer: Answer, now: datetime, *, secrets: tuple[str, ...] = ()) -> Verdict:
    """The verdict on a request's events.

    ``now`` is used only for a ``Retry-After`` date in an answer without a ``Date``.
    """
    if answer.fault or answer.status is None:
        return Uniform(without_answer(answer))
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return _classify_error(answer, error, now, secrets)
    if 200 <= answer.status < 300 and isinstance(body, dict):
        received = _integer(body.get("events_received"))
        if received is not None and received > 0:
            return Uniform(Delivered(answer.status))
    return _classify_status(answer, unreadable(answer.status), now)


def _classify_error(
    answer: Answer, error: Mapping[str, Any], now: datetime, secrets: tuple[str, ...]
) -> Verdict:
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    fault = _fault(answer, error, code, subcode, secrets)
    asked = retry_after_seconds(answer.headers, now)
    if code in THROTTLE_CODES or answer.status == 429:
        return Uniform(Throttled(fault, _throttle_seconds(asked, answer.headers)))
    if error.get("is_transient") is True or code in TRANSIENT_CODES:
        return Uniform(Retry(fault, asked))
    if code is None:
        return _classify_status(answer, fault, now)
    about_the_call = (
        (code, subcode) == OBJECT_MISSING
        or (code, subcode, error.get("type")) == (100, None, CALL_ERROR)
        or (code == 100 and _ABOUT_THE_OBJECT.search(fault.message) is not None)
    )
    if code in CONFIGURATION_CODES or code == POLICY_BLOCK or about_the_call:
        return Uniform(Paused(fault))
    if code in INVALID_EVENT_CODES:
        return Refused(Rejected(f"refused by Meta: {fault.code}", fault))
    # A version that ended, a signature, a path: what is neither passing nor about a parameter is
    # the call's, and so is what Meta names by a code that is not known here.
    return Uniform(Paused(fault, certain=False))


def _classify_status(answer: Answer, fault: Fault, now: datetime) -> Verdict:
    asked = retry_after_seconds(answer.headers, now)
    return classify_status(
        answer,
        Rejected(f"refused by Meta: HTTP {answer.status}", fault),
        retry_after_seconds=asked,
        throttle_seconds=_throttle_seconds(asked, answer.headers),
    )


def _fault(
    answer: Answer,
    error: Mapping[str, Any],
    code: int | None,
    subcode: int | None,
    secrets: tuple[str, ...],
) -> Fault:
    name = "unknown" if code is None else str(code) if subcode is None else f"{code}/{subcode}"
    words = [
        str(error[key])
        for key in ("error_user_title", "message")
        if isinstance(error.get(key), str)
    ]
    return Fault(redact(": ".join(words) or f"error {name}", *secrets), name, answer.status)


def _throttle_seconds(asked: float | None, headers: Mapping[str, str]) -> float:
    seconds = asked if asked is not None else _regain_seconds(headers)
    return bounded_throttle(seconds or DEFAULT_THROTTLE_SECONDS)


def cool_down_seconds(headers: Mapping[str, str]) -> float | None:
    """How long to hold back after an answer whose usage headers are near 100 %, else None.

    https://developers.facebook.com/docs/graph-api/overview/rate-limiting
    """
    if not any(
        usage >= NEARLY_USED_UP for entry in _usages(headers) for usage in _percentages(entry)
    ):
        return None
    return _throttle_seconds(None, headers)


def _regain_seconds(headers: Mapping[str, str]) -> float | None:
    """The longest wait that the usage headers name, in minutes to regain or seconds to reset."""
    waits = [
        seconds
        for entry in _usages(headers)
        for key, unit in (("estimated_time_to_regain_access", 60.0), ("reset_time_duration", 1.0))
        if (seconds := _amount(entry.get(key)) * unit) > 0
    ]
    return max(waits, default=None)


def _usages(headers: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The objects inside the usage headers; what cannot be read counts as no usage."""
    found: list[Mapping[str, Any]] = []
    for name in ("x-app-usage", "x-ad-account-usage", "x-business-use-case-usage"):
        try:
            value = orjson.loads(headers.get(name, "null"))
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
            for entries in value.values():
                found += [entry for entry in _listed(entries) if isinstance(entry, dict)]
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _percentages(entry: Mapping[str, Any]) -> list[float]:
    keys = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")
    return [_amount(entry.get(key)) for key in keys]


def _amount(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
