"""The stand-in for server-side Google Tag Manager: one host, and a few containers on it.

    POST /gtm/{container}/data                     the Data Client
    POST /gtm/{container}/mp/collect               the Measurement Protocol client
    POST /gtm/{container}/debug/mp/collect         validates, in a container that passes it on
    POST /gtm/{container}/anything/else            claimed by no client: 400
    GET  /gtm/{container}/healthz                  whether the container runs

`container` is one of `CONTAINERS`, which differ in how they are configured. As in life:

- A container takes what it is sent, checks nothing and fills in what is missing from the request.
  What it had to fill in, and what Google would later drop in silence, is a violation here.
- The Data Client without "Accept Multiple Events" takes a list for one event without a name, and
  answers with success: its events are lost, and only the form of the answer tells.
- The Data Client gives all events of a list the first client id that it finds.

Events are remembered as the container's tags see them. The token of a preview is remembered where
other stand-ins keep a test event code.

A scripted 400 (`"bad"`) is one of a client that took the request; on `/mp/collect`, whose client
refuses nothing, it is the 413 of the server.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from aiohttp import web

from tracking_pipeline.sandbox import gtm_rules
from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "gtm_server"
PREFIX = "/gtm"
# The container that a rehearsal sends to; those that are configured otherwise stand beside it.
ADDRESS = PREFIX + "/main"

_PREVIEW_HEADER = "X-Gtm-Server-Preview"
_GOOD = ScriptStep()
_UNCLAIMED = ScriptStep(status=400, code=100)
# The Data Client's own, in every answer that it gives.
_CORS = {
    "Access-Control-Max-Age": "600",
    "Access-Control-Allow-Methods": "GET,POST,PUT,DELETE,OPTIONS",
    "Access-Control-Allow-Headers": "content-type,set-cookie,x-robots-tag,x-gtm-server-preview",
    "Access-Control-Allow-Credentials": "true",
}


@dataclass(frozen=True)
class Container:
    """How a container is configured.

    `status` is what its Data Client answers to what it has taken; `body` is what it says then;
    without `published` no client claims any request; `validates` says that it passes on to Google
    the form of the Measurement Protocol that only validates; `health_path` is where it says that it
    runs.
    """

    accepts_multiple_events: bool = False
    status: int = 200
    body: Literal["timestamp", "event_data", "empty"] = "timestamp"
    published: bool = True
    validates: bool = False
    health_path: str = "healthz"


CONTAINERS = {
    "main": Container(),
    "multiple": Container(accepts_multiple_events=True),
    "silent": Container(body="empty"),
    "talkative": Container(accepts_multiple_events=True, body="event_data"),
    "status-403": Container(status=403, body="empty"),
    "status-302": Container(status=302, body="empty"),
    "unpublished": Container(published=False),
    "validating": Container(validates=True, health_path="healthy"),
}


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    gtm = _Gtm(stage)
    return [
        web.post(PREFIX + "/{container}/data", gtm.post_data),
        web.post(PREFIX + "/{container}/mp/collect", gtm.post_measurement),
        web.post(PREFIX + "/{container}/debug/mp/collect", gtm.post_debug),
        web.post(PREFIX + "/{tail:.*}", gtm.post_unclaimed),
        web.get(PREFIX + "/{container}/{path:healthz|healthy}", gtm.get_health),
    ]


@dataclass(frozen=True)
class _ContainerAnswer(StandInAnswer):
    """``status`` is the container's own where it has one."""

    by_data_client: bool = False
    status: int | None = None


@dataclass
class _Gtm(Service):
    destination = DESTINATION

    async def post_data(self, request: web.Request) -> web.Response:
        """Answers as the Data Client does."""
        container = _container(request)
        sent = json_or_none(await request.read())
        listed = isinstance(sent, list)
        events = sent if isinstance(sent, list) else [sent]
        events = [_as_seen(event, events, request) for event in events]
        lost = listed and not container.accepts_multiple_events
        step = self._step(container, events)
        if step.is_good:
            self._check_data(sent, events, lost=lost)
        if lost:
            events = [{"event_name": "Data"}]
        if not step.is_good:
            answer = _misbehave(step, by_data_client=container.published)
        else:
            models = events if listed and not lost else events[0]
            answer = _ContainerAnswer(
                step,
                _body(container, models),
                by_data_client=True,
                status=container.status,
            )
        return await self._answer(request, events, answer)

    async def post_measurement(self, request: web.Request) -> web.Response:
        """Answers as a Measurement Protocol client does: 204, whatever comes."""
        container = _container(request)
        body = await request.read()
        payload = json_or_none(body)
        payload = payload if isinstance(payload, dict) else {}
        events = _measured(payload)
        step = self._step(container, events)
        if step.kind == "bad":
            step = ScriptStep(kind="bad", status=413, code=100)
        if step.is_good and not self.stage.lenient:
            problems = gtm_rules.measurement_protocol_problems(
                payload, len(body), self.stage.clock()
            )
            for problem in problems:
                self.stage.memory.violate("dropped_in_silence", problem)
            if not (request.query.get("measurement_id") and request.query.get("api_secret")):
                self.stage.memory.violate("dropped_in_silence", "no measurement_id or api_secret")
        answer = _ContainerAnswer(step, status=204) if step.is_good else _misbehave(step)
        return await self._answer(request, events, answer)

    async def post_debug(self, request: web.Request) -> web.Response:
        """Answers as Google's validation does, which finds every empty list wanting."""
        if not _container(request).validates:
            return await self.post_unclaimed(request)
        payload = json_or_none(await request.read())
        events = payload.get("events") if isinstance(payload, dict) else None
        found = [] if events else [{"fieldPath": "events", "validationCode": "VALUE_REQUIRED"}]
        body = orjson.dumps({"validationMessages": found})
        return await self._answer(request, [], _ContainerAnswer(_GOOD, body))

    async def get_health(self, request: web.Request) -> web.Response:
        """Says that the container runs, where it does so."""
        fault = self.conditions.take()
        if fault is not None:
            return await self._send(request, _misbehave(fault), fault.status)
        if request.match_info["path"] != _container(request).health_path:
            return web.Response(status=404, text="Not found")
        return web.Response(text="ok")

    async def post_unclaimed(self, request: web.Request) -> web.Response:
        """Answers what no client claims."""
        await request.read()
        return await self._answer(request, [], _misbehave(_UNCLAIMED))

    def _step(self, container: Container, events: Sequence[Any]) -> ScriptStep:
        if not container.published:
            return _UNCLAIMED
        return (
            self.conditions.take()
            or self.stage.fault([_event_id(event) for event in events])
            or _GOOD
        )

    def _check_data(self, sent: object, events: Sequence[Any], *, lost: bool) -> None:
        if self.stage.lenient:
            return
        memory = self.stage.memory
        if lost:
            memory.violate("list_taken_for_one_event", "a list without Accept Multiple Events")
            return
        given = sent if isinstance(sent, list) else [sent]
        if len({event.get("client_id") for event in given if isinstance(event, dict)}) > 1:
            memory.violate("visitors_mixed", "several client ids in one list")
        for event, seen in zip(given, events, strict=True):
            fields = event if isinstance(event, dict) else {}
            for problem in gtm_rules.data_client_problems(fields):
                memory.violate("filled_in_by_container", problem, _event_id(seen))

    async def _answer(
        self, request: web.Request, events: Sequence[Any], answer: _ContainerAnswer
    ) -> web.Response:
        step = answer.step
        status = answer.status or step.status
        self.stage.memory.check_waited(DESTINATION)
        self.remember(
            answer,
            map(_event_id, events),
            events,
            told=str(status) if step.is_good else None,
            test_event_code=request.headers.get(_PREVIEW_HEADER),
        )
        await self.delay(step)
        return await self._send(request, answer, status)

    async def _send(
        self, request: web.Request, answer: _ContainerAnswer, status: int
    ) -> web.Response:
        headers = dict(_CORS) if answer.by_data_client else {}
        if status in (301, 302):
            headers["Location"] = "https://www.example.com/"
        return await self.send(request, answer, status=status, headers=headers)


def _container(request: web.Request) -> Container:
    name = request.match_info["container"]
    return CONTAINERS.get(name, CONTAINERS["unpublished"])


def _misbehave(step: ScriptStep, *, by_data_client: bool = False) -> _ContainerAnswer:
    found = misbehaviour(step, b'{"timestamp": ')
    # A proxy in front of the container answers the rest.
    claimed = by_data_client and step.status == 400
    return _ContainerAnswer(step, found.body, found.reason, by_data_client=claimed)


def _as_seen(event: object, events: Sequence[Any], request: web.Request) -> Any:
    """The event as the container's tags see it: with what the Data Client fills in."""
    if not isinstance(event, dict):
        return {"event_name": "Data"}
    ids = [one["client_id"] for one in events if isinstance(one, dict) and one.get("client_id")]
    filled = {
        "event_name": "Data",
        "ip_override": request.remote,
        "user_agent": request.headers.get("User-Agent"),
        "timestamp": int(time.time()),
    }
    seen = {**filled, **{name: value for name, value in event.items() if value}}
    return {**event, **seen, "client_id": ids[0] if ids else "dcid.1.0.0"}


def _body(container: Container, models: Any) -> bytes:
    if container.body == "empty":
        return b""
    if container.body == "event_data":
        return orjson.dumps(models)
    told = [
        {"timestamp": model.get("timestamp"), "unique_event_id": "1_1"}
        for model in (models if isinstance(models, list) else [models])
    ]
    return orjson.dumps(told if isinstance(models, list) else told[0])


def _measured(payload: dict[str, Any]) -> list[Any]:
    """The events of a request, each with what the request says of the visitor."""
    events = payload.get("events")
    visitor = {name: value for name, value in payload.items() if name != "events"}
    return [
        {**visitor, **event, "event_name": event.get("name")}
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict)
    ]


def _event_id(event: object) -> str:
    """The id under which scripts and memory know an event; empty for one without a usable id."""
    if not isinstance(event, dict):
        return ""
    parameters = event.get("params")
    place = parameters if isinstance(parameters, dict) else event
    event_id = place.get("event_id")
    return event_id if isinstance(event_id, str) else ""
