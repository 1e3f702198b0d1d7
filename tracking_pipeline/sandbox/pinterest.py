"""The stand-in for Pinterest's API for Conversions: `POST /v5/ad_accounts/{ad_account_id}/events`.

Follows https://developers.pinterest.com/docs/api/v5/events-create: each event has a status of its
own, with 200, and with 422 where some were not processed. With `?test=true` events are judged and
not recorded. A field that the API's description does not have refuses its event.
`GET /v5/ad_accounts/{ad_account_id}/conversion_eqs` says how often each identifier came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "pinterest_capi"
PREFIX = "/pinterest"
ADDRESS = PREFIX

_NAMES = frozenset(
    (
        "add_payment_info add_to_cart add_to_wishlist app_install checkout custom "
        "initiate_checkout lead page_visit search signup subscribe view_category view_content "
        "watch_video"
    ).split()
)
_SOURCES = frozenset(("app_android", "app_ios", "web", "offline"))
_FIELDS = frozenset(
    (
        "action_source app_id app_info app_name app_version custom_data device_brand "
        "device_carrier device_info device_model device_type event_id event_name "
        "event_source_url event_time language opt_out os_version partner_name user_data wifi"
    ).split()
)
_CUSTOM = frozenset(
    (
        "content_brand content_category content_ids content_name contents currency num_items "
        "opt_out_type order_id predicted_ltv search_string value np"
    ).split()
)
_HASHED = tuple("em ph fn ln ge db ct st zp country external_id hashed_maids".split())
_PLAIN = frozenset(("client_ip_address", "client_user_agent", "click_id", "partner_id"))
_CODES = {401: 2, 403: 29, 404: 50, 429: 8}
_INVALID, _RAMPED_DOWN = 4196, 4197
_REFUSALS = frozenset((400, 413, 422))


class _Pinterest(JsonPlatform):
    destination = DESTINATION
    most_events = 1_000
    takes_the_rest = True

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("data")

    def records(self, request: web.Request, payload: Mapping[str, Any]) -> bool:
        del payload
        return request.query.get("test") != "true"

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        if not request.match_info["ad_account_id"].isdecimal():
            return ScriptStep(status=404, code=100, subcode=33, message="Ad account not found.")
        if payload.keys() != {"data"}:
            return ScriptStep(status=400, code=100, message="The body has data alone.")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            yield Wrong(name, "is no field")
        if event.get("event_name") not in _NAMES:
            yield Wrong("event_name", "is no event")
        if event.get("action_source") not in _SOURCES:
            yield Wrong("action_source", "is required")
        at = event.get("event_time")
        if not isinstance(at, int) or not is_within(at, now, oldest=7 * 86_400):
            yield Wrong("event_time", "must be seconds of a time that is not too old")
        if not isinstance(event.get("event_id"), str) or not event["event_id"]:
            yield Wrong("event_id", "is required")
        user = event.get("user_data")
        user = user if isinstance(user, dict) else {}
        if not (
            user.get("em")
            or user.get("hashed_maids")
            or (user.get("client_ip_address") and user.get("client_user_agent"))
        ):
            yield Wrong("user_data", "needs em, hashed_maids, or address and agent")
        for name in sorted(user.keys() - _PLAIN):
            if name not in _HASHED:
                yield Wrong(f"user_data.{name}", "is no field")
            elif not isinstance(user[name], list):
                yield Wrong(f"user_data.{name}", "must be a list")
        custom = event.get("custom_data") or {}
        for name in sorted(custom.keys() - _CUSTOM):
            yield Wrong(f"custom_data.{name}", "is no field")
        amounts = [custom.get("value"), *(each.get("item_price") for each in _contents(custom))]
        if any(amount is not None and not isinstance(amount, str) for amount in amounts):
            yield Wrong("custom_data", "an amount must be a text")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user_data")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in _HASHED if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        return _by_row(len(events), wrongs)

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        if wrongs:
            # All of them were refused, or the request would have been taken in part.
            return _by_row(1 + max(each.position for each in wrongs), wrongs)
        code = _CODES.get(step.status, _INVALID if step.status in _REFUSALS else _RAMPED_DOWN)
        return {"code": code, "message": step.message or "The request was invalid."}

    def http_status(self, step: ScriptStep, *, some_refused: bool) -> int:
        return 422 if some_refused else step.status

    async def get_quality(self, request: web.Request) -> web.Response:
        """Answers the question how good the events are that were accepted."""
        if not self.token(request):
            body = {"code": 2, "message": "Authentication failed."}
            return web.json_response(body, status=401)
        if request.query.get("lookback_period") not in ("1d", "14d"):
            return web.json_response({"code": 1, "message": "lookback_period"}, status=400)
        return web.json_response(_quality(self.stage.memory.accepted_events))


# What an identifier is called in the event quality, and where it stands in an event.
_COMPONENTS = {
    "hashed_email": ("user_data", "em"),
    "advertiser_external_id": ("user_data", "external_id"),
    "click_id_epik": ("user_data", "click_id"),
    "ip_address": ("user_data", "client_ip_address"),
    "user_agent": ("user_data", "client_user_agent"),
    "order_id": ("custom_data", "order_id"),
}
_PLATFORMS = {"web": "WEB", "app_ios": "MOBILE_IOS", "app_android": "MOBILE_ANDROID"}


def _quality(events: Sequence[Any]) -> list[dict[str, Any]]:
    by_source: dict[str, dict[str, list[Any]]] = {}
    for event in events:
        source = event.get("action_source") if isinstance(event, dict) else None
        if source in _SOURCES:
            names = by_source.setdefault(_PLATFORMS.get(source, "OFFLINE"), {})
            names.setdefault(event["event_name"], []).append(event)
    return [
        {
            "source_platform": platform,
            "ingestion_source": "CONVERSIONS_API",
            "lookback_period": "14d",
            "overall_status": "FAIR",
            "quality_components": {
                component: {
                    name: {
                        "coverage": 100.0
                        * sum(bool((each.get(part) or {}).get(field)) for each in listed)
                        / len(listed)
                    }
                    for name, listed in names.items()
                }
                for component, (part, field) in _COMPONENTS.items()
            },
        }
        for platform, names in by_source.items()
    ]


def _contents(custom: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    contents = custom.get("contents")
    return [each for each in contents if isinstance(each, dict)] if contents else []


def _by_row(events: int, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
    rows: list[dict[str, str | None]] = [
        {"status": "processed", "error_message": None, "warning_message": None}
        for _ in range(events)
    ]
    for wrong in wrongs:
        row = rows[wrong.position]
        row["warning_message" if wrong.warning else "error_message"] = (
            f"{wrong.field} {wrong.message}".strip()
        )
        if not wrong.warning:
            row["status"] = "failed"
    processed = sum(row["status"] == "processed" for row in rows)
    return {"num_events_received": events, "num_events_processed": processed, "events": rows}


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    pinterest = _Pinterest(stage)
    account = PREFIX + "/v5/ad_accounts/{ad_account_id}"
    return [
        web.post(account + "/events", pinterest.post),
        web.get(account + "/conversion_eqs", pinterest.get_quality),
    ]
