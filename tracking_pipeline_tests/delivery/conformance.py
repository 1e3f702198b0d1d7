"""What a destination brings to be tested like every other, and how each fault is provoked.

    the worker  -->  Front (misbehaves as told)  -->  the sandbox (judges what it is sent)

The front is a bare socket, so it can do to a request what no well-behaved server does, and it keeps
every byte that came in. A new destination is one more :class:`Contestant`.

The ledger is no HTTP service: it stands in the run's own database. What can go wrong there is
provoked by what its owner might do to the table.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Protocol
from uuid import UUID

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.ledger import Ledger, ledger_event_id
from tracking_pipeline.delivery.destinations.linkedin.capi import LinkedInCapi, linkedin_request
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.destinations.microsoft.uet import MicrosoftUet, microsoft_request
from tracking_pipeline.delivery.destinations.openai.ads import OpenAiAds, openai_request
from tracking_pipeline.delivery.destinations.pinterest.capi import (
    PinterestCapi,
    pinterest_request,
)
from tracking_pipeline.delivery.destinations.reddit.capi import RedditCapi, reddit_request
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.destinations.snapchat.capi import SnapchatCapi, snapchat_request
from tracking_pipeline.delivery.destinations.tiktok.events_api import TikTokEvents, tiktok_request
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import (
    MakeDestinations,
    RetryRequest,
    retry_failed_events,
)
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue

HOST = "127.0.0.1"
# Closing the socket then sends RST, which the other side sees as "connection reset by peer".
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

TOKEN = "canaryTOKENcanary0123456789"
SECRET = "canarySECRETcanary9876543210"
EMAIL = "canary.person@example.com"
PHONE = "+1 (415) 555-0132"
NAME = "Canarisha"
# What must stand nowhere but in a request.
CANARIES = (EMAIL, "canary.person", PHONE, "4155550132", NAME, TOKEN, SECRET)

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Visitor/1.0"
ADDRESS = "8.8.8.8"
# An event that every destination takes.
GOOD: dict[str, Any] = {
    "event_name": "Lead",
    "email": EMAIL,
    "phone": PHONE,
    "first_name": NAME,
    "client_id": "111.222",
    "client_user_agent": AGENT,
    "client_ip_address": ADDRESS,
    "event_source_url": "https://shop.example/thanks",
    "value": 19.9,
    "currency": "USD",
}


# --- a socket that misbehaves ---------------------------------------------------------------------


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    head: str
    body: bytes

    @property
    def path(self) -> str:
        return self.head.split(" ")[1]

    @property
    def header_names(self) -> set[str]:
        return {line.partition(":")[0].lower() for line in self.head.splitlines()[1:]}


@dataclass(frozen=True)
class Exchange:
    """One request at the front: what came in, the way back, and the sandbox behind it."""

    request: bytes
    writer: asyncio.StreamWriter
    upstream_port: int

    async def pass_on(self) -> bytes:
        """Lets the sandbox take the request, and gives its answer."""
        reader, writer = await asyncio.open_connection(HOST, self.upstream_port)
        try:
            # One request a connection: the sandbox's answer ends with it.
            request = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", self.request, count=1)
            writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            return await reader.read()
        finally:
            writer.close()

    async def answer(self, raw: bytes) -> None:
        """Sends these bytes."""
        self.writer.write(raw)
        await self.writer.drain()


NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Fault = Callable[[Exchange], Awaitable[None]]


async def no_fault(exchange: Exchange) -> None:
    """The sandbox answers."""
    await exchange.answer(await exchange.pass_on())


def answers(status: int, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Fault:
    """This answer instead of the sandbox's, which is not asked."""

    async def fault(exchange: Exchange) -> None:
        await exchange.answer(_response(status, body, headers))

    return fault


def takes_and_answers(body: bytes, content_type: str = "application/json") -> Fault:
    """The sandbox has the events, and success is told in these words."""

    async def fault(exchange: Exchange) -> None:
        await exchange.pass_on()
        await exchange.answer(_response(200, body, {"content-type": content_type}))

    return fault


async def speaks_no_http(exchange: Exchange) -> None:
    """A server of another kind listens there."""
    await exchange.answer(b"220 mail.example ESMTP ready\r\n")


async def hangs_up(exchange: Exchange) -> None:
    """The connection is closed without a word."""


async def hangs(exchange: Exchange) -> None:
    """No answer comes."""
    await asyncio.Event().wait()


async def takes_and_hangs(exchange: Exchange) -> None:
    """The sandbox has the events; of its answer all but the last byte comes."""
    await exchange.answer((await exchange.pass_on())[:-1])
    await asyncio.Event().wait()


async def resets(exchange: Exchange) -> None:
    """The connection is reset, and nobody has the events."""
    connection = exchange.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    exchange.writer.transport.abort()


async def takes_and_resets(exchange: Exchange) -> None:
    """The sandbox has the events; then the connection is reset."""
    await exchange.pass_on()
    await resets(exchange)


async def breaks_off(exchange: Exchange) -> None:
    """The sandbox has the events; its answer ends early."""
    await exchange.pass_on()
    await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")


async def never_ends(exchange: Exchange) -> None:
    """The answer goes on for as long as somebody reads it."""
    await exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        await exchange.answer(b" " * 65_536)


async def inflates(exchange: Exchange) -> None:
    """A small answer that is 100 MB once it is unpacked."""
    await exchange.answer(_response(200, _packed(), {"content-encoding": "gzip"}))


@functools.cache
def _packed() -> bytes:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    return b"".join([packer.compress(bytes(1_000_000)) for _ in range(100)]) + packer.flush()


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Front:
    """A server in front of the sandbox, in a thread of its own. A context manager."""

    def __init__(self, upstream_port: int) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._upstream_port = upstream_port
        self._fault: Fault = no_fault
        self._port: Future[int] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="front")

    def __enter__(self) -> Front:
        self._thread.start()
        self._port.result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        # By name: for a bare address a client keeps no cookies, and hides that it would.
        return f"http://localhost:{self._port.result(0)}"

    def meets(self, fault: Fault) -> None:
        """From now on every request meets this."""
        self._fault = fault

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._connected, HOST, 0)
        self._port.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            self.received.append(Received(head.decode("latin-1"), body))
            await self._fault(Exchange(head + body, writer, self._upstream_port))
        writer.close()


# --- the destinations -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the other side knows of an event. ``None`` where it is not told."""

    event_id: str
    at_seconds: int
    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True)
class Contestant:
    """A destination behind HTTP. ``make`` gets the address of the front.

    ``shut_out`` is how the platform says that we may not send at all. ``success`` is which
    words of success it has to be told in: ``any`` where whatever comes with 2xx is an acceptance.
    ``says_duplicate`` is how the platform tells that it has an event already, None where it keeps
    that to itself. ``knows_visitors`` is False where it is not told their address and agent.
    """

    id: str
    name: DestinationName
    make: Callable[[str, DeliveryClient, AsyncPool], Destination]
    seen: Callable[[Any], Seen]
    shut_out: RawStep = 401
    success: Literal["its own words", "JSON or silence", "any"] = "its own words"
    says_duplicate: RawStep | None = None
    knows_visitors: bool = True


def _meta(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    return MetaCapi(MetaAccount("1234567890", TOKEN, SECRET, url=f"{url}/meta"), client)


def _google(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    account = GoogleAccount("123-456-7890", "987654321", url=f"{url}/google")
    return GoogleEc(account, AccessToken(TOKEN), client, pool)


def _gtm(**settings: Any) -> Callable[[str, DeliveryClient, AsyncPool], Destination]:
    def make(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
        del pool
        container = "multiple" if settings.get("accept_multiple_events") else "main"
        return GtmServer(GtmContainer(f"{url}/gtm/{container}", **settings), client)

    return make


def _tiktok(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = tiktok_request(f"{url}/tiktok", "PIXEL", TOKEN)
    return TikTokEvents(request, client, ReadingRules(), secrets=(TOKEN,))


def _pinterest(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = pinterest_request(f"{url}/pinterest", "549000000000", TOKEN)
    return PinterestCapi(request, client, ReadingRules(), secrets=(TOKEN,))


def _snapchat(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = snapchat_request(f"{url}/snapchat", "pixel-1", TOKEN)
    return SnapchatCapi(request, client, ReadingRules(), secrets=(TOKEN,))


def _reddit(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = reddit_request(f"{url}/reddit", "a2_test", TOKEN)
    # What it does by default with an event in doubt is tested beside it.
    return RedditCapi(request, client, ReadingRules(), secrets=(TOKEN,), resends=True)


def _openai(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = openai_request(f"{url}/openai", "pixel-1", TOKEN)
    return OpenAiAds(request, client, ReadingRules(), secrets=(TOKEN,))


def _seen_by_openai(event: Any) -> Seen:
    user = event["user"]
    at_seconds = event["timestamp_ms"] // 1000
    return Seen(event["id"], at_seconds, user.get("ip_address"), user.get("user_agent"))


def _linkedin(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = linkedin_request(f"{url}/linkedin", TOKEN, "202608")
    rules = {"*": "104012"}
    return LinkedInCapi(request, client, ReadingRules(), conversion_rules=rules, secrets=(TOKEN,))


def _seen_by_linkedin(event: Any) -> Seen:
    return Seen(event["eventId"], event["conversionHappenedAt"] // 1000, None, None)


def _microsoft(url: str, client: DeliveryClient, pool: AsyncPool) -> Destination:
    del pool
    request = microsoft_request(f"{url}/microsoft", "12345", TOKEN)
    return MicrosoftUet(request, client, ReadingRules(), secrets=(TOKEN,))


def _seen_by_microsoft(event: Any) -> Seen:
    user = event["userData"]
    address, agent = user.get("clientIpAddress"), user.get("clientUserAgent")
    return Seen(event["eventId"], event["eventTime"], address, agent)


def _seen_by_tiktok(event: Any) -> Seen:
    user = event["user"]
    return Seen(event["event_id"], event["event_time"], user.get("ip"), user.get("user_agent"))


def _seen_by_reddit(event: Any) -> Seen:
    user = event["user"]
    event_id = event["metadata"]["conversion_id"]
    at_seconds = event["event_at"] // 1000
    return Seen(event_id, at_seconds, user.get("ip_address"), user.get("user_agent"))


def _seen_by_meta(event: Any) -> Seen:
    user = event["user_data"]
    address, agent = user.get("client_ip_address"), user.get("client_user_agent")
    return Seen(event["event_id"], event["event_time"], address, agent)


def _seen_by_google(event: Any) -> Seen:
    at = datetime.fromisoformat(event["eventTimestamp"].replace("Z", "+00:00"))
    return Seen(event["transactionId"], int(at.timestamp()), None, None)


def _seen_by_data_client(event: Any) -> Seen:
    return Seen(event["event_id"], event["timestamp"], event["ip_override"], event["user_agent"])


def _seen_by_measurement_protocol(event: Any) -> Seen:
    event_id, micros = event["params"]["event_id"], event["timestamp_micros"]
    return Seen(event_id, micros // 1_000_000, event["ip_override"], event["user_agent"])


META = Contestant("meta_capi", "meta_capi", _meta, _seen_by_meta, {"status": 400, "code": 190})
GOOGLE = Contestant(
    "google_ec",
    "google_ec",
    _google,
    _seen_by_google,
    says_duplicate={"status": 400, "message": "DUPLICATE_TRANSACTION_ID"},
    knows_visitors=False,
)
DATA_CLIENT = Contestant(
    "gtm_data_client",
    "gtm_server",
    _gtm(preview_token=TOKEN),
    _seen_by_data_client,
    shut_out=404,
    success="JSON or silence",
)
DATA_CLIENT_LIST = replace(
    DATA_CLIENT, id="gtm_data_client_list", make=_gtm(accept_multiple_events=True), shut_out=403
)
MEASUREMENT_PROTOCOL = Contestant(
    "gtm_measurement_protocol",
    "gtm_server",
    _gtm(protocol="measurement_protocol", measurement_id="G-TEST", api_secret=SECRET),
    _seen_by_measurement_protocol,
    shut_out=400,
    success="any",
)
REDDIT = Contestant(
    "reddit_capi",
    "reddit_capi",
    _reddit,
    _seen_by_reddit,
)
LINKEDIN = Contestant(
    "linkedin_capi", "linkedin_capi", _linkedin, _seen_by_linkedin, knows_visitors=False
)
MICROSOFT = Contestant("microsoft_uet", "microsoft_uet", _microsoft, _seen_by_microsoft)
TIKTOK = Contestant("tiktok_events", "tiktok_events", _tiktok, _seen_by_tiktok)
PINTEREST = Contestant("pinterest_capi", "pinterest_capi", _pinterest, _seen_by_meta)
SNAPCHAT = Contestant("snapchat_capi", "snapchat_capi", _snapchat, _seen_by_meta)
OPENAI = Contestant("openai_ads", "openai_ads", _openai, _seen_by_openai)
CONTESTANTS = (
    *(META, GOOGLE, DATA_CLIENT, DATA_CLIENT_LIST, MEASUREMENT_PROTOCOL),
    *(TIKTOK, LINKEDIN, PINTEREST, SNAPCHAT, MICROSOFT, REDDIT, OPENAI),
)


# --- a destination on its database ----------------------------------------------------------------


class Stand(Protocol):
    """One destination with a queue of its own, ready for runs, and what may befall it."""

    @property
    def name(self) -> DestinationName:
        """The destination's name in the queue."""

    @property
    def knows_visitors(self) -> bool:
        """Whether the other side is told the visitor's address and agent."""

    def run(self, **request: Any) -> RetryTotals:
        """One run to its end; ``request`` are the fields of :class:`RetryRequest`."""

    def times_taken(self, event_id: str) -> int:
        """How often the other side took the event."""

    def seen(self, event_id: str) -> Seen:
        """The event as the other side has it."""

    def refuse(self, row: Added) -> None:
        """This event can never be accepted."""

    def fail(self) -> None:
        """From now on the other side cannot do its work."""

    def shut_out(self) -> None:
        """From now on we may not send at all, until somebody mends it."""

    def mend(self) -> None:
        """All is well again."""


@dataclass
class HttpStand:
    """A :class:`Contestant` with a sandbox and a front of its own.

    Requests go one at a time, so that a test can count them; ``request_events`` and ``in_flight``
    may be set to spread a small queue over several.
    """

    contestant: Contestant
    database_url: str
    sandbox: Sandbox
    front: Front
    request_events: int | None = None
    in_flight: int = 1

    @property
    def name(self) -> DestinationName:
        return self.contestant.name

    @property
    def knows_visitors(self) -> bool:
        return self.contestant.knows_visitors

    def run(self, **request: Any) -> RetryTotals:
        def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination]:
            made = self.contestant.make(self.front.url, client, pool)
            request_events = self.request_events or made.limits.request_events
            made.limits = replace(
                made.limits, in_flight=self.in_flight, request_events=request_events
            )
            return [made]

        return run_once(self.database_url, make, request)

    def times_taken(self, event_id: str) -> int:
        return self.sandbox.memory.accepted(event_id)

    def seen(self, event_id: str) -> Seen:
        (event,) = self.sandbox.memory.events(event_id)
        return self.contestant.seen(event)

    def refuse(self, row: Added) -> None:
        self.sandbox.scripts.set(row.sent_as, ["bad"])

    def fail(self) -> None:
        self.sandbox.conditions[self.name].outage(503)

    def shut_out(self) -> None:
        self.sandbox.conditions[self.name].outage(self.contestant.shut_out)

    def mend(self) -> None:
        self.sandbox.conditions[self.name].outage(None)
        self.front.meets(no_fault)


@dataclass
class LedgerStand:
    """The ledger, and what its owner might do to the table."""

    database_url: str
    queue: Queue
    name: DestinationName = "supabase"
    knows_visitors: bool = True
    _mending: list[str] = field(default_factory=list)

    def run(self, **request: Any) -> RetryTotals:
        return run_once(self.database_url, lambda client, pool: [Ledger(pool)], request)

    def times_taken(self, event_id: str) -> int:
        return len(self._rows(event_id))

    def seen(self, event_id: str) -> Seen:
        (row,) = self._rows(event_id)
        known = row["metadata"] or {}
        user = row["user_data"]
        return Seen(
            known.get("event_id", str(row["event_id"])),
            int(row["event_time"].timestamp()),
            user.get("client_ip_address"),
            user.get("client_user_agent"),
        )

    def refuse(self, row: Added) -> None:
        self._do(
            "alter table wm_event_log add constraint site_rule"
            f" check (event_id <> '{row.event_id}')",
            mend="alter table wm_event_log drop constraint site_rule",
        )

    def fail(self) -> None:
        self._do(
            "create function no_window() returns trigger language plpgsql as"
            " $$begin raise 'the disk is full' using errcode = '53100'; end$$;"
            "create trigger no_window before insert on wm_event_log"
            " for each row execute function no_window()",
            mend="drop trigger no_window on wm_event_log; drop function no_window()",
        )

    def shut_out(self) -> None:
        self._do(
            "alter table wm_event_log rename to moved_away",
            mend="alter table moved_away rename to wm_event_log",
        )

    def mend(self) -> None:
        for statement in self._mending:
            self.queue.connection.execute(statement.encode())
        self._mending.clear()

    def _do(self, statement: str, *, mend: str) -> None:
        self.queue.connection.execute(statement.encode())
        self._mending.append(mend)

    def _rows(self, event_id: str) -> list[dict[str, Any]]:
        known_as: UUID = ledger_event_id(event_id)
        return self.queue.read("select * from wm_event_log where event_id = %s", known_as)


def run_once(
    database_url: str,
    make: MakeDestinations,
    request: dict[str, Any],
) -> RetryTotals:
    """One run over the destinations that ``make`` gives."""
    return asyncio.run(retry_failed_events(database_url, make, RetryRequest(**request)))
