"""Enrichment runs of a test: the real service on a real database, with the test's providers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracking_pipeline.geo.enrich import EnrichRequest, EnrichTotals, enrich_leads
from tracking_pipeline.geo.ip_api import IpApi
from tracking_pipeline.geo.ipinfo import IpInfo
from tracking_pipeline.geo.mmdb import MmdbProvider
from tracking_pipeline.geo.online import SecondsLeft
from tracking_pipeline.geo.provider import GeoProviders, Provider
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline_tests.geo.asking import TODAY

MakeProvider = Callable[[DeliveryClient, AsyncPool, SecondsLeft], Provider]


def a_file(path: Path) -> MakeProvider:
    """A provider that looks into a local file."""
    return lambda client, pool, seconds_left: MmdbProvider(path)


def ip_api(sandbox: Sandbox) -> MakeProvider:
    """The sandbox's ip-api."""
    return lambda client, pool, seconds_left: IpApi(
        client, pool, url=sandbox.ip_api_url, today=TODAY, seconds_left=seconds_left
    )


def ipinfo(sandbox: Sandbox) -> MakeProvider:
    """The sandbox's ipinfo."""
    return lambda client, pool, seconds_left: IpInfo(
        client,
        pool,
        url=sandbox.ipinfo_url,
        token="token-for-tests",
        today=TODAY,
        seconds_left=seconds_left,
    )


class Enriching:
    """Runs over one database, with ``providers`` in the order in which they are asked."""

    def __init__(self, database_url: str, *providers: MakeProvider) -> None:
        self._database_url = database_url
        self.providers: Sequence[MakeProvider] = providers

    def run(self, **request: Any) -> EnrichTotals:
        """One run to its end; ``request`` are the fields of :class:`EnrichRequest`."""
        return asyncio.run(self.enrich(**request))

    def run_together(self, workers: int, **request: Any) -> list[EnrichTotals]:
        """So many runs at once, each with connections of its own."""

        async def together() -> list[EnrichTotals]:
            return await asyncio.gather(*(self.enrich(**request) for _ in range(workers)))

        return asyncio.run(together())

    @contextmanager
    def under_way(self, **request: Any) -> Iterator[Future[EnrichTotals]]:
        """One run in a thread with an event loop of its own; waits for its end."""
        with ThreadPoolExecutor(1) as executor:
            yield executor.submit(self.run, **request)

    async def enrich(self, **request: Any) -> EnrichTotals:
        """The same inside an event loop of the test's own."""
        return await enrich_leads(self._database_url, self._make, EnrichRequest(**request))

    def _make(
        self, client: DeliveryClient, pool: AsyncPool, *, seconds_left: SecondsLeft
    ) -> GeoProviders:
        made = tuple(make(client, pool, seconds_left) for make in self.providers)
        return GeoProviders(made, {})
