"""The stand-in for OpenAI's Conversions API: `POST /v1/events?pid={pixel_id}`.

Follows https://developers.openai.com/ads/conversions-api and .../supported-events: one bad event
refuses the whole request; amounts are integers of the currency's smallest unit; the shape of `data`
follows from the event's name. With `validate_only` events are judged and not saved. The words of
errors and of an acceptance are not published; these are what others have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "openai_ads"
PREFIX = "/openai"
ADDRESS = PREFIX

_DATA_TYPES = {
    "appointment_scheduled": "customer_action",
    "checkout_started": "contents",
    "contents_viewed": "contents",
    "custom": "custom",
    "items_added": "contents",
    "lead_created": "customer_action",
    "order_created": "contents",
    "page_viewed": "contents",
    "registration_completed": "customer_action",
    "subscription_created": "plan_enrollment",
    "trial_started": "plan_enrollment",
}
_FIELDS = frozenset(
    (
        "id type timestamp_ms custom_event_name oppref source_url action_source opt_out user data"
    ).split()
)
_HASHED = ("email_sha256", "external_id_sha256")
_USER = frozenset((*_HASHED, "country", "city", "zip_code", "ip_address", "user_agent"))
_SOURCES = frozenset("web mobile_app offline physical_store phone_call email other".split())
_DATA = frozenset(("type", "amount", "currency", "contents"))


class _OpenAi(JsonPlatform):
    destination = DESTINATION
    most_events = 1_000
    id_path = ("id",)

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("events")

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        if not request.query.get("pid"):
            return ScriptStep(status=404, code=100, subcode=33, message="Pixel not found.")
        if payload.keys() - {"validate_only", "events"}:
            return ScriptStep(status=400, code=100, message="Unknown field.")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            yield Wrong(name, "is no field")
        if not isinstance(event.get("id"), str) or not event["id"]:
            yield Wrong("id", "is required")
        kind = event.get("type")
        if kind not in _DATA_TYPES:
            yield Wrong("type", "is no event")
        if (kind == "custom") != bool(event.get("custom_event_name")):
            yield Wrong("custom_event_name", "goes with custom alone")
        at = event.get("timestamp_ms")
        if not isinstance(at, int) or not is_within(at / 1000, now, oldest=7 * 86_400, ahead=600):
            yield Wrong("timestamp_ms", "must be milliseconds within the last 7 days")
        source = event.get("action_source", "web")
        if source not in _SOURCES:
            yield Wrong("action_source", "is no source")
        if source == "web" and not event.get("source_url"):
            yield Wrong("source_url", "is required of web events")
        user = event.get("user", {})
        for name in sorted(user.keys() - _USER):
            yield Wrong(f"user.{name}", "is no field")
        data = event.get("data")
        data = data if isinstance(data, dict) else {}
        if data.get("type") != _DATA_TYPES.get(str(kind)):
            yield Wrong("data.type", "does not match the event")
        for name in sorted(data.keys() - _DATA):
            yield Wrong(f"data.{name}", "is no field")
        for each in (data, *data.get("contents", ())):
            if "amount" in each and (type(each["amount"]) is not int or not each.get("currency")):
                yield Wrong("data.amount", "must be an integer, with a currency")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in _HASHED if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        del wrongs
        return {"accepted_events": len(events)}

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        first = next((each for each in wrongs if each.field), None)
        return {
            "error": {
                "message": step.message or "The request was invalid.",
                "type": "invalid_request_error",
                "param": f"events[{first.position}].{first.field}" if first else None,
                "code": None,
            }
        }

    def records(self, request: web.Request, payload: Mapping[str, Any]) -> bool:
        del request
        return payload.get("validate_only") is not True


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    return [web.post(PREFIX + "/v1/events", _OpenAi(stage).post)]
