"""A worker process for the crash tests: one retry run that freezes where the test wants to kill it.

    python worker.py DATABASE_URL META_URL FREEZE

FREEZE is ``claimed`` (before the first request), ``answered`` (after an answer, before its
settle) or ``never``. The worker says where it froze on standard output.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Sequence
from datetime import datetime

from tracking_pipeline.delivery.destination import Destination, Limits, Reply
from tracking_pipeline.delivery.events import FailedEvent, Prepared
from tracking_pipeline.delivery.meta.capi import MetaAccount, MetaCapi
from tracking_pipeline.delivery.outcomes import NotSent
from tracking_pipeline.delivery.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.store.database import AsyncPool

REQUEST_EVENTS = 10
IN_FLIGHT = 2
# A test that fails must not leave its worker behind.
LONGEST_LIFE_SECONDS = 60


class Freezing:
    """Meta's destination in a process that stops for ever at one point."""

    def __init__(self, real: MetaCapi, freeze: str) -> None:
        self._real = real
        self._freeze = freeze
        self.name = real.name
        self.limits = Limits(REQUEST_EVENTS, real.limits.request_bytes, IN_FLIGHT)

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        self._perhaps_freeze("claimed")
        reply = await self._real.send(batch, now)
        self._perhaps_freeze("answered")
        return reply

    def _perhaps_freeze(self, point: str) -> None:
        if point == self._freeze:
            sys.stdout.write(point + "\n")
            sys.stdout.flush()
            signal.pause()


def main() -> None:
    """One run."""
    database_url, meta_url, freeze = sys.argv[1:]
    faulthandler.dump_traceback_later(LONGEST_LIFE_SECONDS, exit=True)

    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination]:
        return [Freezing(MetaCapi(MetaAccount("1", "token", url=meta_url), client), freeze)]

    asyncio.run(retry_failed_events(database_url, make, RetryRequest()))


if __name__ == "__main__":
    main()
