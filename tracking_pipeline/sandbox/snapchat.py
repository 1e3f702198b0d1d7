"""The stand-in for Snapchat's Conversions API: `POST /v3/{pixel_id}/events` and, where nothing is
recorded, `/v3/{pixel_id}/events/validate`.

Follows https://developers.snap.com/api/marketing-api/Conversions-API/UsingTheAPI; that each event
is refused by itself, and named in `error_records`, is what a connector saw. The token may stand in
a header; in the URL it is taken as well, and is a promise of this project's broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "snapchat_capi"
PREFIX = "/snapchat"
ADDRESS = PREFIX

_NAMES = frozenset(
    (
        "PURCHASE SAVE START_CHECKOUT ADD_CART VIEW_CONTENT ADD_BILLING SIGN_UP SEARCH PAGE_VIEW "
        "SUBSCRIBE AD_CLICK AD_VIEW COMPLETE_TUTORIAL LEVEL_COMPLETE INVITE LOGIN SHARE RESERVE "
        "ACHIEVEMENT_UNLOCKED ADD_TO_WISHLIST SPENT_CREDITS RATE START_TRIAL LIST_VIEW APP_INSTALL "
        "APP_OPEN CUSTOM_EVENT_1 CUSTOM_EVENT_2 CUSTOM_EVENT_3 CUSTOM_EVENT_4 CUSTOM_EVENT_5"
    ).split()
)
_SOURCES = frozenset(("WEB", "MOBILE_APP", "OFFLINE"))
_HASHED = tuple("em ph fn ln ge db ct st zp country external_id".split())


class _Snapchat(JsonPlatform):
    destination = DESTINATION
    most_events = 2_000
    takes_the_rest = True

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("data")

    def token(self, request: web.Request) -> str:
        return super().token(request) or request.query.get("access_token", "")

    def records(self, request: web.Request, payload: Mapping[str, Any]) -> bool:
        del payload
        return not request.path.endswith("/validate")

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        if event.get("event_name") not in _NAMES:
            yield Wrong("event_name", "is no event")
        at = event.get("event_time")
        at = at / 1000 if isinstance(at, int) and at > 100_000_000_000 else at
        if not is_within(at, now, oldest=37 * 86_400):
            yield Wrong("event_time", "must be within the last 37 days")
        source = event.get("action_source")
        if source not in _SOURCES:
            yield Wrong("action_source", "is required")
        if source == "WEB" and not event.get("event_source_url"):
            yield Wrong("event_source_url", "is required of WEB")
        user = event.get("user_data")
        user = user if isinstance(user, dict) else {}
        if not (
            user.get("em")
            or user.get("ph")
            or user.get("madid")
            or (user.get("client_ip_address") and user.get("client_user_agent"))
        ):
            yield Wrong("user_data", "needs em, ph, madid, or address and agent")
        custom = event.get("custom_data") or {}
        if "value" in custom and not custom.get("currency"):
            yield Wrong("custom_data.currency", "goes with a value")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user_data")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in _HASHED if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        del events
        if wrongs:
            return _refused(wrongs)
        return {"status": "VALID", "reason": "Events have been processed successfully."}

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        return _refused(wrongs, step.message or "error")


def _refused(wrongs: Sequence[Wrong], reason: str = "Some events are invalid.") -> dict[str, Any]:
    body: dict[str, Any] = {"status": "INVALID", "reason": reason}
    if wrongs:
        body["error_records"] = [
            {"index": each.position, "reason": f"{each.field} {each.message}".strip()}
            for each in wrongs
        ]
    return body


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    snapchat = _Snapchat(stage)
    path = PREFIX + "/v3/{pixel_id}/events"
    return [web.post(path, snapchat.post), web.post(path + "/validate", snapchat.post)]
