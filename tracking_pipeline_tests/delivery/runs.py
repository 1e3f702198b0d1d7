"""Retry runs of a test: the real service on a real database, against the sandbox's socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, Limits, NotConfigured
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool

TOKEN = "EAAcanaryTOKENcanary0123456789"
SECRET = "canarysecret0123456789"

Made = Destination | NotConfigured
Wrap = Callable[[Destination], Destination]


def in_requests_of(events: int, in_flight: int = 1) -> Limits:
    """Limits that spread a small queue over several requests."""
    return Limits(request_events=events, request_bytes=4_000_000, in_flight=in_flight)


class Runs:
    """Runs over ``meta_capi`` at the sandbox and ``supabase``, the ledger in the same database;
    ``google_ec`` is not configured.

    ``limits`` replaces Meta's; ``wrap`` may put something around each destination; ``urls`` are
    those of all requests that were made.
    """

    def __init__(self, database_url: str, sandbox: Sandbox) -> None:
        self._database_url = database_url
        self.account = MetaAccount("1234567890", TOKEN, SECRET, url=sandbox.meta_url)
        self.limits: Limits | None = None
        self.wrap: Wrap = lambda destination: destination
        self.urls: list[str] = []

    def run(self, **request: Any) -> RetryTotals:
        """One run to its end; ``request`` are the fields of :class:`RetryRequest`."""
        return asyncio.run(self.retry(**request))

    async def retry(self, **request: Any) -> RetryTotals:
        """The same inside an event loop of the test's own."""
        return await retry_failed_events(
            self._database_url, self._make, RetryRequest(**request), run_id="run-of-a-test"
        )

    @contextmanager
    def under_way(self, **request: Any) -> Iterator[Future[RetryTotals]]:
        """One run in a thread with an event loop of its own; waits for its end."""
        with ThreadPoolExecutor(1) as executor:
            yield executor.submit(self.run, **request)

    def _make(self, client: DeliveryClient, pool: AsyncPool) -> Sequence[Made]:
        client.event_hooks["request"].append(self._note)
        meta = MetaCapi(self.account, client)
        if self.limits:
            meta.limits = self.limits
        not_configured = NotConfigured("google_ec", "GOOGLE_ADS_ACCOUNT_ID")
        return [self.wrap(meta), self.wrap(Ledger(pool)), not_configured]

    async def _note(self, request: httpx.Request) -> None:
        self.urls.append(str(request.url))
