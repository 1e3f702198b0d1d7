"""The bodies and headers that Meta answers with.

Shapes: https://developers.facebook.com/docs/graph-api/guides/error-handling and
https://developers.facebook.com/docs/graph-api/overview/rate-limiting. Pure.
"""

from __future__ import annotations

from typing import Any

import orjson

from tracking_pipeline.sandbox.meta_rules import Refusal
from tracking_pipeline.sandbox.stage import MetaToken
from tracking_pipeline.sandbox.steps import Step

_MESSAGES = {
    1: "An unknown error has occurred.",
    2: "Service temporarily unavailable",
    4: "(#4) Application request limit reached",
    10: "(#10) Application does not have permission for this action",
    17: "(#17) User request limit reached",
    100: "Invalid parameter",
    102: "Session key invalid or no longer valid",
    190: "Invalid OAuth access token - Cannot parse access token",
    368: "The action attempted has been deemed abusive or is otherwise disallowed",
    613: "(#613) Calls to this api have exceeded the rate limit.",
}
# Rate limits are marked transient by the Graph API as well: a client has to look at the code first.
_TRANSIENT_CODES = frozenset({1, 2, 4, 17, 32, 341, 613, 5000, 21009, 80000, 80003, 80004, 80014})


def success_body(events: int, trace_id: str, message: str | None = None) -> bytes:
    """The body of a 200: valid and received, which is not the same as matched."""
    messages = [message] if message else []
    return orjson.dumps({"events_received": events, "messages": messages, "fbtrace_id": trace_id})


def refusal_body(refusal: Refusal, trace_id: str) -> bytes:
    """The body of a 400 that one event brought on the whole request; it does not say which."""
    error: dict[str, Any] = {
        "message": "Invalid parameter",
        "type": "OAuthException",
        "code": refusal.code,
        "error_data": {"blame_field_specs": [["data"]]},
        "error_subcode": refusal.subcode,
        "is_transient": False,
        "error_user_title": refusal.title,
        "error_user_msg": refusal.message,
        "fbtrace_id": trace_id,
    }
    return _error_body(error)


def step_body(step: Step, trace_id: str) -> bytes:
    """The body of a scripted error."""
    code = 1 if step.code is None else step.code
    error: dict[str, Any] = {
        "message": step.message or _MESSAGES.get(code, f"(#{code}) Error"),
        "type": "OAuthException",
        "code": code,
        "error_subcode": step.subcode,
        "is_transient": code in _TRANSIENT_CODES,
        "error_user_title": step.user_title,
        "error_user_msg": step.user_message,
        "fbtrace_id": trace_id,
    }
    return _error_body(error)


def token_error_body(message: str, trace_id: str) -> bytes:
    """The body of a request without a token that may do what it asks."""
    return _error_body(
        {
            "message": message,
            "type": "OAuthException",
            "code": 190,
            "is_transient": False,
            "fbtrace_id": trace_id,
        }
    )


def proof_error_body(trace_id: str) -> bytes:
    """The body of a request whose `appsecret_proof` is missing or wrong.

    Code 100 without a subcode, like a bad event; only `type` tells the two apart.
    """
    return _error_body(
        {
            "message": "Invalid appsecret_proof provided in the API argument",
            "type": "GraphMethodException",
            "code": 100,
            "is_transient": False,
            "fbtrace_id": trace_id,
        }
    )


def parameter_error_body(message: str, trace_id: str) -> bytes:
    """The body of a question with a parameter or a field that there is not."""
    return _error_body(
        {
            "message": f"(#100) {message}",
            "type": "OAuthException",
            "code": 100,
            "is_transient": False,
            "fbtrace_id": trace_id,
        }
    )


def debug_token_body(token: MetaToken, trace_id: str) -> bytes:
    """The answer to a batch of one `debug_token`: a list of one answer, whose body is a text. A
    token that may not ask about itself is told so in there."""
    told: bytes = orjson.dumps(
        {
            "data": {
                "app_id": "1000000000000009",
                "type": "SYSTEM_USER",
                "application": "Sandbox",
                "expires_at": token.expires_at,
                "data_access_expires_at": token.data_access_expires_at,
                "is_valid": token.is_valid,
                "scopes": list(token.scopes),
                "user_id": "1000000000000008",
            }
        }
    )
    if not token.tells:
        problem = "You must provide an app access token, or a user access token of its developer"
        told = parameter_error_body(problem, trace_id)
    return orjson.dumps([{"code": 200 if token.tells else 400, "body": told.decode()}])


def usage_headers(dataset_id: str, usage_percent: int, regain_minutes: int) -> dict[str, str]:
    """The usage headers of every answer, in percent of the limit and in minutes."""
    usage = {
        "call_count": usage_percent,
        "total_cputime": usage_percent,
        "total_time": usage_percent,
    }
    business = {
        "type": "ads_management",
        **usage,
        "estimated_time_to_regain_access": regain_minutes,
        "ads_api_access_tier": "standard_access",
    }
    return {
        "X-App-Usage": orjson.dumps(usage).decode(),
        "X-Business-Use-Case-Usage": orjson.dumps({dataset_id: [business]}).decode(),
    }


def _error_body(error: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {"error": {name: value for name, value in error.items() if value is not None}}
    )
