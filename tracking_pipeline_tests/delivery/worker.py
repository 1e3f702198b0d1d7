"""A worker process for the crash tests: one retry run that ends where the test wants it to.

    python worker.py DATABASE_URL URL [FREEZE] [--destination NAME] [--poison ID]... [--ledger]
        [--request-events N] [--in-flight N] [--per-second N]

URL is the stand-in's of the destination, which is Meta's where none is named.
FREEZE is ``claimed`` (before the first request), ``answered`` (after an answer, before its
settle) or ``never``. The worker says where it froze on standard output. With the event of a row ID
it is killed instead: before it sends the event, or with ``answered`` when it has delivered it. With
a pace it says on standard output when it began each request, by the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.registry import spec_of
from tracking_pipeline.delivery.engine.destination import Destination, Limits, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

REQUEST_EVENTS = 10
IN_FLIGHT = 2
# A test that fails must not leave its worker behind.
LONGEST_LIFE_SECONDS = 60


class Freezing:
    """A destination in a process that stops at one point, or is killed by an event."""

    def __init__(self, real: Destination, freeze: str, poison: list[str], limits: Limits) -> None:
        self._real = real
        self._freeze = freeze
        self._poison = poison
        self.name = real.name
        self.limits = limits

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        if self.limits.requests_per_second:
            sys.stdout.write(f"{time.monotonic()}\n")
        self._perhaps_stop("claimed", batch)
        reply = await self._real.send(batch, now)
        self._perhaps_stop("answered", batch)
        return reply

    def _perhaps_stop(self, point: str, batch: Sequence[Prepared]) -> None:
        if self._poison:
            is_its_point = (point == "answered") == (self._freeze == "answered")
            if is_its_point and any(str(each.event.id) in self._poison for each in batch):
                os.kill(os.getpid(), signal.SIGKILL)
        elif point == self._freeze:
            sys.stdout.write(point + "\n")
            sys.stdout.flush()
            signal.pause()


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    parser.add_argument("url")
    parser.add_argument("freeze", nargs="?", default="never")
    parser.add_argument("--destination", default="meta_capi")
    parser.add_argument("--poison", action="append", default=[])
    parser.add_argument("--request-events", type=int, default=REQUEST_EVENTS)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--per-second", type=float)
    parser.add_argument("--ledger", action="store_true")
    asked = parser.parse_args()
    faulthandler.dump_traceback_later(LONGEST_LIFE_SECONDS, exit=True)

    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination]:
        spec = spec_of(asked.destination)
        settings = Settings.model_validate({**spec.rehearsal, spec.url_setting: asked.url})
        real = spec.implementation().configured(settings, client, pool)
        limits = replace(
            real.limits,
            request_events=asked.request_events,
            in_flight=asked.in_flight,
            requests_per_second=asked.per_second,
        )
        freezing = Freezing(real, asked.freeze, asked.poison, limits)
        return [freezing, Ledger(pool)] if asked.ledger else [freezing]

    asyncio.run(retry_failed_events(asked.database_url, make, RetryRequest()))


if __name__ == "__main__":
    main()
