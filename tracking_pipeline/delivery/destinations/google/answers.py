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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeGuard

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
    Throttled,
    Uniform,
    Verdict,
    delivered_with,
)
from tracking_pipeline.delivery.engine.redaction import kept_fields, kept_trace_id, redact
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.http_client import Answer, retry_after_seconds

# What the reasons and statuses of Google's Data Manager API mean.
#
# A reason is an ``ErrorInfo``'s or a field violation's, or one that Google tells later of an
# accepted request, without its prefix. A canonical status (https://google.aip.dev/193) decides
# where no reason is known.

_ERRORS = "https://developers.google.com/data-manager/api/devguides/concepts/understand-errors"
_LATER = "https://developers.google.com/data-manager/api/devguides/diagnostics"
_LIMITS = "https://developers.google.com/data-manager/api/devguides/limits"
_STATUSES = "https://google.aip.dev/193"

# Google has the conversion, from an earlier try of ours or from the tag on the page: no failure.
DUPLICATE_REASONS = frozenset(("DUPLICATE_TRANSACTION_ID", "DUPLICATE_GCLID"))
# Told later of an event that Google took: it knows no click, person or conversion of its own that
# belongs to it. Most conversions follow no ad: sites are told to send them all, and to expect this.
# It is no failure; as one it stands in the table for a request that is refused at once.
# https://support.google.com/google-ads/answer/13321563
UNMATCHED_REASONS = frozenset(
    (
        "CLICK_NOT_FOUND",
        "INVALID_CLICK",
        "MATCH_ID_NOT_FOUND",
        "ORIGINAL_CONVERSIONS_NOT_FOUND",
        "USER_ID_NOT_FOUND",
        "USER_ID_NOT_FOUND_FOR_DCLID",
        "USER_ID_NOT_FOUND_FOR_GCLID",
        "USER_ID_NOT_FOUND_FOR_IMPRESSION_ID",
        "USER_ID_NOT_FOUND_FOR_MATCH_ID",
    )
)

ORDER_ID = "violation of transactionId"
"""No reason of Google's: what makes of any that it gives for this field an order id's."""

CODES = Codes(
    {
        # -- reasons ---------------------------------------------------------------------------
        **known(Failure.GOOGLE_SCOPE_MISSING, _ERRORS, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        **known(Failure.GOOGLE_API_NOT_ENABLED, _ERRORS, "CONSUMER_INVALID", "SERVICE_DISABLED"),
        **known(
            Failure.GOOGLE_POLICY_PROHIBITS,
            _ERRORS,
            "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS",
        ),
        **known(
            Failure.GOOGLE_TERMS_NOT_SIGNED,
            _ERRORS,
            "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
            "TERMS_AND_CONDITIONS_NOT_SIGNED",
        ),
        **known(
            Failure.GOOGLE_ENHANCED_CONVERSIONS_OFF,
            _ERRORS,
            "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS",
        ),
        **known(
            Failure.GOOGLE_EU_DECLARATION_MISSING,
            _ERRORS,
            "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
        ),
        **known(
            Failure.GOOGLE_ATTRIBUTION_DATA_MISSING, _ERRORS, "EXTERNAL_ATTRIBUTION_DATA_MISSING"
        ),
        **known(
            Failure.GOOGLE_CONVERSION_ACTION_WRONG,
            _ERRORS,
            "INVALID_CONVERSION_ACTION_ID",
            "INVALID_CONVERSION_ACTION_TYPE",
        ),
        **known(
            Failure.GOOGLE_ACCOUNT_WRONG,
            _ERRORS,
            "INVALID_DESTINATION",
            "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH",
        ),
        **known(Failure.GOOGLE_NOT_ALLOWLISTED, _ERRORS, "NOT_ALLOWLISTED"),
        # Nothing is wrong but the time: the newest conversion action is not yet known everywhere.
        **known(Failure.GOOGLE_TOO_EARLY, _ERRORS, "CONVERSION_ACTION_TOO_RECENTLY_CREATED"),
        **known(Failure.GOOGLE_EVENT_TOO_OLD, _LATER, "EVENT_TOO_OLD"),
        **known(
            Failure.GOOGLE_CONSENT_MISSING,
            _LATER,
            *("DENIED_CONSENT", "NO_CONSENT", "UNKNOWN_CONSENT"),
        ),
        **known(
            Failure.GOOGLE_CLICK_UNUSABLE,
            _LATER,
            "CLICK_NOT_FOUND",
            "CONVERSION_PRECEDES_CLICK",
            "INVALID_AD_IDENTIFIERS",
            "INVALID_CLICK",
            "INVALID_GBRAID",
            "INVALID_GCLID",
            "INVALID_OPERATING_ACCOUNT_FOR_CLICK",
            "INVALID_WBRAID",
            "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID",
            "OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
        ),
        **known(Failure.GOOGLE_CLICK_TOO_RECENT, _LATER, "TOO_RECENT_CLICK"),
        **known(
            Failure.GOOGLE_PERSON_NOT_FOUND,
            _LATER,
            *("USER_ID_NOT_FOUND", "USER_ID_NOT_FOUND_FOR_GCLID"),
        ),
        **known(Failure.GOOGLE_CONVERSION_NOT_FOUND, _LATER, "ORIGINAL_CONVERSIONS_NOT_FOUND"),
        **known(
            Failure.GOOGLE_EVENT_INVALID,
            _LATER,
            *("EVENT_ID_DECODE_ERROR", "INVALID_EVENT", "INVALID_FORMAT"),
        ),
        **known(Failure.GOOGLE_ORDER_ID_REFUSED, _ERRORS, ORDER_ID),
        # -- statuses --------------------------------------------------------------------------
        **known(Failure.GOOGLE_QUOTA_USED_UP, _LIMITS, "RESOURCE_EXHAUSTED"),
        **known(Failure.GOOGLE_TOKEN_REFUSED, _STATUSES, "UNAUTHENTICATED"),
        **known(Failure.GOOGLE_PERMISSION_MISSING, _ERRORS, "PERMISSION_DENIED"),
        **known(Failure.GOOGLE_ACCOUNT_WRONG, _STATUSES, "NOT_FOUND"),
        **known(Failure.GOOGLE_CALL_REFUSED, _STATUSES, "FAILED_PRECONDITION", "UNIMPLEMENTED"),
        **known(
            Failure.GOOGLE_EVENT_INVALID,
            _STATUSES,
            *("INVALID_ARGUMENT", "OUT_OF_RANGE", "ALREADY_EXISTS"),
        ),
        **known(
            Failure.GOOGLE_UNAVAILABLE,
            _STATUSES,
            *("ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"),
            "UNKNOWN",
        ),
    },
    {
        "retry": Failure.GOOGLE_UNKNOWN_REASON,
        "throttled": Failure.GOOGLE_QUOTA_USED_UP,
        "paused": Failure.GOOGLE_CALL_REFUSED,
        "rejected": Failure.GOOGLE_EVENT_INVALID,
    },
)

# Google adds reasons; one that is not known here tells by its words whom it is about.
_OF_THE_ACCOUNT = re.compile(
    r"ACCOUNT|LOGIN|LINK|PARTNER|TERMS|ALLOW_?LIST|PERMISSION|DESTINATION|CONVERSION_ACTION|POLICY"
    r"|PROJECT|CONSUMER|SERVICE|BILLING|API_KEY|SCOPE|EXTERNAL_ATTRIBUTION|DEVELOPER_TOKEN"
    r"|NOT_ENABLED|NOT_SIGNED"
)
_OF_NOBODY = re.compile(
    r"(?:CLICK|IMPRESSION|INTERACTION|USER|PERSON|CUSTOMER|VISITOR|MATCH|CONVERSIONS?|IDENTIFIERS?"
    r"|_ID)\w*_NOT_FOUND|UNMATCHED|NO_MATCH|NOT_MATCHED|UNATTRIBUT|NOT_ATTRIBUT"
)


def is_the_accounts(reason: str) -> bool:
    """Whether a reason speaks of the account or the destination, so that no event gets in."""
    outcome = CODES.outcome(reason)
    if outcome is not None or reason in DUPLICATE_REASONS:
        return outcome == "paused"
    return _OF_THE_ACCOUNT.search(reason) is not None


def is_unmatched(reason: str) -> bool:
    """Whether a reason says that Google took the event and found nobody whom it belongs to."""
    if reason in UNMATCHED_REASONS:
        return True
    if CODES.outcome(reason) is not None or reason in DUPLICATE_REASONS:
        return False
    return _OF_NOBODY.search(reason) is not None and not is_the_accounts(reason)


IdAt = Callable[[int], str]
"""The ``transactionId`` of a request's event, by position."""

# A day's allowance comes back at once, at an hour that the answer does not tell.
DAILY_QUOTA_SECONDS = 60 * 60.0
TOO_EARLY_SECONDS = 6 * 60 * 60.0

# `events[3].userData...` in JSON's words; `events.events[3]` is how the SDK quotes repeated fields.
_EVENT = re.compile(r"(?:events\.)?events\[(\d{1,6})\]")
_TRANSACTION_ID = re.compile(r"\.transaction_?id$", re.IGNORECASE)
# Ids of digits alone were refused where the same ones behind a prefix were taken; no page of
# Google's says so.
_ALL_NUMBERS = "every refused id is a number: set GOOGLE_TRANSACTION_ID_PREFIX"
_MAYBE_ITS_ID = "its order id is a number: if others are taken, set GOOGLE_TRANSACTION_ID_PREFIX"
_WARNING_PREFIX = "WARNING_REASON_"
# Of one event; there are more events than that.
_MOST_WARNINGS = 5
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


@dataclass(frozen=True, slots=True)
class GoogleViolation:
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


def classify(
    answer: Answer,
    now: datetime,
    *,
    events: int,
    secrets: Sequence[str] = (),
    id_at: IdAt = lambda at: "",
) -> Verdict:
    """The verdict on a request of so many ``events``, of which ``id_at`` gives the
    ``transactionId`` by position.

    ``now`` is used only for a ``Retry-After`` date in an answer without a ``Date``.
    """
    if answer.fault or answer.status is None:
        return Uniform(without_answer(answer))
    if request_id(answer):
        return delivered_with(answer.status, events, _warnings(answer, events))
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return _classify_error(answer, error, now, secrets, events=events, id_at=id_at)
    return _classify_status(answer, partial(unreadable, answer), now)


def _warnings(answer: Answer, events: int) -> dict[int, list[str]]:
    """The reasons of an acceptance's ``fieldWarnings``, by the event that each is about; one that
    names no event is about all of them.

    https://developers.google.com/data-manager/api/reference/rest/v1/FieldWarning
    """
    body = answer.json()
    found: dict[int, list[str]] = {}
    for each in _listed(body.get("fieldWarnings") if isinstance(body, dict) else None):
        if not isinstance(each, dict):
            continue
        kind = _code(_text(each.get("reason")).removeprefix(_WARNING_PREFIX))
        match = _EVENT.match(_text(each.get("field")))
        for event in (int(match[1]),) if match else range(events):
            kinds = found.setdefault(event, [])
            if kind not in kinds and len(kinds) < _MOST_WARNINGS:
                kinds.append(kind)
    return found


def _classify_error(
    answer: Answer,
    error: Mapping[str, Any],
    now: datetime,
    secrets: Sequence[str],
    *,
    events: int,
    id_at: IdAt,
) -> Verdict:
    details = [each for each in _listed(error.get("details")) if isinstance(each, dict)]
    status = _text(error.get("status"))
    violations = _violations(details)
    exact = [each.reason for each in violations if each.reason]
    general = _error_reasons(details)
    reasons = [*exact, *general]
    told = _AnswerRead(answer, error, details, tuple(secrets))
    fault_as = partial(told.fault, violations, *reasons, status)
    if answer.status == 429 or status == "RESOURCE_EXHAUSTED":
        seconds = _throttle_seconds(answer.headers, details, now)
        return Uniform(Throttled(fault_as(outcome="throttled"), seconds))
    outcomes = [CODES.outcome(each) for each in reasons]
    if "throttled" in outcomes:
        return Uniform(Throttled(fault_as(outcome="throttled"), TOO_EARLY_SECONDS))
    # Destinations, encoding and the like are the same for every event.
    about_the_call = violations and not any(_is_about_events(each) for each in violations)
    certain = bool(
        answer.status in (401, 403, 404)
        or CODES.outcome(status) == "paused"
        or "paused" in outcomes
        or about_the_call
    )
    of_events = any(each.event is not None for each in violations)
    if certain or (not of_events and any(map(is_the_accounts, reasons))):
        return Uniform(Paused(fault_as(outcome="paused"), certain=certain))
    duplicates = bool(reasons) and set(exact or reasons) <= DUPLICATE_REASONS
    if duplicates and events == 1:
        return Uniform(Delivered(answer.status, duplicate="event"))
    if duplicates or CODES.outcome(status) == "rejected":
        # Nothing of a refused request was taken, so those that it does not name are sent again.
        general_reason = general[0] if general else status
        named = _named(told, violations, general_reason, status)
        refused = {at: each for at, each in named.items() if _is_about_its_id(each)}
        if all(_is_number(id_at(at)) for at in refused):
            named |= {at: _with_hint(each) for at, each in refused.items()}
        alone = _rejected(fault_as(outcome="rejected"))
        if events == 1 and _is_number(id_at(0)) and not of_events:
            alone = _with_hint(alone) if violations else _with_doubt(alone)
        return Refused(alone, named)
    return _classify_status(answer, lambda outcome: fault_as(outcome=outcome), now, details)


def _classify_status(
    answer: Answer, fault_as: FaultAs, now: datetime, details: Sequence[Mapping[str, Any]] = ()
) -> Verdict:
    asked = _asked_seconds(answer.headers, details, now)
    return classify_status(
        answer,
        fault_as,
        refusal=_refusal,
        retry_after_seconds=asked,
        throttle_seconds=bounded_throttle(asked or DEFAULT_THROTTLE_SECONDS),
    )


def _refusal(fault: Fault) -> str:
    if fault.failure is Failure.GOOGLE_ORDER_ID_REFUSED:
        return f"Google refused the order id ({(fault.fields or '').split(', ')[0]}): {fault.code}"
    return f"refused by Google: {fault.code}"


def _rejected(fault: Fault) -> Rejected:
    return Rejected(_refusal(fault), fault)


def _is_about_its_id(outcome: Delivered | Rejected) -> TypeGuard[Rejected]:
    return (
        isinstance(outcome, Rejected) and outcome.fault.failure is Failure.GOOGLE_ORDER_ID_REFUSED
    )


def _with_hint(outcome: Rejected) -> Rejected:
    if not _is_about_its_id(outcome):
        return outcome
    return replace(outcome, reason=f"{outcome.reason}; {_ALL_NUMBERS}")


def _with_doubt(outcome: Rejected) -> Rejected:
    """The outcome of an event of which no answer says what is wrong with it."""
    fault = outcome.fault
    return replace(outcome, fault=replace(fault, message=f"{fault.message}: {_MAYBE_ITS_ID}"))


def _is_number(transaction_id: str) -> bool:
    return transaction_id.isascii() and transaction_id.isdecimal()


def _named(
    told: _AnswerRead, violations: Sequence[GoogleViolation], general_reason: str, status: str
) -> dict[int, Delivered | Rejected]:
    """What becomes of each event that the answer names, by its first violation."""
    of_event: dict[int, list[GoogleViolation]] = {}
    for each in violations:
        if each.event is not None:
            of_event.setdefault(each.event, []).append(each)
    named: dict[int, Delivered | Rejected] = {}
    for event, found in of_event.items():
        reason = found[0].reason or general_reason
        if reason in DUPLICATE_REASONS:
            named[event] = Delivered(told.answer.status, duplicate="event")
        else:
            named[event] = _rejected(told.fault(found, reason, status, outcome="rejected"))
    return named


@dataclass(frozen=True, slots=True)
class _AnswerRead:
    """What an answer says of itself and not of one event."""

    answer: Answer
    error: Mapping[str, Any]
    details: Sequence[Mapping[str, Any]]
    secrets: tuple[str, ...]

    def fault(
        self, violations: Sequence[GoogleViolation], *reasons: str, outcome: FailureOutcome
    ) -> Fault:
        """The fault in Google's words, whatever the event's place in its request: equal ones are
        counted as one. The first of ``reasons`` is its code."""
        fields = [_EVENT.sub("events[]", each.field) for each in violations]
        of_its_id = [ORDER_ID] if fields and _TRANSACTION_ID.search(fields[0]) else []
        # The description of a violation may quote the value; the field does not.
        words = filter(None, (_text(self.error.get("message")), *fields[:1]))
        return Fault(
            redact(": ".join(words) or "an error without a message", *self.secrets),
            CODES.failure(outcome, *of_its_id, *reasons),
            _code(reasons[0]),
            self.answer.status,
            trace_id=next(filter(None, map(kept_trace_id, self._request_ids())), None),
            fields=kept_fields(fields),
        )

    def _request_ids(self) -> Iterator[Any]:
        """``RequestInfo`` has it, or the metadata of ``ErrorInfo``."""
        for detail in self.details:
            metadata = detail.get("metadata")
            yield detail.get("requestId")
            yield metadata.get("requestId") if isinstance(metadata, dict) else None


def _violations(details: Sequence[Mapping[str, Any]]) -> list[GoogleViolation]:
    """The field violations; those that are no duplicates come first, so that they decide, for the
    request and for an event that has both."""
    found = []
    for detail in details:
        for each in _listed(detail.get("fieldViolations")):
            if isinstance(each, dict):
                field, reason = _text(each.get("field")), _text(each.get("reason"))
                match = _EVENT.match(field)
                found.append(GoogleViolation(field, reason, int(match[1]) if match else None))
    found.sort(key=lambda violation: violation.reason in DUPLICATE_REASONS)
    return found


def _is_about_events(violation: GoogleViolation) -> bool:
    return not violation.field or violation.field.startswith("events")


def _error_reasons(details: Sequence[Mapping[str, Any]]) -> list[str]:
    """The reasons of ``ErrorInfo``; a violation has a more exact one."""
    return [_text(detail.get("reason")) for detail in details if detail.get("reason")]


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
