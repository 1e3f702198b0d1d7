"""The stand-in for Microsoft Advertising's UET Conversions API: `POST /v1/{tag_id}/events`.

Follows https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration: with
`continueOnValidationError` the good events of a request are taken and the others are named in
`error.details`, beside warnings of those that were taken; without it one bad event refuses all. As
in life, `attemptedValue` quotes what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "microsoft_uet"
PREFIX = "/microsoft"
ADDRESS = PREFIX

_FIELDS = frozenset(
    "eventType eventId eventName eventTime eventSourceUrl adStorageConsent userData customData "
    "continueOnValidationError".split()
)
_IDENTIFIERS = frozenset(
    "anonymousId externalId em ph clientIpAddress clientUserAgent gaid idfa msclkid".split()
)
_CUSTOM = frozenset(
    "transactionId value currency eventCategory eventLabel eventValue items pageType".split()
)


class _Microsoft(JsonPlatform):
    destination = DESTINATION
    most_events = 1_000
    most_bytes = 1_000_000
    id_path = ("eventId",)
    takes_the_rest = True

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("data")

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        if not re.fullmatch(r"\d+", request.match_info["tag_id"]):
            return ScriptStep(status=404, code=100, subcode=33, message="no such tag")
        if payload.get("continueOnValidationError") is not True:
            return ScriptStep(status=400, code=1, message="the sandbox takes partial requests only")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            yield Wrong(name, "is not known and ignored", warning=True)
        if event.get("eventType") not in ("pageLoad", "custom"):
            yield Wrong("eventType", "must be pageLoad or custom")
        if event.get("eventType") == "custom" and not event.get("eventName"):
            yield Wrong("eventName", "is required")
        at = event.get("eventTime")
        if not isinstance(at, int) or not is_within(at, now, oldest=7 * 86_400):
            yield Wrong("eventTime", "must be seconds within the last 7 days")
        if event.get("adStorageConsent") not in ("G", "D"):
            yield Wrong("adStorageConsent", "must be G or D")
        user = event.get("userData")
        if not isinstance(user, dict) or not user.keys() & _IDENTIFIERS:
            yield Wrong("userData", "needs one identifier")
        elif user.keys() - _IDENTIFIERS:
            yield Wrong("userData", "has an unknown identifier")
        custom = event.get("customData", {})
        if custom.keys() - _CUSTOM:
            yield Wrong("customData", "has an unknown field", warning=True)
        if "value" in custom and not isinstance(custom["value"], (int, float)):
            yield Wrong("customData.value", "must be a number")

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("userData")
        if isinstance(user, dict):
            yield from ((name, user[name]) for name in ("em", "ph", "externalId") if name in user)

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        refused = {each.position for each in wrongs if not each.warning}
        body: dict[str, Any] = {"eventsReceived": len(events) - len(refused), "traceId": "sandbox1"}
        if wrongs:
            body["error"] = {"message": "Some events are invalid", "details": _details(wrongs)}
        return body

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        message = step.message or "an error"
        return {
            "eventsReceived": None,
            "error": {"code": step.status, "message": message, "details": _details(wrongs)},
            "traceId": "sandbox1",
        }


def _details(wrongs: Sequence[Wrong]) -> list[dict[str, Any]]:
    return [
        {
            "index": each.position,
            "propertyName": each.field or None,
            "attemptedValue": "person@example.com",
            "errorMessage": each.message,
            "errorCode": "ignored" if each.warning else "invalid",
            "isWarning": each.warning,
        }
        for each in wrongs
    ]


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    return [web.post(PREFIX + "/v1/{tag_id}/events", _Microsoft(stage).post)]
