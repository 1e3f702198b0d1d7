"""The stand-in for TikTok's Events API 2.0: `POST /open_api/v1.3/event/track/`.

Follows https://business-api.tiktok.com/portal/docs?id=1771100865818625: whatever happened, the HTTP
status is 200 and `code` says what; one bad event refuses the whole request, and nothing says which
it was. Events with one name and one id are kept once in 48 hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "tiktok_events"
PREFIX = "/tiktok"
ADDRESS = PREFIX

_SOURCES = frozenset(("web", "app", "offline", "crm"))
_FIELDS = frozenset(
    "event event_time event_id user properties page limited_data_use app ad lead".split()
)
_HASHED = ("email", "phone", "external_id", "first_name", "last_name", "zip_code")
_PLAIN = ("city", "state", "country", "ip", "user_agent", "ttclid", "ttp", "locale")
_USER = frozenset((*_HASHED, *_PLAIN, "idfa", "idfv", "gaid"))
# TikTok's codes by what they mean; see `_code`.
_EVENT, _TOKEN, _RIGHT, _RATE, _FAULT = 40002, 40105, 40001, 40100, 50000
_LOWEST_CODE = 10_000


class _TikTok(JsonPlatform):
    destination = DESTINATION
    most_events = 1_000

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("data")

    def token(self, request: web.Request) -> str:
        return request.headers.get("Access-Token", "").strip()

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        del request
        if payload.get("event_source") not in _SOURCES:
            return ScriptStep(status=400, code=100, message="event_source: is no source")
        if not isinstance(payload.get("event_source_id"), str) or not payload["event_source_id"]:
            return ScriptStep(status=400, code=100, message="event_source_id: is required")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            yield Wrong(name, "is no field")
        for name in ("event", "event_id"):
            if not isinstance(event.get(name), str) or not event[name]:
                yield Wrong(name, "is required")
        at = event.get("event_time")
        if not isinstance(at, int) or not is_within(at, now, oldest=28 * 86_400):
            yield Wrong("event_time", "must be seconds of a time that is not too old")
        user = event.get("user")
        user = user if isinstance(user, dict) else {}
        if not user:
            yield Wrong("user", "needs one identifier")
        for name in sorted(user.keys() - _USER):
            yield Wrong(f"user.{name}", "is no field")
        for name in _PLAIN:
            if name in user and not isinstance(user[name], str):
                yield Wrong(f"user.{name}", "must be a text")
        properties = event.get("properties") or {}
        if "value" in properties:
            value = properties["value"]
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                yield Wrong("properties.value", "must be a number")
            if not properties.get("currency"):
                yield Wrong("properties.currency", "goes with a value")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in _HASHED if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        del events, wrongs
        return {"code": 0, "message": "OK", "request_id": self._request_id(), "data": {}}

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        said = f"{wrongs[0].field}: {wrongs[0].message}" if wrongs else step.message
        return {
            "code": _code(step),
            "message": said or "error",
            "request_id": self._request_id(),
            "data": {},
        }

    def http_status(self, step: ScriptStep, *, some_refused: bool) -> int:
        # What stands before it fails with a status of its own.
        return step.status if _is_of_what_stands_before(step) else 200

    def _request_id(self) -> str:
        return f"sandbox{next(self.traces):08d}"


def _is_of_what_stands_before(step: ScriptStep) -> bool:
    return step.status >= 500 or step.status in (408, 425)


def _code(step: ScriptStep) -> int:
    """TikTok's code for a step, which scripts write in Meta's; one of TikTok's own stays."""
    if step.code is not None and step.code >= _LOWEST_CODE:
        return step.code
    if _is_of_what_stands_before(step):
        return _FAULT
    return {401: _TOKEN, 403: _RIGHT, 404: _RIGHT, 429: _RATE}.get(step.status, _EVENT)


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    return [web.post(PREFIX + "/open_api/v1.3/event/track/", _TikTok(stage).post)]
