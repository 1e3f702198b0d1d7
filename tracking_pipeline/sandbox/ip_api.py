"""The stand-in for ip-api.com: the free service, and the paid one beside it.

    POST /ip-api/batch?fields=...            up to 100 addresses, 15 requests a minute
    GET  /ip-api/json/{query}?fields=...     one address, 45 requests a minute
    POST /ip-api-pro/batch?fields=...&key=   the paid service: a key, and no limit
    GET  /ip-api-pro/json/{query}?key=

Follows https://ip-api.com/docs/api:batch and https://ip-api.com/docs/unban. Every request goes the
same way, and the first thing that is wrong decides the answer:

    key or limits of the source -> faults of the whole service -> the body -> scripts -> places

A request over the limit is answered with 429 and remembered as a violation; who goes on is banned
(403). So is a question without an address remembered, which ip-api answers with the place of the
machine that asked. Scripts are set for addresses, in the place of event ids. A scripted 429 tells
its `retry_after` as `X-Ttl`, and whoever comes earlier breaks a promise.

Requests are remembered without their addresses: those may be real people's, and the memory has a
journal. `Stage.ip_api` counts what was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from tracking_pipeline.sandbox import ip_api_rules
from tracking_pipeline.sandbox.ip_api_rules import Endpoint, RateLeft
from tracking_pipeline.sandbox.sample_people import COUNTRIES, REGION_CODES, known_place
from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "ip_api"
PREFIX = "/ip-api"
PAID_PREFIX = "/ip-api-pro"

_GOOD = ScriptStep()
_BROKEN = b'[{"status": "succ'


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under its two prefixes."""
    ip_api = _IpApi(stage)
    return [
        route
        for prefix in (PREFIX, PAID_PREFIX)
        for route in (
            web.post(prefix + "/batch", ip_api.post_batch),
            web.get(prefix + "/json", ip_api.get_one),
            web.get(prefix + "/json/{query:.*}", ip_api.get_one),
        )
    ]


@dataclass(frozen=True)
class _Question:
    query: str
    fields: frozenset[str]


@dataclass
class _IpApi(Service):
    destination = DESTINATION

    async def post_batch(self, request: web.Request) -> web.Response:
        """Answers up to a hundred questions."""
        body = await request.read()
        answer, counted = self._admit(request, "batch")
        if answer is None:
            answer = self._answer_batch(json_or_none(body), request.query.get("fields"))
        return await self._send(request, answer, counted)

    async def get_one(self, request: web.Request) -> web.Response:
        """Answers one question."""
        answer, counted = self._admit(request, "json")
        if answer is None:
            fields = ip_api_rules.wanted_fields(request.query.get("fields"))
            question = _Question(request.match_info.get("query", ""), fields)
            answer = self._places([question], one=True)
        return await self._send(request, answer, counted)

    def _admit(
        self, request: web.Request, endpoint: Endpoint
    ) -> tuple[StandInAnswer | None, RateLeft | None]:
        """Why the request is turned away before it is read, and what its source has left."""
        memory = self.stage.memory
        memory.check_waited(DESTINATION)
        has_key = bool(request.query.get("key"))
        if request.path.startswith(PAID_PREFIX):
            counted = None
            if not has_key:
                return StandInAnswer(ScriptStep(status=403), reason="no key"), None
        else:
            if has_key:
                memory.violate("key_in_the_clear", "a key was sent to the free service")
            source = request.remote or ""
            counted = self.stage.ip_api.count(source, endpoint, self.stage.clock())
            if counted.over:
                seconds = counted.resets_in_seconds
                memory.violate("over_the_limit", f"X-Rl was 0 for {seconds} s more")
            if counted.banned:
                return StandInAnswer(ScriptStep(status=403), reason="banned"), counted
            if counted.over:
                return StandInAnswer(ScriptStep(status=429), reason="over the limit"), counted
        fault = self.conditions.take()
        return (misbehaviour(fault, _BROKEN) if fault else None), counted

    def _answer_batch(self, asked: object, fields: str | None) -> StandInAnswer:
        if not isinstance(asked, list):
            return StandInAnswer(ScriptStep(status=400), reason="no list")
        if len(asked) > ip_api_rules.MAX_QUERIES:
            self.stage.memory.violate("too_many_queries", f"{len(asked)} in one request")
            return StandInAnswer(ScriptStep(status=422), reason="too many queries")
        return self._places([_question(item, fields) for item in asked], one=False)

    def _places(self, questions: list[_Question], *, one: bool) -> StandInAnswer:
        traffic = self.stage.ip_api
        queries = [question.query for question in questions]
        traffic.note(queries)
        if "" in queries:
            self.stage.memory.violate("own_address_asked", "a question without an address")
        step = self.stage.scripts.take(queries) or _GOOD
        if not step.is_good:
            return misbehaviour(step, _BROKEN)
        items = [
            traffic.written_as.get(question.query) or _written(question)
            for question in questions
            if question.query not in traffic.left_out
        ]
        if traffic.in_another_order:
            items.reverse()
        return StandInAnswer(step, items[0] if one and items else b"[%s]" % b",".join(items))

    async def _send(
        self, request: web.Request, answer: StandInAnswer, counted: RateLeft | None
    ) -> web.Response:
        step = answer.step
        self.remember(answer)
        await self.delay(step)
        headers = {} if counted is None else _limit_headers(counted)
        if step.status == 429 and counted is not None and not counted.over:
            headers = self._throttle_headers(step)
        return await self.send(request, answer, headers=headers)

    def wait_headers(self, step: ScriptStep) -> dict[str, str]:
        """None: ip-api tells by headers of its own how long to wait."""
        del step
        return {}

    def _throttle_headers(self, step: ScriptStep) -> dict[str, str]:
        """Those of a scripted 429, which may leave out for how long."""
        if step.retry_after is None:
            return {}
        if step.retry_after.isdecimal():
            self.stage.memory.told_to_wait(DESTINATION, float(step.retry_after))
        return {"X-Rl": "0", "X-Ttl": step.retry_after}


def _limit_headers(counted: RateLeft) -> dict[str, str]:
    return {"X-Rl": str(counted.left), "X-Ttl": str(counted.resets_in_seconds)}


def _question(item: object, fields: str | None) -> _Question:
    """One question of a batch: an address, or an object that may have fields of its own."""
    if isinstance(item, dict):
        query = item.get("query")
        own = item.get("fields", fields)
        return _Question(query if isinstance(query, str) else "?", ip_api_rules.wanted_fields(own))
    return _Question(item if isinstance(item, str) else "?", ip_api_rules.wanted_fields(fields))


def _written(question: _Question) -> bytes:
    return orjson.dumps(ip_api_rules.only_fields(_item(question.query), question.fields))


def _item(query: str) -> dict[str, Any]:
    """All that ip-api says about one query."""
    # Without an address it is the asker's own, and that one is the loopback here.
    refused = ip_api_rules.query_refusal(query or "127.0.0.1")
    if refused:
        return {"status": "fail", "message": refused, "query": query or "127.0.0.1"}
    found = known_place(query)
    country, place = COUNTRIES[found.country], found.place
    return {
        "status": "success",
        "continent": country.continent,
        "continentCode": country.continent_code,
        "country": country.name,
        "countryCode": found.country,
        "region": REGION_CODES[place.state] if place else "",
        "regionName": place.state if place else "",
        "city": place.city if place else "",
        "district": "",
        "zip": place.zip if place else "",
        # As in life, an address whose city is not known lies in the middle of its country.
        "lat": country.latitude,
        "lon": country.longitude,
        "timezone": country.timezone,
        "offset": 0,
        "currency": country.currency,
        "isp": "Example Network",
        "org": "",
        "as": "AS64496 Example Network",
        "asname": "EXAMPLE",
        "reverse": "",
        "mobile": False,
        "proxy": False,
        "hosting": found.hosting,
        "query": query,
    }
