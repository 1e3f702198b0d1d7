"""What Google's status of an accepted request means for its events. Pure.

Google checks an accepted request on its own time and then tells one status for it, with a count of
events for each reason and no list of them. So the status is exact for a request of one event, and
for one whose events all fared alike:

    SUCCESS            delivered
    duplicates only    delivered: Google had them, from an earlier try or from the tag on the page
    unmatched only     delivered, too: Google took them, and found no click or person of its own
    FAILED             every event failed: refused, or, where the reason may pass (unknown ones
                       too), to be sent again later; where a reason is the account's fault, no
                       event's
    PARTIAL_SUCCESS    some failed and nobody says which: unclear

https://developers.google.com/data-manager/api/devguides/diagnostics
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tracking_pipeline.delivery.destinations.google.answers import (
    CODES,
    DUPLICATE_REASONS,
    is_the_accounts,
    is_unmatched,
)
from tracking_pipeline.http_client import Answer

_PREFIXES = ("PROCESSING_ERROR_REASON_", "PROCESSING_ERROR_", "PROCESSING_WARNING_REASON_")


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """What Google says of a request: whether all its events fared alike, and how.

    ``refused``, ``later`` and ``account`` (no event gets in until somebody mends it) hold for every
    event; ``unclear`` means some failed and nobody knows which. ``reasons`` are Google's, without
    their prefix, the duplicates and the unmatched left out; the one that decides comes first.

    ``unmatched``, ``warnings`` and ``duplicates`` count events that are delivered all the same, by
    Google's reason.
    """

    state: Literal[
        "processing", "delivered", "refused", "later", "account", "unclear", "unreadable"
    ]
    reasons: tuple[str, ...] = ()
    unmatched: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    duplicates: Mapping[str, int] = field(default_factory=dict)


def read_request_status(answer: Answer, events: int) -> RequestStatus:
    """The status in an answer of ``requestStatus:retrieve`` about a request of so many events."""
    body = answer.json() if answer.status == 200 and not answer.fault else None
    listed = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    told = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(told, dict):
        return RequestStatus("unreadable")
    status = told.get("requestStatus")
    warnings = _counts(told.get("warningInfo"), "warningCounts", events)
    if status == "SUCCESS":
        return RequestStatus("delivered", warnings=warnings)
    if status in ("FAILED", "PARTIAL_SUCCESS"):
        counts = _counts(told.get("errorInfo"), "errorCounts", events)
        some = status == "PARTIAL_SUCCESS"
        return replace(_failed(counts, events, some=some), warnings=warnings)
    return RequestStatus("processing")


def _failed(counts: Mapping[str, int], events: int, *, some: bool) -> RequestStatus:
    unmatched = {reason: count for reason, count in counts.items() if is_unmatched(reason)}
    duplicates = {reason: count for reason, count in counts.items() if reason in DUPLICATE_REASONS}
    reasons = tuple(
        reason for reason in counts if reason not in duplicates and reason not in unmatched
    )
    some_taken = some or len(reasons) < len(counts)
    if counts and not reasons:
        return RequestStatus("delivered", unmatched=unmatched, duplicates=duplicates)
    all_failed = events == 1 or not some_taken
    faults = [reason for reason in reasons if is_the_accounts(reason)]
    if all_failed and faults:
        # An event that has another fault is refused for that, once the account is mended.
        return RequestStatus("account", tuple(dict.fromkeys((*faults, *reasons))))
    permanent = {CODES.outcome(reason) == "rejected" for reason in reasons}
    if not all_failed or (events > 1 and len(permanent) > 1):
        return RequestStatus("unclear", reasons)
    return RequestStatus("refused" if True in permanent else "later", reasons)


def _counts(info: Any, name: str, events: int) -> dict[str, int]:
    """How many of so many events met each reason, the most frequent first. Google may leave them
    out; a reason that it does not count was met once."""
    counts = info.get(name) if isinstance(info, dict) else None
    found: dict[str, int] = {}
    for each in counts if isinstance(counts, list) else ():
        reason = each.get("reason") if isinstance(each, dict) else None
        if isinstance(reason, str) and reason.replace("_", "").isalnum() and len(reason) < 120:
            for prefix in _PREFIXES:
                reason = reason.removeprefix(prefix)
            found[reason] = min(max(_count(each.get("recordCount")), 1), events)
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _count(value: Any) -> int:
    # An int64 in JSON is a text.
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) else 0
