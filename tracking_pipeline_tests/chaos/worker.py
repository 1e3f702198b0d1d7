"""What a worker process of the chaos suite does: what it is told, one line after the other.

Each line of standard input is an order, a JSON object whose ``do`` is ``retry``, ``check``,
``notify``, ``replay`` or ``enrich``; each is answered by one line. With ``freeze`` it stops for
ever at that point of its first request and says so: ``claimed`` (before the request) or
``answered`` (after the answer, before its settle).
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, Limits, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.replay.service import replay_dead_letters
from tracking_pipeline.delivery.replay.totals import ReplayRequest
from tracking_pipeline.geo.enrich import EnrichRequest, enrich_leads
from tracking_pipeline.geo.mmdb import MmdbProvider
from tracking_pipeline.geo.online import SecondsLeft
from tracking_pipeline.geo.provider import GeoProviders
from tracking_pipeline.health.notifications.channels import read_channels
from tracking_pipeline.health.notifications.notify import deliver_notifications
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.store.database import AsyncPool, Database
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import policy

# Planted, so that the checker finds any of them wherever it should not be.
CANARY = "canary"
TOKEN = f"EAA{CANARY}Token0123456789"
APP_SECRET = f"{CANARY}Secret0123456789"
# Whoever forgets a worker is not left with it.
LONGEST_ORDER_SECONDS = 150


@dataclass(frozen=True)
class Settings:
    """Where a worker works and how. ``limits`` are (events a request, requests in flight, requests
    a second) by destination; a destination without an address is not served."""

    database_url: str
    addresses: dict[str, str]
    limits: dict[str, tuple[int, int, float | None]] = field(default_factory=dict)
    freeze: str = "never"
    frozen_destination: str = "meta_capi"
    channels: str = ""
    geo_file: str = ""


class Freezing:
    """A destination in a process that stops at one point of its first request."""

    def __init__(self, real: Destination, freeze: str) -> None:
        self._real = real
        self._freeze = freeze
        self.name = real.name
        self.limits = real.limits

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        self._perhaps_stop("claimed")
        reply = await self._real.send(batch, now)
        self._perhaps_stop("answered")
        return reply

    def _perhaps_stop(self, point: str) -> None:
        if point == self._freeze:
            _say(point)
            signal.pause()


@dataclass(frozen=True)
class Duties:
    """What one worker process can do."""

    settings: Settings

    def retry(self, **request: Any) -> dict[str, Any]:
        names = tuple(request.pop("destinations", ()))
        wanted = RetryRequest(destinations=names, **request)
        url = self.settings.database_url
        return asyncio.run(retry_failed_events(url, self._destinations, wanted)).as_json()

    def replay(self, **request: Any) -> dict[str, Any]:
        url, wanted = self.settings.database_url, ReplayRequest(**request)
        return asyncio.run(replay_dead_letters(url, self._destinations, wanted)).as_json()

    def check(self) -> dict[str, Any]:
        found = check_tracking_health(
            self.settings.database_url, policy(alert_channels=self.settings.channels)
        )
        return {
            "created": found.recorded.alerts_created,
            "resolved": found.recorded.alerts_resolved,
        }

    def notify(self) -> dict[str, Any]:
        channels = read_channels(SecretStr(self.settings.channels))
        database = Database(self.settings.database_url, "the chaos database")
        return deliver_notifications(database, channels).as_json()

    def enrich(self) -> dict[str, Any]:
        def make(client: DeliveryClient, pool: AsyncPool, *, seconds_left: SecondsLeft) -> Any:
            return GeoProviders((MmdbProvider(Path(self.settings.geo_file)),), {})

        return asdict(asyncio.run(enrich_leads(self.settings.database_url, make, EnrichRequest())))

    def _destinations(self, client: DeliveryClient, pool: AsyncPool) -> list[Destination]:
        made = [
            self._destination(name, address, client, pool)
            for name, address in self.settings.addresses.items()
        ]
        for each in made:
            if each.name in self.settings.limits:
                events, in_flight, pace = self.settings.limits[each.name]
                each.limits = Limits(events, each.limits.request_bytes, in_flight, pace)
            else:
                each.limits = replace(each.limits, requests_per_second=None)
        return [
            Freezing(each, self.settings.freeze)
            if each.name == self.settings.frozen_destination
            else each
            for each in made
        ]

    def _destination(
        self, name: str, address: str, client: DeliveryClient, pool: AsyncPool
    ) -> Destination:
        if name == "meta_capi":
            return MetaCapi(MetaAccount("1234567890", TOKEN, APP_SECRET, url=address), client)
        if name == "google_ec":
            account = GoogleAccount("1234567890", "987654321", url=address)
            return GoogleEc(account, AccessToken(TOKEN), client, pool)
        if name == "gtm_server":
            return GtmServer(GtmContainer(address), client)
        return Ledger(pool)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer, default=str) + "\n")
    sys.stdout.flush()


def work(settings: Settings) -> None:
    """Orders, until there are no more."""
    logging.basicConfig(level=logging.INFO)
    worker = Duties(settings)
    for line in sys.stdin:
        order = json.loads(line)
        faulthandler.dump_traceback_later(LONGEST_ORDER_SECONDS, exit=True)
        try:
            _say(getattr(worker, order.pop("do"))(**order))
        except Exception as error:  # a run that fails says one line, as the command does
            _say({"error": f"{type(error).__name__}: {error}"})
        faulthandler.cancel_dump_traceback_later()
