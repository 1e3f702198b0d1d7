"""What all stand-ins of one sandbox share: the misbehaviour that no script names, and how it is
acted out on a socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar

import orjson
from aiohttp import web

from tracking_pipeline.sandbox.ip_api_rules import IpApiTraffic
from tracking_pipeline.sandbox.memory import Memory, ReceivedRequest
from tracking_pipeline.sandbox.steps import (
    RawStep,
    Reach,
    Scripts,
    ScriptStep,
    StepError,
    parse_step,
)

_REJECTED = ScriptStep(kind="bad", status=400, code=100)


@dataclass(frozen=True)
class RandomFaults:
    """Faults by lot, the same ones for the same seed. Shares are between 0 and 1.

    `share_rejected` is the share of *events* that are refused for ever: drawn by (seed, event id).
    The other shares are shares of *requests*: a request draws once, with the ticket of its first
    event: (seed, event id, how often that event was seen). Drawn for every event, a share of 2 %
    would fail every request of 1,000 events, and nothing would ever get through.
    """

    seed: int
    share_transient: float = 0.0
    share_rejected: float = 0.0
    share_timeout: float = 0.0
    share_reset: float = 0.0
    share_late_reset: float = 0.0
    share_throttled: float = 0.0
    retry_after: str = "1"

    def draw(self, event_ids: Sequence[str], sights: Callable[[str], int]) -> ScriptStep | None:
        """What a request with these events meets; `sights` tells how often an event was seen."""
        if self.share_rejected and any(
            self._lot(event_id, "rejected") < self.share_rejected for event_id in event_ids
        ):
            return _REJECTED
        first = event_ids[0]
        lot = self._lot(first, sights(first))
        for share, step in self._shares():
            if lot < share:
                return step
            lot -= share
        return None

    def _shares(self) -> tuple[tuple[float, ScriptStep], ...]:
        return (
            (self.share_transient, ScriptStep(status=503, code=2)),
            (self.share_timeout, ScriptStep(kind="timeout")),
            (self.share_reset, ScriptStep(kind="reset")),
            (self.share_late_reset, ScriptStep(kind="late_reset")),
            (self.share_throttled, ScriptStep(status=429, code=4, retry_after=self.retry_after)),
        )

    def _lot(self, event_id: str, draw: object) -> float:
        ticket = f"{self.seed}\0{event_id}\0{draw}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(ticket, digest_size=8).digest(), "big") / 2**64


class Conditions:
    """Faults and figures of one whole destination, changed at run time. Thread safe."""

    def __init__(self, latency_seconds: float = 0.0) -> None:
        """`latency_seconds` passes before every answer."""
        self._lock = threading.Lock()
        self._outage: ScriptStep | None = None
        self._throttled: tuple[int, ScriptStep] | None = None
        self.latency_seconds = latency_seconds
        self.usage_percent = 1
        self.regain_minutes = 0

    def outage(self, step: RawStep | None) -> None:
        """Lets every request meet this step (503, `"timeout"`, `"reset"` ...) until `None` is set.

        Raises `StepError` for a step that does not exist or is no fault.
        """
        parsed = None if step is None else parse_step(step)
        if parsed is not None and parsed.is_good:
            raise StepError(f"{step!r} is no outage")
        with self._lock:
            self._outage = parsed

    def throttle(self, requests: int, retry_after: str | None = None) -> None:
        """Answers the next `requests` requests with 429, and with this `Retry-After` if given."""
        step = ScriptStep(status=429, code=4, retry_after=retry_after)
        with self._lock:
            self._throttled = (requests, step) if requests > 0 else None

    def take(self) -> ScriptStep | None:
        """What the next request meets, whatever it carries; counts a throttled one down."""
        with self._lock:
            if self._outage is not None:
                return self._outage
            if self._throttled is None:
                return None
            left, step = self._throttled
            self._throttled = (left - 1, step) if left > 1 else None
            return step


# Linger 0: closing the socket sends RST, which the client sees as "connection reset by peer".
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass
class MetaToken:
    """What Meta's stand-in says of any token, and which version of its API it answers by: that of
    the call, or the only one that is left. `expires_at` is in Unix seconds, 0 for never."""

    is_valid: bool = True
    expires_at: int = 0
    data_access_expires_at: int = 0
    scopes: tuple[str, ...] = ("ads_management", "business_management")
    tells: bool = True
    served_version: str | None = None
    warning: str | None = None


@dataclass
class Stage:
    """The state behind every stand-in of one sandbox.

    `clock` is the time of day in Unix seconds. `lenient` skips the check of each event and keeps no
    event, only ids.
    """

    memory: Memory
    scripts: Scripts
    conditions: dict[str, Conditions]
    random_faults: RandomFaults | None = None
    app_secret: str | None = None
    clock: Callable[[], float] = time.time
    lenient: bool = False
    meta_token: MetaToken = field(default_factory=MetaToken)
    # What the browser's pixel has sent to Meta: objects as the server's events are.
    pixel_events: list[dict[str, Any]] = field(default_factory=list)
    ip_api: IpApiTraffic = field(default_factory=IpApiTraffic)

    def fault(self, event_ids: Sequence[str]) -> ScriptStep | None:
        """What the events of one request meet: their scripts first, then the lot."""
        step = self.scripts.take(event_ids)
        if step is None and self.random_faults is not None and event_ids:
            step = self.random_faults.draw(event_ids, self.memory.requests_with)
        return step

    def culprits(self, event_ids: Sequence[str]) -> list[int]:
        """Where the events stand that their scripts or the lot refuse, of one request."""
        found = []
        for position, event_id in enumerate(event_ids):
            remaining = self.scripts.remaining(event_id)
            step = parse_step(remaining[0]) if remaining else None
            if step is None and self.random_faults is not None:
                step = self.random_faults.draw([event_id], self.memory.requests_with)
            if step is not None and step.reach is Reach.EVENT:
                found.append(position)
        return found


async def hang() -> None:
    """Gives no answer, until the client goes away or the sandbox stops: both cancel the handler."""
    await asyncio.Event().wait()


def reset(request: web.Request) -> web.Response:
    """Resets the connection. The response is for the framework; it is never sent."""
    transport = request.transport
    if transport is not None and not transport.is_closing():
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return web.Response(status=500)


def wait_asked_for(value: str, clock_seconds: float) -> float | None:
    """How long a `Retry-After` header asks to wait (RFC 9110, 10.2.3); `None` if it is garbage."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - clock_seconds
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class StandInAnswer:
    """What a request meets, the body it is told, and why it is no success."""

    step: ScriptStep
    body: bytes = b""
    reason: str | None = None


def misbehaviour(step: ScriptStep, broken_json: bytes, error: bytes = b"") -> StandInAnswer:
    """A fault as an answer: a page of HTML, a body that breaks off, or else the platform's own
    ``error``."""
    bodies = {"html": _HTML, "broken_json": broken_json}
    reason = f"misbehaved: {step.label if step.kind == 'answer' else step.kind}"
    return StandInAnswer(step, bodies.get(step.kind, error), reason)


def json_or_none(body: bytes | str) -> Any:
    """What a body says in JSON; None where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


@dataclass
class Service:
    """What every stand-in does with a request, whatever its platform's own rules are."""

    destination: ClassVar[str]
    stage: Stage

    @property
    def conditions(self) -> Conditions:
        return self.stage.conditions[self.destination]

    def remember(
        self,
        answer: StandInAnswer,
        event_ids: Iterable[str] = (),
        events: Sequence[object] = (),
        *,
        told: str | None = None,
        accepted: bool | None = None,
        reason: str | None = None,
        test_event_code: str | None = None,
    ) -> None:
        """Remembers a request before its answer leaves. ``told``, ``accepted`` and ``reason`` are
        the answer's own where they are None."""
        self.stage.memory.remember(
            ReceivedRequest(
                destination=self.destination,
                at=time.monotonic(),
                event_ids=tuple(event_ids),
                answer=told or answer.step.label,
                accepted=answer.step.accepts if accepted is None else accepted,
                reason=reason or answer.reason,
                test_event_code=test_event_code,
            ),
            events,
            clock_seconds=self.stage.clock(),
        )

    async def delay(self, step: ScriptStep) -> None:
        """Lets the time pass that an answer takes."""
        await asyncio.sleep(self.conditions.latency_seconds + step.delay_seconds)

    def wait_headers(self, step: ScriptStep) -> dict[str, str]:
        """``Retry-After``, where the step has one: whoever comes earlier breaks a promise."""
        if step.retry_after is None:
            return {}
        seconds = wait_asked_for(step.retry_after, self.stage.clock())
        if seconds is not None:
            self.stage.memory.told_to_wait(self.destination, seconds)
        return {"Retry-After": step.retry_after}

    async def send(
        self,
        request: web.Request,
        answer: StandInAnswer,
        *,
        status: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> web.Response:
        """Acts an answer out on the socket."""
        step = answer.step
        if step.kind == "timeout":
            await hang()
        if step.kind in ("reset", "late_reset"):
            return reset(request)
        headers = {**headers, **self.wait_headers(step)}
        if not answer.body:
            return web.Response(status=status or step.status, headers=headers)
        return web.Response(
            status=status or step.status,
            body=answer.body,
            content_type="text/html" if step.kind == "html" else "application/json",
            headers=headers,
        )
