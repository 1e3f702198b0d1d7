"""The stand-in for LinkedIn's Conversions API.

`POST /rest/conversionEvents`              up to 5,000 events for conversion rules
`GET  /rest/conversions?q=account&...`     the conversion rules of an ad account

Follows https://learn.microsoft.com/en-us/linkedin/marketing/integrations/ads-reporting/conversions-api
and what connectors have seen: an invalid event refuses its request with 422, and the message has a
line with its position. A version that is over is answered with 426, whatever it carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tracking_pipeline.sandbox.json_platform import JsonPlatform, Wrong, is_within
from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "linkedin_capi"
PREFIX = "/linkedin"
ADDRESS = PREFIX

RULES = ("104012", "104013")
_VERSION_ENDED = "202511"
_RULE = re.compile(r"urn:lla:llaPartnerConversion:\d+")
_ID_TYPES = frozenset(
    ("SHA256_EMAIL", "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "ACXIOM_ID", "ORACLE_MOAT_ID")
)
_FIELDS = frozenset(("conversion", "conversionHappenedAt", "conversionValue", "eventId", "user"))
_USER_FIELDS = frozenset(("userIds", "userInfo", "externalIds"))
_INFO_FIELDS = frozenset(("firstName", "lastName", "title", "companyName", "countryCode"))
_CODES = {
    401: (65600, "INVALID_ACCESS_TOKEN"),
    403: (100, "ACCESS_DENIED"),
    426: (0, "NONEXISTENT_VERSION"),
    429: (101, "TOO_MANY_REQUESTS"),
}


class _LinkedIn(JsonPlatform):
    destination = DESTINATION
    most_events = 5_000
    id_path = ("eventId",)

    def events(self, payload: Mapping[str, Any]) -> object:
        return payload.get("elements")

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        del payload
        version = request.headers.get("LinkedIn-Version", "")
        if version <= _VERSION_ENDED:
            return ScriptStep(
                status=426, code=1, message=f"Requested version {version} is not active"
            )
        if request.headers.get("X-Restli-Protocol-Version") != "2.0.0":
            return ScriptStep(status=400, code=1, message="X-Restli-Protocol-Version must be 2.0.0")
        if request.method == "POST" and request.headers.get("X-RestLi-Method") != "BATCH_CREATE":
            return ScriptStep(status=400, code=1, message="X-RestLi-Method must be BATCH_CREATE")
        return None

    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        for name in sorted(event.keys() - _FIELDS):
            yield Wrong(name, "unrecognized field found but not allowed")
        if not _RULE.fullmatch(str(event.get("conversion"))):
            yield Wrong("conversion", "is no urn of a conversion rule")
        at = event.get("conversionHappenedAt")
        if not isinstance(at, int) or not is_within(at / 1000, now, oldest=90 * 86_400):
            yield Wrong("conversionHappenedAt", "must be within the last 90 days")
        if len(str(event.get("eventId", ""))) > 64:
            yield Wrong("eventId", "is longer than 64 characters")
        value = event.get("conversionValue")
        if value is not None and not (
            isinstance(value, dict)
            and isinstance(value.get("amount"), str)
            and isinstance(value.get("currencyCode"), str)
        ):
            yield Wrong("conversionValue", "needs currencyCode and amount, as text")
        user = event.get("user")
        yield from _wrong_user(user if isinstance(user, dict) else {})

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        user = event.get("user")
        for each in user.get("userIds", ()) if isinstance(user, dict) else ():
            if each.get("idType") == "SHA256_EMAIL":
                yield "user.userIds", each.get("idValue")

    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        del wrongs
        return {"elements": [{"status": 201} for _ in events]}

    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        lines = [
            f"Index: {each.position}, ERROR :: /{each.field} :: {each.message}\n"
            for each in wrongs
            if each.field
        ]
        number, code = _CODES.get(step.status, (0, "ERROR"))
        return {
            "status": step.status,
            "serviceErrorCode": number,
            "code": code,
            "message": "".join(lines) or step.message or "an error",
        }

    async def get_rules(self, request: web.Request) -> web.Response:
        """The conversion rules of an ad account."""
        step = ScriptStep() if self.token(request) else ScriptStep(status=401, code=190)
        if step.is_good:
            step = self.stage.conditions[DESTINATION].take() or step
        if step.is_good:
            step = self.refuse_call(request, {}) or step
        if not step.is_good:
            return web.json_response(self.error(step, ()), status=step.status)
        if not request.query.get("account", "").startswith("urn:li:sponsoredAccount:"):
            step = ScriptStep(status=400, code=1, message="account is no urn")
            return web.json_response(self.error(step, ()), status=400)
        rules = [{"id": int(rule), "enabled": True, "type": "LEAD"} for rule in RULES]
        return web.json_response({"elements": rules, "paging": {"start": 0, "count": 100}})


def _wrong_user(user: Mapping[str, Any]) -> Iterator[Wrong]:
    for name in sorted(user.keys() - _USER_FIELDS):
        yield Wrong(f"user/{name}", "unrecognized field found but not allowed")
    ids = user.get("userIds")
    if not isinstance(ids, list) or any(each.get("idType") not in _ID_TYPES for each in ids):
        yield Wrong("user/userIds", "must be a list of known types")
    info = user.get("userInfo", {})
    if info and not (info.get("firstName") and info.get("lastName")):
        yield Wrong("user/userInfo", "needs firstName and lastName")
    if info.keys() - _INFO_FIELDS:
        yield Wrong("user/userInfo", "unrecognized field found but not allowed")
    if not ids and not info:
        yield Wrong("user", "needs an id or both names")
    if len(user.get("externalIds", ())) > 1:
        yield Wrong("user/externalIds", "has more than one")


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    linkedin = _LinkedIn(stage)
    return [
        web.post(PREFIX + "/rest/conversionEvents", linkedin.post),
        web.get(PREFIX + "/rest/conversions", linkedin.get_rules),
    ]
