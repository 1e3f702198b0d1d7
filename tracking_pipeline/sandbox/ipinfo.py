"""The stand-in for ipinfo.io's batch services: `POST /ipinfo/batch`, `.../lite`, `.../legacy`.

Follows https://ipinfo.io/developers/batch-enrichment-api: a list of up to 1,000 addresses in, an
object with one member for each out, in the shape of the service; a bearer token. Prefixes such as
`lite/` before an address are not understood. A token in the URL is refused here, because URLs end
up in logs. Tokens that begin with `free` are of the free plan, which has `lite` only.

A body goes through: token -> faults of the whole service -> the list -> scripts (set for addresses)
-> places. Requests are remembered without their addresses, as by `ip_api`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from tracking_pipeline.sandbox.sample_people import COUNTRIES, REGION_CODES, KnownPlace, known_place
from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "ipinfo"
PREFIX = "/ipinfo"
MAX_ADDRESSES = 1000

_BEARER = "Bearer "
_GOOD = ScriptStep()
_BROKEN = b'{"8.8.8.8": {'


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    ipinfo = _IpInfo(stage)
    return [
        web.post(PREFIX + "/batch", ipinfo.post_batch),
        web.post(PREFIX + "/batch/{service:lite|legacy}", ipinfo.post_batch),
    ]


@dataclass
class _IpInfo(Service):
    destination = DESTINATION

    async def post_batch(self, request: web.Request) -> web.Response:
        """Answers up to a thousand addresses."""
        self.stage.memory.check_waited(DESTINATION)
        answer = self._answer(request, json_or_none(await request.read()))
        self.remember(answer)
        await self.delay(answer.step)
        return await self.send(request, answer)

    def _answer(self, request: web.Request, asked: object) -> StandInAnswer:
        service = request.match_info.get("service", "core")
        refused = self._refuse_token(request, service)
        if refused:
            return refused
        fault = self.conditions.take()
        if fault:
            return misbehaviour(fault, _BROKEN)
        if not isinstance(asked, list) or not all(isinstance(item, str) for item in asked):
            return StandInAnswer(ScriptStep(status=400), reason="no list of addresses")
        if len(asked) > MAX_ADDRESSES:
            self.stage.memory.violate("too_many_addresses", f"{len(asked)} in one request")
            return StandInAnswer(ScriptStep(status=400), reason="too many addresses")
        step = self.stage.scripts.take(asked) or _GOOD
        if not step.is_good:
            return misbehaviour(step, _BROKEN)
        return StandInAnswer(
            step, orjson.dumps({address: _item(address, service) for address in asked})
        )

    def _refuse_token(self, request: web.Request, service: str) -> StandInAnswer | None:
        if "token" in request.query:
            self.stage.memory.violate("token_in_url", "token in the query of the URL")
        token = request.headers.get("Authorization", "").removeprefix(_BEARER)
        if not token:
            return StandInAnswer(ScriptStep(status=401), reason="no token")
        if token.startswith("free") and service != "lite":
            return StandInAnswer(ScriptStep(status=403), reason="not in the free plan")
        return None


def _item(address: str, service: str) -> dict[str, Any]:
    try:
        public = ip_address(address).is_global
    except ValueError:
        return {"error": {"title": "Wrong ip", "message": "Please provide a valid IP address"}}
    if not public:
        return {"ip": address, "bogon": True}
    found = known_place(address)
    shapes = {"core": _core, "lite": _lite, "legacy": _legacy}
    return {"ip": address, **shapes[service](found)}


def _core(found: KnownPlace) -> dict[str, Any]:
    country, place = COUNTRIES[found.country], found.place
    return {
        "geo": {
            "city": place.city if place else "",
            "region": place.state if place else "",
            "region_code": REGION_CODES[place.state] if place else "",
            "country": country.name,
            "country_code": found.country,
            "continent": country.continent,
            "continent_code": country.continent_code,
            "latitude": country.latitude,
            "longitude": country.longitude,
            "timezone": country.timezone,
            "postal_code": place.zip if place else "",
        },
        "as": {"asn": "AS64496", "name": "Example Network", "domain": "example.net"},
        "is_anonymous": False,
        "is_anycast": False,
        "is_hosting": found.hosting,
        "is_mobile": False,
        "is_satellite": False,
    }


def _lite(found: KnownPlace) -> dict[str, Any]:
    country = COUNTRIES[found.country]
    return {
        "asn": "AS64496",
        "as_name": "Example Network",
        "as_domain": "example.net",
        "country_code": found.country,
        "country": country.name,
        "continent_code": country.continent_code,
        "continent": country.continent,
    }


def _legacy(found: KnownPlace) -> dict[str, Any]:
    country, place = COUNTRIES[found.country], found.place
    return {
        **({"city": place.city, "region": place.state, "postal": place.zip} if place else {}),
        "country": found.country,
        "loc": f"{country.latitude},{country.longitude}",
        "org": "AS64496 Example Network",
        "timezone": country.timezone,
        "privacy": {"vpn": False, "proxy": False, "tor": False, "hosting": found.hosting},
    }
