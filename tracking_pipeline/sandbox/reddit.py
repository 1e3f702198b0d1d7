"""The stand-in for Reddit's Conversions API: `POST /api/v3/pixels/{pixel_id}/conversion_events`.

Follows https://ads-api.reddit.com/docs/v3/operations/Post%20Conversion%20Events: one bad event
refuses the whole request and is named in `error.fields`. Names of version 2 are refused, and so is
a hash that is none. It knows no event again that came before: what is sent twice is kept twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "reddit_capi"
PREFIX = "/reddit"
ADDRESS = PREFIX

_TYPES = frozenset(
    (
        "PURCHASE LEAD SIGN_UP ADD_TO_CART VIEW_CONTENT SEARCH ADD_TO_WISHLIST PAGE_VISIT CUSTOM"
    ).split()
)
_SOURCES = frozenset(("WEBSITE", "APP", "OTHER", "PHYSICAL_STORE"))
_HASHED = ("email", "phone_number", "external_id")
_FIELDS = frozenset("event_at action_source event_source_url click_id type user metadata".split())
_OLD_NAMES = frozenset(("event_type", "event_metadata", "test_mode", "value_decimal"))


class _Reddit(JsonPlatform):
    destination = DESTINATION
    most_events = 1_000
    id_path = ("metadata", "conversion_id")

    def events(self, payload: Mapping[str, Any]) -> object:
        data = payload.get("data")
        return data.get("events") if isinstance(data, dict) else None

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        del payload
        if not request.match_info["pixel_id"].startswith(("a2_", "t2_")):
            return ScriptStep(status=404, code=100, subcode=33, message="pixel not found")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            said = "is a field of version 2" if name in _OLD_NAMES else "is no field"
            yield Wrong(name, said)
        at = event.get("event_at")
        if not isinstance(at, int) or not is_within(at / 1000, now, oldest=7 * 86_400):
            yield Wrong("event_at", "must be milliseconds within the last 7 days")
        if event.get("action_source") not in _SOURCES:
            yield Wrong("action_source", "is required")
        kind = event.get("type")
        kind = kind if isinstance(kind, dict) else {}
        tracking = kind.get("tracking_type")
        if tracking not in _TYPES:
            yield Wrong("type.tracking_type", "is no tracking type")
        elif (tracking == "CUSTOM") != ("custom_event_name" in kind):
            yield Wrong("type.custom_event_name", "goes with CUSTOM alone")
        user = event.get("user")
        known = user.keys() - {"data_processing_options"} if isinstance(user, dict) else set()
        if not known and not event.get("click_id"):
            yield Wrong("user", "needs one identifier or a click_id")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in _HASHED if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        del wrongs
        said = f"Successfully processed {len(events)} conversion events."
        return {"data": {"message": said}}

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        fields = [
            {
                "field": f"data.events[{each.position}].{each.field}".rstrip("."),
                "message": each.message,
            }
            for each in wrongs
            if each.field
        ]
        return {
            "error": {"code": step.status, "message": step.message or "error", "fields": fields}
        }


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    reddit = _Reddit(stage)
    return [web.post(PREFIX + "/api/v3/pixels/{pixel_id}/conversion_events", reddit.post)]
