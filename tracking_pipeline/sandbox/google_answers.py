"""The bodies that Google's Data Manager API answers with. Pure.

An error is a `google.rpc.Status` (https://google.aip.dev/193); the details are those of
https://developers.google.com/data-manager/api/devguides/concepts/understand-errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from tracking_pipeline.sandbox.google_rules import Violation
from tracking_pipeline.sandbox.steps import Step

_TYPE = "type.googleapis.com/google.rpc."
_DOMAIN = "datamanager.googleapis.com"
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_PREFIX = "PROCESSING_ERROR_REASON_"


def accepted_body(request_id: str, warned: Sequence[Violation] = ()) -> bytes:
    """The body of a 200: accepted, which is not the same as used."""
    if not warned:
        return orjson.dumps({"requestId": request_id})
    warnings = [
        {
            "field": each.field,
            "description": "The field is ignored.",
            "reason": f"WARNING_REASON_{each.reason}",
        }
        for each in warned
    ]
    return orjson.dumps({"requestId": request_id, "fieldWarnings": warnings})


def error_body(
    status: int,
    message: str,
    request_id: str,
    *,
    reason: str | None = None,
    violations: Sequence[Violation] = (),
    quota_limit: str | None = None,
    retry_seconds: float | None = None,
) -> bytes:
    """The body of any error."""
    details: list[dict[str, Any]] = []
    name = _STATUSES.get(status, "UNKNOWN")
    metadata = {"requestId": request_id} | ({"quota_limit": quota_limit} if quota_limit else {})
    details.append(
        {
            "@type": _TYPE + "ErrorInfo",
            "reason": reason or name,
            "domain": _DOMAIN,
            "metadata": metadata,
        }
    )
    if violations:
        listed = [
            {"field": each.field, "description": "The field is not valid.", "reason": each.reason}
            for each in violations
        ]
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": listed})
    if retry_seconds is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{retry_seconds:g}s"})
    details.append({"@type": _TYPE + "RequestInfo", "requestId": request_id})
    error = {"code": status, "message": message, "status": name, "details": details}
    return orjson.dumps({"error": error})


def step_body(step: Step, request_id: str, violations: Sequence[Violation] = ()) -> bytes:
    """The body of a scripted error; a message in capitals is its reason."""
    message = step.message or "The request cannot be served."
    reason = message if message.isupper() else None
    return error_body(step.status, message, request_id, reason=reason, violations=violations)


def status_body(destination: Any, events: int, errors: Counter[str], *, processing: bool) -> bytes:
    """What became of a request of so many events; `errors` counts the failed ones by reason."""
    failed = sum(errors.values())
    status: dict[str, Any] = {"destination": destination}
    if processing:
        status["requestStatus"] = "PROCESSING"
    else:
        status["requestStatus"] = (
            "SUCCESS" if not failed else "FAILED" if failed == events else "PARTIAL_SUCCESS"
        )
        # An int64 is a text in JSON.
        status["eventsIngestionStatus"] = {"recordCount": str(events)}
        if failed:
            counts = [
                {"recordCount": str(count), "reason": _PREFIX + reason}
                for reason, count in errors.items()
            ]
            status["errorInfo"] = {"errorCounts": counts}
    return orjson.dumps({"requestStatusPerDestination": [status]})
