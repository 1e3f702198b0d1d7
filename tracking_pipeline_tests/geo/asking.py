"""Workers that ask an online source in a test: the real client, on real sockets and connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date

from tracking_pipeline.geo.provider import Answer, Provider
from tracking_pipeline.http_client import DeliveryClient, http_client
from tracking_pipeline.store.database import AsyncPool, connection_pool

TODAY = date(2026, 11, 24)
MakeProvider = Callable[[DeliveryClient, AsyncPool], Provider]
Answers = dict[str, Answer]


def time_enough() -> float:
    """The time that is left of a run which has just begun."""
    return 240.0


def addresses(count: int, first: int = 0) -> list[str]:
    """So many public addresses, no two alike."""
    return [f"8.8.{number // 256}.{number % 256}" for number in range(first, first + count)]


def locate(database_url: str, make: MakeProvider, *asked: Sequence[str]) -> list[Answers]:
    """What one worker gets to know: an answer for each list of addresses, one after the other."""
    return asyncio.run(_work(database_url, make, asked))


def locate_together(
    database_url: str, make: MakeProvider, *asked: Sequence[str]
) -> list[list[Answers]]:
    """The same for a worker for each list, all at once, each with connections of its own."""

    async def together() -> list[list[Answers]]:
        return await asyncio.gather(*(_work(database_url, make, [each]) for each in asked))

    return asyncio.run(together())


async def _work(
    database_url: str, make: MakeProvider, asked: Sequence[Sequence[str]]
) -> list[Answers]:
    async with (
        connection_pool(database_url, size=2) as pool,
        http_client(max_connections=4) as client,
    ):
        provider = make(client, pool)
        return [await provider.locate(each) for each in asked]
