"""How another process asks the sandbox for its counts and sets its faults, over `/_sandbox/`.

`GET  /_sandbox/summary`     the counts of `Memory.summary`
`POST /_sandbox/scripts`     `{event_id: [step, ...], ...}`
`POST /_sandbox/conditions`  `{"destination": "meta_capi", "outage": step or null,
                             "latency_seconds": 0.05, "throttle": {"requests": 3,
                             "retry_after": "30"}}`; what is left out stays as it is

A wrong request is answered with 400 and one line that says what is wrong.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from tracking_pipeline.sandbox.stage import Stage
from tracking_pipeline.sandbox.steps import StepError

PREFIX = "/_sandbox"


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the control side, under `PREFIX`."""

    async def summary(_: web.Request) -> web.Response:
        return _json(stage.memory.summary())

    async def scripts(request: web.Request) -> web.Response:
        wanted = await _object(request)
        if not all(isinstance(steps, list) for steps in wanted.values()):
            raise _bad_request("a script is a list of steps")
        try:
            stage.scripts.update(wanted)
        except StepError as error:
            raise _bad_request(str(error)) from error
        return _json({"scripts": len(wanted)})

    async def conditions(request: web.Request) -> web.Response:
        wanted = await _object(request)
        destination = wanted.pop("destination", None)
        if destination not in stage.conditions:
            raise _bad_request(f"destination must be one of {', '.join(stage.conditions)}")
        _set_conditions(stage, destination, wanted)
        return _json({"destination": destination})

    return [
        web.get(PREFIX + "/summary", summary),
        web.post(PREFIX + "/scripts", scripts),
        web.post(PREFIX + "/conditions", conditions),
    ]


def _set_conditions(stage: Stage, destination: str, wanted: dict[str, Any]) -> None:
    conditions = stage.conditions[destination]
    try:
        if "outage" in wanted:
            conditions.outage(wanted.pop("outage"))
        if "latency_seconds" in wanted:
            conditions.latency_seconds = float(wanted.pop("latency_seconds"))
        if "throttle" in wanted:
            conditions.throttle(**wanted.pop("throttle"))
    except (TypeError, ValueError) as error:
        raise _bad_request(str(error)) from error
    if wanted:
        raise _bad_request(f"no condition is called {', '.join(sorted(wanted))}")


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise _bad_request("the body is no JSON") from error
    if not isinstance(body, dict):
        raise _bad_request("the body must be an object")
    return body


def _bad_request(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=orjson.dumps({"error": message}).decode(), content_type="application/json"
    )


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")
