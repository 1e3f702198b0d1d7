"""What all stand-ins of one sandbox share, and how a misbehaviour is acted out on a socket."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from aiohttp import web

from tracking_pipeline.sandbox.faults import Conditions, RandomFaults
from tracking_pipeline.sandbox.ip_api_rules import IpApiTraffic
from tracking_pipeline.sandbox.memory import Memory
from tracking_pipeline.sandbox.scripts import Scripts
from tracking_pipeline.sandbox.steps import Reach, Step, parse_step

# Linger 0: closing the socket sends RST, which the client sees as "connection reset by peer".
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


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
    ip_api: IpApiTraffic = field(default_factory=IpApiTraffic)

    def fault(self, event_ids: Sequence[str]) -> Step | None:
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


def retry_after_seconds(value: str, clock_seconds: float) -> float | None:
    """How long a `Retry-After` header asks to wait (RFC 9110, 10.2.3); `None` if it is garbage."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - clock_seconds
    except (TypeError, ValueError):
        return None
