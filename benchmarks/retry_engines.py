"""Other ways to get the same events out, which the retry engine is held against.

Each takes a queue or requests ready made and returns when all are done; the caller holds the clock.
A request that is not answered with success raises: a rate of failures would be worth nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import httpx
import psycopg
from typing_extensions import LiteralString

from benchmarks.retry_stand import Stand, make_destination
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import http_client
from tracking_pipeline.interruption import run_interruptibly
from tracking_pipeline.store.database import AsyncPool, connection_pool, read_clock
from tracking_pipeline.store.failed_events import (
    Selection,
    Settlement,
    claim_due_events,
    settle_attempts,
)

# One POST an event needs many in flight, or the latency alone decides.
IN_FLIGHT = 64

_SELECT_FIFTY: LiteralString = """
select id, event_payload from tracking_failed_events
where destination = %s and status in ('pending', 'retrying') and next_retry_at <= now()
order by next_retry_at limit 50
"""
_RESOLVE_ONE: LiteralString = """
update tracking_failed_events set status = 'resolved', resolved_at = now(), updated_at = now()
where id = %s
"""


@dataclass
class Posts:
    """Requests of one event each, as the retry engine sends them to a destination."""

    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    contents: list[bytes] = field(default_factory=list)

    def add(self, request: httpx.Request) -> None:
        self.url = str(request.url)
        names = ("content-type", "user-agent", "authorization")
        self.headers = {name: request.headers[name] for name in names if name in request.headers}
        self.contents.append(request.content)


def record_posts(stand: Stand, name: DestinationName, events: int) -> Posts:
    """What our engine sends when it sends each of so many events in a request of its own."""
    posts = Posts()

    async def record(request: httpx.Request) -> None:
        posts.add(request)

    def make(client: httpx.AsyncClient, pool: AsyncPool) -> list[Destination]:
        client.event_hooks = {"request": [record]}
        destination = make_destination(name, stand.addresses, client, pool)
        destination.limits = replace(destination.limits, request_events=1, in_flight=IN_FLIGHT)
        return [destination]

    with stand.database(**{name: events}) as url:
        run_interruptibly(retry_failed_events(url, make, RetryRequest()))
    if len(posts.contents) != events:
        raise RuntimeError(f"{events} events gave {len(posts.contents)} requests to {name}")
    return posts


def claim_and_settle(url: str, name: DestinationName, batch: int) -> None:
    """The base: the engine's own claim and settle, with nothing sent and no payload read."""

    async def run() -> None:
        async with connection_pool(url, size=1) as pool, pool.connection() as connection:
            selection = Selection(await read_clock(connection))
            while rows := await claim_due_events(connection, name, selection, batch):
                await settle_attempts(connection, delivered(rows), worker="base", run_id=None)

    run_interruptibly(run())


def delivered(rows: Sequence[Mapping[str, Any]]) -> list[Settlement]:
    """Settles claimed rows as if each had been delivered at its first attempt."""
    return [
        Settlement(
            id=row["id"],
            event_id=row["event_id"],
            lease_token=row["lease_token"],
            outcome="delivered",
            attempt=1,
            status="resolved",
        )
        for row in rows
    ]


def send_one_by_one(url: str, name: DestinationName, posts: Posts) -> None:
    """The sequential design: select 50, POST one, update one, until none is due."""

    async def run() -> None:
        contents: Iterator[bytes] = iter(posts.contents)
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
            http_client(max_connections=1) as client,
        ):
            while rows := await (await connection.execute(_SELECT_FIFTY, [name])).fetchall():
                for row in rows:
                    answer = await client.post(
                        posts.url, content=next(contents), headers=posts.headers
                    )
                    answer.raise_for_status()
                    await connection.execute(_RESOLVE_ONE, [row[0]])

    run_interruptibly(run())


def post_with_httpx(posts: Posts) -> None:
    """The ceiling: the engine's own HTTP client with no queue behind it."""

    async def run() -> None:
        async with http_client(max_connections=IN_FLIGHT) as client:

            async def post(content: bytes) -> None:
                answer = await client.post(posts.url, content=content, headers=posts.headers)
                answer.raise_for_status()

            await _in_flight(posts.contents, post)

    run_interruptibly(run())


def post_with_aiohttp(posts: Posts) -> None:
    """The same without httpx's interface."""

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def post(content: bytes) -> None:
                async with session.post(posts.url, data=content, headers=posts.headers) as answer:
                    await answer.read()
                    answer.raise_for_status()

            await _in_flight(posts.contents, post)

    run_interruptibly(run())


async def _in_flight(contents: list[bytes], post: Callable[[bytes], Awaitable[None]]) -> None:
    waiting = iter(contents)

    async def sender() -> None:
        for content in waiting:
            await post(content)

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
