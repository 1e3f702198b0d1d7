"""What Google's status of an accepted request means for its events. Pure.

Google checks an accepted request on its own time and then tells one status for it, with a count of
events for each reason and no list of them. So the status is exact for a request of one event, and
for one whose events all fared alike:

    SUCCESS            delivered
    duplicates only    delivered: Google had them, from an earlier try or from the tag on the page
    FAILED             every event failed: refused, or, where the reason may pass (unknown ones
                       too), to be sent again later; where a reason is the account's fault, no
                       event's
    PARTIAL_SUCCESS    some failed and nobody says which: unclear

https://developers.google.com/data-manager/api/devguides/diagnostics
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tracking_pipeline.delivery.destinations.google.codes import (
    CODES,
    DUPLICATE_REASONS,
    is_the_accounts,
)
from tracking_pipeline.http_client import Answer

_PREFIXES = ("PROCESSING_ERROR_REASON_", "PROCESSING_ERROR_")


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """What Google says of a request: whether all its events fared alike, and how.

    ``refused``, ``later`` and ``account`` (no event gets in until somebody mends it) hold for every
    event; ``unclear`` means some failed and nobody knows which. ``reasons`` are Google's, without
    their prefix, the duplicates left out; the one that decides comes first.
    """

    state: Literal[
        "processing", "delivered", "refused", "later", "account", "unclear", "unreadable"
    ]
    reasons: tuple[str, ...] = ()


def read_status(answer: Answer, events: int) -> RequestStatus:
    """The status in an answer of ``requestStatus:retrieve`` about a request of so many events."""
    body = answer.json() if answer.status == 200 and not answer.fault else None
    listed = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    told = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(told, dict):
        return RequestStatus("unreadable")
    status = told.get("requestStatus")
    if status == "SUCCESS":
        return RequestStatus("delivered")
    if status in ("FAILED", "PARTIAL_SUCCESS"):
        return _failed(_reasons(told.get("errorInfo")), events, some=status == "PARTIAL_SUCCESS")
    return RequestStatus("processing")


def _failed(found: tuple[str, ...], events: int, *, some: bool) -> RequestStatus:
    reasons = tuple(reason for reason in found if reason not in DUPLICATE_REASONS)
    duplicates = len(reasons) < len(found)
    if duplicates and not reasons:
        return RequestStatus("delivered")
    all_failed = events == 1 or not (some or duplicates)
    faults = [reason for reason in reasons if is_the_accounts(reason)]
    if all_failed and faults:
        # An event that has another fault is refused for that, once the account is mended.
        return RequestStatus("account", tuple(dict.fromkeys((*faults, *reasons))))
    permanent = {CODES.outcome(reason) == "rejected" for reason in reasons}
    if not all_failed or (events > 1 and len(permanent) > 1):
        return RequestStatus("unclear", reasons)
    return RequestStatus("refused" if True in permanent else "later", reasons)


def _reasons(error_info: Any) -> tuple[str, ...]:
    """The reasons that were met, the most frequent first. Google may leave them out."""
    counts = error_info.get("errorCounts") if isinstance(error_info, dict) else None
    found: dict[str, int] = {}
    for each in counts if isinstance(counts, list) else ():
        reason = each.get("reason") if isinstance(each, dict) else None
        if isinstance(reason, str) and reason.replace("_", "").isalnum() and len(reason) < 120:
            for prefix in _PREFIXES:
                reason = reason.removeprefix(prefix)
            found[reason] = _count(each.get("recordCount"))
    return tuple(sorted(found, key=lambda reason: (-found[reason], reason)))


def _count(value: Any) -> int:
    # An int64 in JSON is a text.
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) else 0
