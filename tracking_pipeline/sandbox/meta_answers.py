"""The bodies and headers that Meta answers with, and what it says about the quality of the events
that it accepted: the answer of `GET /{version}/dataset_quality`.

Shapes: https://developers.facebook.com/docs/graph-api/guides/error-handling,
https://developers.facebook.com/docs/graph-api/overview/rate-limiting and
https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api

The real score also rests on how many events Meta could match to an account. The stand-in has
weights of its own that are not those of our estimate, so that a calibration has something to find.
Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import orjson

from tracking_pipeline.sandbox.meta_rules import MetaRefusal
from tracking_pipeline.sandbox.stage import MetaToken
from tracking_pipeline.sandbox.steps import ScriptStep

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


def refusal_body(refusal: MetaRefusal, trace_id: str) -> bytes:
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


def step_body(step: ScriptStep, trace_id: str) -> bytes:
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


# Meta's names of the match keys, as far as it documents them; the rest under their own names.
IDENTIFIERS = {
    "em": "email",
    "ph": "phone",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
}
_WEIGHTS = {
    "em": 0.35,
    "ph": 0.30,
    "fbc": 0.40,
    "fbp": 0.30,
    "external_id": 0.25,
    "client_ip_address": 0.15,
    "client_user_agent": 0.15,
    "zp": 0.05,
    "ct": 0.05,
    "st": 0.05,
    "country": 0.02,
    "fn": 0.05,
    "ln": 0.05,
    "ge": 0.02,
    "db": 0.10,
}

# Fields by field, as deep as the stand-in knows them; {} is a value.
_Fields = dict[str, Any]
KNOWN: _Fields = {
    "web": {
        "event_name": {},
        "event_match_quality": {
            "composite_score": {},
            "match_key_feedback": {"identifier": {}, "coverage": {"percentage": {}}},
        },
        "dedupe_key_feedback": {
            "dedupe_key": {},
            "browser_events_with_dedupe_key": {"percentage": {}},
            "server_events_with_dedupe_key": {"percentage": {}},
            "overall_browser_coverage_from_dedupe_key": {"percentage": {}},
        },
    }
}
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[{},])")


class UnknownFieldError(ValueError):
    """A field that there is not, or a text that is no list of fields. The message is Meta's."""


def quality(
    events: Sequence[object], fields: str, pixel: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The answer about these events, with the `fields` that were asked for and nothing else.

    `fields` is written as the Graph API has it: `web{event_name,...{...}}`. Only events of a
    website count. `pixel` has the events that the browser sent of the same names. Raises
    `UnknownFieldError`.
    """
    wanted = parse_fields(fields)
    of_name: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if isinstance(event, dict) and event.get("action_source") == "website":
            of_name[str(event.get("event_name"))].append(event)
    everything = {
        "web": [
            {
                **_of_name(name, [_user_data(each) for each in server]),
                "dedupe_key_feedback": _dedupe_feedback(
                    [each for each in pixel if each.get("event_name") == name], server
                ),
            }
            for name, server in sorted(of_name.items())
        ]
    }
    chosen: dict[str, Any] = _chosen(everything, wanted)
    return chosen


# Meta tells copies by the event's id, or by who it was.
_DEDUPE_KEYS = ("event_id", "external_id", "fbp")


def _user_data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    user_data = event.get("user_data")
    return user_data if isinstance(user_data, dict) else {}


def _dedupe_feedback(
    pixel: Sequence[Mapping[str, Any]], server: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """How the pixel's events and the server's meet, by each key that both sides send; nothing where
    the pixel sends none."""

    def values(events: Sequence[Mapping[str, Any]], key: str) -> list[str]:
        found = [each.get(key) or _user_data(each).get(key) for each in events]
        return [str(each) for each in found if each]

    def share(part: int, events: Sequence[object]) -> dict[str, float]:
        return {"percentage": round(100.0 * part / len(events), 1)}

    feedback = []
    for key in _DEDUPE_KEYS:
        of_pixel, of_server = values(pixel, key), values(server, key)
        if of_pixel and of_server:
            met = sum(each in set(of_server) for each in of_pixel)
            feedback.append(
                {
                    "dedupe_key": key,
                    "browser_events_with_dedupe_key": share(len(of_pixel), pixel),
                    "server_events_with_dedupe_key": share(len(of_server), server),
                    "overall_browser_coverage_from_dedupe_key": share(met, pixel),
                }
            )
    return feedback


def parse_fields(text: str) -> _Fields:
    """The fields that a text asks for. Raises `UnknownFieldError`."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != "".join(text.split()):
        raise UnknownFieldError("Syntax error in the field list.")
    wanted, rest = _parse(tokens, KNOWN)
    if rest:
        raise UnknownFieldError("Syntax error in the field list.")
    return wanted


def _parse(tokens: list[str], known: _Fields) -> tuple[_Fields, list[str]]:
    wanted: _Fields = {}
    while tokens and tokens[0] != "}":
        name, *tokens = tokens
        if name not in known:
            raise UnknownFieldError(f"Tried accessing nonexisting field ({name})")
        # A field without a list of its own is answered with all that it has.
        wanted[name] = known[name]
        if tokens and tokens[0] == "{":
            wanted[name], tokens = _parse(tokens[1:], known[name])
            if tokens[:1] != ["}"]:
                raise UnknownFieldError("Syntax error in the field list.")
            tokens = tokens[1:]
        if tokens and tokens[0] == ",":
            tokens = tokens[1:]
    return wanted, tokens


def _of_name(name: str, people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shares = {
        key: 100.0 * sum(bool(person.get(key)) for person in people) / len(people)
        for key in _WEIGHTS
    }
    scores = [
        10 * (1 - prod(1 - weight for key, weight in _WEIGHTS.items() if person.get(key)))
        for person in people
    ]
    return {
        "event_name": name,
        "event_match_quality": {
            "composite_score": round(sum(scores) / len(scores), 1),
            "match_key_feedback": [
                {
                    "identifier": IDENTIFIERS.get(key, key),
                    "coverage": {"percentage": round(share, 1)},
                }
                for key, share in shares.items()
                if share
            ],
        },
    }


def _chosen(value: Any, wanted: _Fields) -> Any:
    if not wanted:
        return value
    if isinstance(value, list):
        return [_chosen(each, wanted) for each in value]
    return {name: _chosen(value[name], below) for name, below in wanted.items()}
