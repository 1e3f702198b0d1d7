"""What an answer of Meta's Conversions API means. Pure.

The HTTP status alone is not reliable (an invalid token has come with 500, a passing fault with
400), so the decision goes: a rate limit, which Meta marks as transient too; ``is_transient``; the
error's code, by the table ``CODES``; and only without a code the status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    FaultAs,
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
from tracking_pipeline.delivery.engine.redaction import (
    kept_fields,
    kept_trace_id,
    kept_words,
    redact,
)
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.http_client import Answer, retry_after_seconds

# What Meta's error codes mean.
#
# A code stands as Meta's pages write it, ``code/subcode`` where the subcode decides. Two rows of
# code 100 go by what else the answer says: a wrong ``appsecret_proof`` and a wrong object have the
# code of an event's bad parameter.

_GRAPH = "https://developers.facebook.com/docs/graph-api/guides/error-handling"
_MARKETING = "https://developers.facebook.com/docs/marketing-api/error-reference"
_RATES = "https://developers.facebook.com/docs/graph-api/overview/rate-limiting"
_SECURITY = "https://developers.facebook.com/docs/graph-api/guides/secure-requests"
_OBSERVED = "rudderlabs/rudder-transformer, facebookUtils/networkHandler.js"

WRONG_PROOF = "100 about appsecret_proof"
OF_THE_CALL = "100 of type GraphMethodException"
OF_THE_OBJECT = "100 about the object"

CODES = Codes(
    {
        **known(Failure.META_UNAVAILABLE, _GRAPH, "1", "2"),
        **known(Failure.META_UNAVAILABLE, _OBSERVED, "5000", "21009"),
        **known(Failure.META_RATE_LIMITED, _GRAPH, "4", "17", "341"),
        **known(
            Failure.META_RATE_LIMITED,
            _RATES,
            *("32", "613", "80000", "80003", "80004", "80014"),
        ),
        **known(Failure.META_TOKEN_EXPIRED, _GRAPH, "190/463"),
        **known(Failure.META_TOKEN_REFUSED, _GRAPH, "102", "190"),
        **known(
            Failure.META_PERMISSION_MISSING,
            _GRAPH,
            *("3", "10", *map(str, range(200, 300))),
        ),
        **known(Failure.META_APP_SECRET_WRONG, _SECURITY, WRONG_PROOF),
        **known(Failure.META_CALL_REFUSED, _GRAPH, OF_THE_CALL),
        **known(Failure.META_DATASET_UNKNOWN, _OBSERVED, "100/33"),
        **known(Failure.META_DATASET_UNKNOWN, _GRAPH, OF_THE_OBJECT),
        **known(Failure.META_VERSION_ENDED, _MARKETING, "2635"),
        # Asking again soon makes it worse, and somebody should look.
        **known(Failure.META_BLOCKED, _GRAPH, "368"),
        **known(Failure.META_EVENT_TOO_OLD, _OBSERVED, "100/2804003"),
        **known(Failure.META_EVENT_UNIDENTIFIED, _OBSERVED, "100/2804050"),
        **known(Failure.META_PURCHASE_INCOMPLETE, _OBSERVED, "100/2804009"),
        **known(Failure.META_EVENT_INVALID, _MARKETING, "100", "105"),
    },
    {
        "retry": Failure.META_UNAVAILABLE,
        "throttled": Failure.META_RATE_LIMITED,
        "paused": Failure.META_UNKNOWN_CODE,
        "rejected": Failure.META_EVENT_INVALID,
    },
)


# The type of errors about the call and its object. An event's own errors are OAuthException, even
# where both have code 100: a wrong appsecret_proof must not turn the queue into dead letters.
_CALL_ERROR = "GraphMethodException"
# Of code 100, what speaks of the object that was called, not of a parameter of an event.
_ABOUT_THE_OBJECT = re.compile(
    r"nonexisting field|unsupported (?:post|get|request)|does not support this operation"
    r"|unknown path components|cannot be loaded due to missing permissions",
    re.IGNORECASE,
)
_ABOUT_THE_PROOF = re.compile(r"appsecret_proof", re.IGNORECASE)

# Kinds of warning: ``events_received`` is smaller than what was sent; there are ``messages``.
FEWER_RECEIVED = "fewer_received"
MESSAGES = "messages"

# In percent of the allowance, as the usage headers count.
NEARLY_USED_UP = 95.0


def classify(
    answer: Answer, now: datetime, *, events: int = 1, secrets: tuple[str, ...] = ()
) -> Verdict:
    """The verdict on a request of so many ``events``.

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
            return Uniform(_delivered(answer.status, body, received, events, secrets))
    return _classify_status(answer, partial(unreadable, answer), now)


def _delivered(
    status: int, body: Mapping[str, Any], received: int, events: int, secrets: tuple[str, ...]
) -> Delivered:
    """Received, as far as anybody can tell all of them. Meta documents all or nothing, and has told
    fewer than were sent all the same."""
    said = redact("; ".join(map(_said, _listed(body.get("messages")))), *secrets)
    warnings = [FEWER_RECEIVED] if received < events else []
    if said:
        warnings.append(MESSAGES)
    return Delivered(status, warnings=tuple(warnings), said=said)


def _said(message: Any) -> str:
    """One of an answer's ``messages``, whose form Meta does not document."""
    return message if isinstance(message, str) else orjson.dumps(message).decode()


def _classify_error(
    answer: Answer, error: Mapping[str, Any], now: datetime, secrets: tuple[str, ...]
) -> Verdict:
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    names = _names(error, code, subcode)
    fault_as = partial(_fault, answer, error, names, secrets)
    outcomes = [found for name in names if (found := CODES.outcome(name))]
    outcome = outcomes[0] if outcomes else None
    asked = retry_after_seconds(answer.headers, now)
    if outcome == "throttled" or answer.status == 429:
        seconds = _throttle_seconds(asked, answer.headers)
        return Uniform(Throttled(fault_as("throttled"), seconds))
    if error.get("is_transient") is True or outcome == "retry":
        return Uniform(Retry(fault_as("retry"), asked))
    if code is None:
        return _classify_status(answer, fault_as, now)
    if outcome == "rejected":
        fault = fault_as("rejected")
        return Refused(Rejected(f"refused by Meta: {fault.code}", fault))
    # A version that ended, a signature, a path: what is neither passing nor about a parameter is
    # the call's, and so is what Meta names by a code that is not known here.
    return Uniform(Paused(fault_as("paused"), certain=outcome == "paused"))


def _names(error: Mapping[str, Any], code: int | None, subcode: int | None) -> list[str]:
    """What the error is called in the table, the most exact name first."""
    if code is None:
        return []
    names = [str(code)] if subcode is None else [f"{code}/{subcode}", str(code)]
    if code == 100 and f"{code}/{subcode}" not in CODES.table:
        words = _words(error)
        if subcode is None and error.get("type") == _CALL_ERROR:
            names.insert(0, OF_THE_CALL)
            if _ABOUT_THE_PROOF.search(words):
                names.insert(0, WRONG_PROOF)
        elif _ABOUT_THE_OBJECT.search(words):
            names.insert(0, OF_THE_OBJECT)
    return names


def _classify_status(answer: Answer, fault_as: FaultAs, now: datetime) -> Verdict:
    asked = retry_after_seconds(answer.headers, now)
    return classify_status(
        answer,
        fault_as,
        refusal=lambda fault: f"refused by Meta: HTTP {answer.status}",
        retry_after_seconds=asked,
        throttle_seconds=_throttle_seconds(asked, answer.headers),
    )


def _fault(
    answer: Answer,
    error: Mapping[str, Any],
    names: Sequence[str],
    secrets: tuple[str, ...],
    outcome: FailureOutcome,
) -> Fault:
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    name = "unknown" if code is None else str(code) if subcode is None else f"{code}/{subcode}"
    return Fault(
        redact(_words(error) or f"error {name}", *secrets),
        CODES.failure(outcome, *names),
        name,
        answer.status,
        said=kept_words(
            (error.get("error_user_title"), error.get("error_user_msg")), secrets=secrets
        ),
        trace_id=kept_trace_id(error.get("fbtrace_id")),
        fields=kept_fields(_blamed(error.get("error_data"))),
    )


def _blamed(error_data: Any) -> Iterator[str]:
    """The fields that the error blames. ``error_data`` may be JSON text."""
    if isinstance(error_data, str):
        try:
            error_data = orjson.loads(error_data)
        except orjson.JSONDecodeError:
            return
    specs = error_data.get("blame_field_specs") if isinstance(error_data, dict) else None
    for spec in _listed(specs):
        yield ".".join(str(part) for part in _listed(spec))


def _words(error: Mapping[str, Any]) -> str:
    """What happened, in Meta's words."""
    parts = (error.get("error_user_title"), error.get("message"))
    return ": ".join(part for part in parts if isinstance(part, str))


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
