"""What an answer of Google's Data Manager API means. Pure.

An error is a ``google.rpc.Status`` with details: ``ErrorInfo`` (a reason), ``BadRequest`` (which
field of which event, and why), ``RetryInfo``, ``QuotaFailure``. One bad event fails the request and
nothing of it is processed, so the decision goes: a rate limit; a reason that concerns the account
or the call; duplicates; events that the answer names; the canonical status; the HTTP status.

https://developers.google.com/data-manager/api/devguides/concepts/understand-errors
https://developers.google.com/data-manager/api/devguides/limits
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.http_client import Answer, retry_after_seconds

# Account, permissions, conversion action: no event gets in until somebody mends it.
CONFIGURATION_REASONS = frozenset(
    (
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "CONSUMER_INVALID",
        "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS",
        "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
        "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS",
        "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
        "EXTERNAL_ATTRIBUTION_DATA_MISSING",
        "INVALID_CONVERSION_ACTION_ID",
        "INVALID_CONVERSION_ACTION_TYPE",
        "INVALID_DESTINATION",
        "NOT_ALLOWLISTED",
        "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH",
        "PERMISSION_DENIED",
        "SERVICE_DISABLED",
        "TERMS_AND_CONDITIONS_NOT_SIGNED",
    )
)
# Nothing is wrong but the time: the account's newest conversion action is not yet known everywhere.
TOO_EARLY_REASONS = frozenset(("CONVERSION_ACTION_TOO_RECENTLY_CREATED",))
# Google has the conversion, from an earlier try of ours or from the tag on the page.
DUPLICATE_REASONS = frozenset(("DUPLICATE_TRANSACTION_ID", "DUPLICATE_GCLID"))
# The event itself is at fault, and will be next time. What is not listed here may pass.
PERMANENT_REASONS = frozenset(
    (
        "CLICK_NOT_FOUND",
        "CONVERSION_PRECEDES_CLICK",
        "DENIED_CONSENT",
        "EVENT_ID_DECODE_ERROR",
        "EVENT_TOO_OLD",
        "INVALID_AD_IDENTIFIERS",
        "INVALID_CLICK",
        "INVALID_EVENT",
        "INVALID_FORMAT",
        "INVALID_GBRAID",
        "INVALID_GCLID",
        "INVALID_OPERATING_ACCOUNT_FOR_CLICK",
        "INVALID_WBRAID",
        "NO_CONSENT",
        "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID",
        "OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
        "ORIGINAL_CONVERSIONS_NOT_FOUND",
        "UNKNOWN_CONSENT",
        "USER_ID_NOT_FOUND",
        "USER_ID_NOT_FOUND_FOR_GCLID",
    )
)
# Google adds reasons; one that is not known here tells by its words whom it is about.
_OF_THE_ACCOUNT = re.compile(
    r"ACCOUNT|LOGIN|LINK|PARTNER|TERMS|ALLOW_?LIST|PERMISSION|DESTINATION|CONVERSION_ACTION|POLICY"
    r"|PROJECT|CONSUMER|SERVICE|BILLING|API_KEY|SCOPE|EXTERNAL_ATTRIBUTION|DEVELOPER_TOKEN"
    r"|NOT_ENABLED|NOT_SIGNED"
)
_CONFIGURATION_STATUSES = frozenset(
    ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED")
)
_REFUSAL_STATUSES = frozenset(("INVALID_ARGUMENT", "OUT_OF_RANGE", "ALREADY_EXISTS"))

# A day's allowance comes back at once, at an hour that the answer does not tell.
DAILY_QUOTA_SECONDS = 60 * 60.0
TOO_EARLY_SECONDS = 6 * 60 * 60.0

# `events[3].userData...` in JSON's words; `events.events[3]` is how the SDK quotes repeated fields.
_EVENT = re.compile(r"(?:events\.)?events\[(\d{1,6})\]")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def is_the_accounts(reason: str) -> bool:
    """Whether a reason speaks of the account or the destination, so that no event gets in."""
    if reason in CONFIGURATION_REASONS:
        return True
    known = PERMANENT_REASONS | TOO_EARLY_REASONS | DUPLICATE_REASONS
    return reason not in known and _OF_THE_ACCOUNT.search(reason) is not None


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that an error names. ``event`` is the position of the event that it is about, None
    where it is about the request."""

    field: str
    reason: str
    event: int | None


def request_id(answer: Answer) -> str | None:
    """The id under which Google tells the outcome of an accepted request later; None where the
    answer is no acceptance."""
    body = answer.json()
    found = body.get("requestId") if isinstance(body, dict) else None
    accepted = answer.status is not None and 200 <= answer.status < 300 and not answer.fault
    return found if accepted and isinstance(found, str) and found else None


def classify(answer: Answer, now: datetime, *, events: int, secrets: Sequence[str] = ()) -> Verdict:
    """The verdict on a request of so many ``events``.

    ``now`` is used only for a ``Retry-After`` date in an answer without a ``Date``.
    """
    if answer.fault or answer.status is None:
        return Uniform(without_answer(answer))
    if request_id(answer):
        return Uniform(Delivered(answer.status))
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return _classify_error(answer, error, now, events, secrets)
    return _classify_status(answer, unreadable(answer.status), now)


def _classify_error(
    answer: Answer,
    error: Mapping[str, Any],
    now: datetime,
    events: int,
    secrets: Sequence[str],
) -> Verdict:
    details = [each for each in _listed(error.get("details")) if isinstance(each, dict)]
    status = _text(error.get("status"))
    violations = _violations(details)
    exact = [each.reason for each in violations if each.reason]
    general = _error_reasons(details)
    reasons = [*exact, *general]
    field = violations[0].field if violations else ""
    fault = _fault(answer, error, field, reasons[0] if reasons else status, secrets)
    if answer.status == 429 or status == "RESOURCE_EXHAUSTED":
        return Uniform(Throttled(fault, _throttle_seconds(answer.headers, details, now)))
    if not TOO_EARLY_REASONS.isdisjoint(reasons):
        return Uniform(Throttled(fault, TOO_EARLY_SECONDS))
    # Destinations, encoding and the like are the same for every event.
    about_the_call = violations and not any(_is_about_events(each) for each in violations)
    certain = bool(
        answer.status in (401, 403, 404)
        or status in _CONFIGURATION_STATUSES
        or not CONFIGURATION_REASONS.isdisjoint(reasons)
        or about_the_call
    )
    of_events = any(each.event is not None for each in violations)
    if certain or (not of_events and any(map(is_the_accounts, reasons))):
        return Uniform(Paused(fault, certain=certain))
    duplicates = bool(reasons) and set(exact or reasons) <= DUPLICATE_REASONS
    if duplicates and events == 1:
        return Uniform(Delivered(answer.status, duplicate="event"))
    if duplicates or status in _REFUSAL_STATUSES:
        # Nothing of a refused request was taken, so those that it does not name are sent again.
        general_reason = general[0] if general else status
        return Refused(_rejected(fault), _named(answer, error, violations, general_reason, secrets))
    return _classify_status(answer, fault, now, details)


def _classify_status(
    answer: Answer, fault: Fault, now: datetime, details: Sequence[Mapping[str, Any]] = ()
) -> Verdict:
    asked = _asked_seconds(answer.headers, details, now)
    return classify_status(
        answer,
        _rejected(fault),
        retry_after_seconds=asked,
        throttle_seconds=bounded_throttle(asked or DEFAULT_THROTTLE_SECONDS),
    )


def _rejected(fault: Fault) -> Rejected:
    return Rejected(f"refused by Google: {fault.code}", fault)


def _named(
    answer: Answer,
    error: Mapping[str, Any],
    violations: Sequence[Violation],
    general_reason: str,
    secrets: Sequence[str],
) -> dict[int, Delivered | Rejected]:
    """What becomes of each event that the answer names, by its first violation."""
    named: dict[int, Delivered | Rejected] = {}
    for each in violations:
        if each.event is None or each.event in named:
            continue
        reason = each.reason or general_reason
        if reason in DUPLICATE_REASONS:
            named[each.event] = Delivered(answer.status, duplicate="event")
        else:
            named[each.event] = _rejected(_fault(answer, error, each.field, reason, secrets))
    return named


def _violations(details: Sequence[Mapping[str, Any]]) -> list[Violation]:
    """The field violations; those that are no duplicates come first, so that they decide, for the
    request and for an event that has both."""
    found = []
    for detail in details:
        for each in _listed(detail.get("fieldViolations")):
            if isinstance(each, dict):
                field, reason = _text(each.get("field")), _text(each.get("reason"))
                match = _EVENT.match(field)
                found.append(Violation(field, reason, int(match[1]) if match else None))
    found.sort(key=lambda violation: violation.reason in DUPLICATE_REASONS)
    return found


def _is_about_events(violation: Violation) -> bool:
    return not violation.field or violation.field.startswith("events")


def _error_reasons(details: Sequence[Mapping[str, Any]]) -> list[str]:
    """The reasons of ``ErrorInfo``; a violation has a more exact one."""
    return [_text(detail.get("reason")) for detail in details if detail.get("reason")]


def _fault(
    answer: Answer, error: Mapping[str, Any], field: str, reason: str, secrets: Sequence[str]
) -> Fault:
    """The fault in Google's words, whatever the event's place in its request: equal ones are
    counted as one."""
    # The description of a violation may quote the value; the field does not.
    words = filter(None, (_text(error.get("message")), _EVENT.sub("events[]", field)))
    message = redact(": ".join(words) or "an error without a message", *secrets)
    return Fault(message, _code(reason), answer.status)


def _code(reason: str) -> str:
    """A reason as a code: Google's are capitals; what else comes is not repeated."""
    return reason if re.fullmatch("[A-Z][A-Z0-9_]{1,80}", reason) else "unknown"


def _throttle_seconds(
    headers: Mapping[str, str], details: Sequence[Mapping[str, Any]], now: datetime
) -> float:
    asked = _asked_seconds(headers, details, now)
    by_default = DAILY_QUOTA_SECONDS if _is_daily(details) else DEFAULT_THROTTLE_SECONDS
    return bounded_throttle(asked or by_default)


def _is_daily(details: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the quota that was used up is a day's: ``quota_limit`` names it, as in
    ``IngestRequestsPerDayPerProject``."""
    metadata = [detail.get("metadata") for detail in details]
    limits = [_text(each.get("quota_limit")) for each in metadata if isinstance(each, dict)]
    return any("perday" in limit.replace("_", "").lower() for limit in limits)


def _asked_seconds(
    headers: Mapping[str, str], details: Sequence[Mapping[str, Any]], now: datetime
) -> float | None:
    """The wait that the answer asks for: of its headers, else of ``RetryInfo``."""
    return retry_after_seconds(headers, now) or _retry_seconds(details)


def _retry_seconds(details: Sequence[Mapping[str, Any]]) -> float | None:
    """The wait of ``RetryInfo``, a duration in JSON such as "30s" or "1.5s"."""
    for detail in details:
        match = _DURATION.fullmatch(_text(detail.get("retryDelay")))
        if match:
            return float(match[1])
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
