"""The sandbox's server: in a thread of this process (`Sandbox`) or as a process (`serve`).

It listens on 127.0.0.1 only. Nothing it answers with is worth protecting, and nothing that it
receives may come from another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import pkgutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import orjson
from aiohttp import web

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.sandbox import google, gtm, ip_api, ipinfo, meta
from tracking_pipeline.sandbox.ip_api_rules import IpApiTraffic
from tracking_pipeline.sandbox.memory import Journal, Memory
from tracking_pipeline.sandbox.stage import Conditions, MetaToken, RandomFaults, Stage
from tracking_pipeline.sandbox.steps import Scripts, StepError

HOST = "127.0.0.1"


class StandIn(Protocol):
    """A module that stands in for one platform. ``ADDRESS`` is the path that the platform's URL is
    put to in a rehearsal."""

    ADDRESS: str

    def routes(self, stage: Stage) -> Sequence[web.RouteDef]: ...


def _stand_in(module: str) -> StandIn:
    found: StandIn = pkgutil.resolve_name(module)
    return found


_PLATFORMS = {spec.name: _stand_in(spec.stand_in) for spec in REGISTRY if spec.stand_in}
STAND_INS: dict[str, Callable[[Stage], Sequence[web.RouteDef]]] = {
    **{name: platform.routes for name, platform in _PLATFORMS.items()},
    ip_api.DESTINATION: ip_api.routes,
    ipinfo.DESTINATION: ipinfo.routes,
}

# 1,000 events of a few kilobytes each, with room to spare.
_MAX_BODY_BYTES = 64 * 1024 * 1024
_START_TIMEOUT_SECONDS = 30
_STOP_TIMEOUT_SECONDS = 10


class SandboxError(Exception):
    """The sandbox could not be started or stopped."""


def new_stage(
    *,
    journal: Path | None = None,
    random_faults: RandomFaults | None = None,
    latency_seconds: float = 0.0,
    app_secret: str | None = None,
    lenient: bool = False,
    clock: Callable[[], float] = time.time,
) -> Stage:
    """The state of a sandbox that has received nothing, or what its journal tells it received.

    `latency_seconds` passes before every answer; `app_secret` makes Meta's stand-in ask for a right
    `appsecret_proof`; `lenient` skips the check of each event and keeps only ids; `clock` is the
    time of day in Unix seconds. Raises `OSError` when the journal cannot be opened.
    """
    written = None if journal is None else Journal(journal)
    memory = Memory(written, keep_events=not lenient)
    scripts = Scripts(
        None
        if written is None
        else lambda remaining: written.write({"record": "scripts", "scripts": remaining})
    )
    for record in () if written is None else written.read():
        if record.get("record") == "request":
            memory.restore(record)
        elif record.get("record") == "scripts":
            scripts.restore(record["scripts"])
    return Stage(
        memory=memory,
        scripts=scripts,
        conditions={destination: Conditions(latency_seconds) for destination in STAND_INS},
        random_faults=random_faults,
        app_secret=app_secret,
        clock=clock,
        lenient=lenient,
    )


async def serve(
    stage: Stage, port: int, on_ready: Callable[[int], None], stop: asyncio.Event
) -> None:
    """Serves until `stop` is set. `on_ready` is told the port when the socket listens.

    Port 0 takes a free one. Raises `OSError` when the port is taken.
    """
    application = web.Application(client_max_size=_MAX_BODY_BYTES)
    for routes in (*STAND_INS.values(), control_routes):
        application.add_routes(routes(stage))
    # A handler that hangs is cancelled when its client is gone, or soon after the sandbox stops.
    runner = web.AppRunner(
        application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        on_ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


class Sandbox:
    """A sandbox in a background thread with an event loop of its own. A context manager.

    with Sandbox() as sandbox:
        sandbox.scripts.set(event_id, [500, 200])
        ...  # META_GRAPH_URL = sandbox.meta_url
        assert sandbox.memory.accepted(event_id) == 1
    """

    def __init__(
        self,
        *,
        port: int = 0,
        journal: Path | None = None,
        random_faults: RandomFaults | None = None,
        latency_seconds: float = 0.0,
        app_secret: str | None = None,
        lenient: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Port 0 takes a free one; the other parameters are those of `new_stage`."""
        self._stage = new_stage(
            journal=journal,
            random_faults=random_faults,
            latency_seconds=latency_seconds,
            app_secret=app_secret,
            lenient=lenient,
            clock=clock,
        )
        self._wanted_port = port
        self._port: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def start(self) -> Sandbox:
        """Starts the server and proves that it answers. Raises `SandboxError` when it does not."""
        self._thread.start()
        try:
            self._port.result(_START_TIMEOUT_SECONDS)
            _prove_answers(self.port)
        except (OSError, FutureTimeoutError, http.client.HTTPException) as error:
            self.stop()
            raise SandboxError(f"the sandbox does not answer on {HOST}: {error}") from error
        return self

    def stop(self) -> None:
        """Stops the server, whatever still hangs. May be called twice.

        Raises `SandboxError` when it goes on all the same.
        """
        if self._loop is not None and self._stop is not None:
            # A server that failed to start, or was stopped before, has closed its loop.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join(_STOP_TIMEOUT_SECONDS)
        if self._thread.is_alive():
            raise SandboxError(f"the sandbox on port {self.port} does not stop")
        self._stage.memory.close()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port.result(0)

    @property
    def url(self) -> str:
        """The base URL of the server, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    def address_of(self, destination: str) -> str:
        """What the setting of a destination's URL is put to."""
        return self.url + _PLATFORMS[destination].ADDRESS

    @property
    def meta_url(self) -> str:
        """What `META_GRAPH_URL` is set to; `/{version}/{dataset_id}/events` follows it."""
        return self.address_of(meta.DESTINATION)

    @property
    def google_url(self) -> str:
        """What `GOOGLE_DATA_MANAGER_URL` is set to; `/v1/events:ingest` follows it."""
        return self.address_of(google.DESTINATION)

    @property
    def gtm_url(self) -> str:
        """What `GTM_SERVER_URL` is set to; `/data` or `/mp/collect` follows it.

        Containers that are configured otherwise stand beside this one: `gtm.CONTAINERS`.
        """
        return self.address_of(gtm.DESTINATION)

    @property
    def ip_api_url(self) -> str:
        """What `IP_API_URL` is set to; `/batch` or `/json/{query}` follows it."""
        return self.url + ip_api.PREFIX

    @property
    def ip_api_paid_url(self) -> str:
        """What `IP_API_URL` is set to where `IP_API_KEY` is set too."""
        return self.url + ip_api.PAID_PREFIX

    @property
    def ipinfo_url(self) -> str:
        """What `IPINFO_URL` is set to; `/batch` follows it."""
        return self.url + ipinfo.PREFIX

    @property
    def meta_token(self) -> MetaToken:
        """What Meta's stand-in says of a token and of its own version."""
        return self._stage.meta_token

    @property
    def pixel_events(self) -> list[dict[str, Any]]:
        """What the browser's pixel has sent to Meta's stand-in, for whoever adds to it."""
        return self._stage.pixel_events

    @property
    def ip_api(self) -> IpApiTraffic:
        """The limits of ip-api's stand-in, and what it was asked."""
        return self._stage.ip_api

    @property
    def memory(self) -> Memory:
        """Everything that was received."""
        return self._stage.memory

    @property
    def scripts(self) -> Scripts:
        """Which event meets which misbehaviour."""
        return self._stage.scripts

    @property
    def conditions(self) -> dict[str, Conditions]:
        """Faults of whole destinations, by the name of the destination."""
        return self._stage.conditions

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._port.done():
                raise
            self._port.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await serve(self._stage, self._wanted_port, self._port.set_result, self._stop)


def _prove_answers(port: int) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=_START_TIMEOUT_SECONDS)
    try:
        connection.request("GET", PREFIX + "/summary")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise http.client.HTTPException(f"status {status}")


# How another process asks the sandbox for its counts and sets its faults, over `/_sandbox/`.
#
# `GET  /_sandbox/summary`     the counts of `Memory.summary`
# `POST /_sandbox/scripts`     `{event_id: [step, ...], ...}`
# `POST /_sandbox/conditions`  `{"destination": "meta_capi", "outage": step or null,
#                              "latency_seconds": 0.05, "throttle": {"requests": 3,
#                              "retry_after": "30"}}`; what is left out stays as it is
#
# A wrong request is answered with 400 and one line that says what is wrong.

PREFIX = "/_sandbox"


def control_routes(stage: Stage) -> list[web.RouteDef]:
    """The control_routes of the control side, under `PREFIX`."""

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
