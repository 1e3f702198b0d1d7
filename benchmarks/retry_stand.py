"""What the benchmark of the retry engine stands on: a database, a sandbox and a queue to drain.

The database is the embedded PostgreSQL with its normal, durable settings in a temporary folder. The
sandbox is a process of its own, as a platform is, and ends when this process does. Both listen on
loopback only.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.interruption import run_interruptibly
from tracking_pipeline.postgres.server import EmbeddedPostgres, hold
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.migrate import migrate

_TEMPLATE = "benchmark_template"
# Longer than any drain here: a run that its time budget ended would not be a drain.
_TIME_BUDGET_SECONDS = 900.0
_REMOVE_SECONDS = 10.0

# An event as a form's handler stores it: what identifies the person is as they typed it, and the
# row's own column has a copy of it.
_SEED: LiteralString = """
insert into tracking_failed_events (
    event_id, event_name, event_payload, user_data, destination, error_message, next_retry_at)
select gen_random_uuid(), 'Lead', jsonb_build_object(
        'event_name', 'Lead',
        'event_time', extract(epoch from now())::bigint - 3600,
        'event_id', 'ev-' || i,
        'action_source', 'website',
        'event_source_url', 'https://shop.example/quote?utm_source=google&step=' || i %% 7,
        'gclid', 'Cj0KCQ' || md5(i::text),
        'user_data', person,
        'custom_data', jsonb_build_object(
            'value', 10.5, 'currency', 'USD', 'order_id', 'Q-' || i)),
    person, %(destination)s, 'timeout', now() - interval '1 minute'
from generate_series(1, %(events)s) as i
cross join lateral (select jsonb_build_object(
    'email', 'Ann.Lee' || i || '@Mail.example',
    'phone', '(415) 555-' || lpad((i %% 10000)::text, 4, '0'),
    'first_name', 'Ann',
    'last_name', 'Lee-Ortiz',
    'zip', '94' || lpad((i %% 1000)::text, 3, '0'),
    'client_ip_address', '81.2.' || i %% 200 || '.' || (i %% 250 + 1),
    'client_user_agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0',
    'fbp', 'fb.1.1700000000000.' || i) as person) as of_person
"""


@dataclass(frozen=True)
class Addresses:
    """Where the destinations stand, without a slash at the end."""

    meta: str
    google: str
    gtm: str


def make_destination(
    name: DestinationName, addresses: Addresses, client: DeliveryClient, pool: AsyncPool
) -> Destination:
    """The destination as it is in production, but for its address and its account."""
    if name == "meta_capi":
        return MetaCapi(MetaAccount("1", "token", url=addresses.meta), client)
    if name == "google_ec":
        account = GoogleAccount("1234567890", "987654321", url=addresses.google)
        return GoogleEc(account, AccessToken("token"), client, pool)
    return GtmServer(GtmContainer(addresses.gtm), client)


def drain(url: str, names: Sequence[DestinationName], addresses: Addresses) -> RetryTotals:
    """One retry run over these destinations, as the job does it."""

    def make(client: DeliveryClient, pool: AsyncPool) -> list[Destination]:
        return [make_destination(name, addresses, client, pool) for name in names]

    request = RetryRequest(time_budget_seconds=_TIME_BUDGET_SECONDS)
    return run_interruptibly(retry_failed_events(url, make, request))


@dataclass(frozen=True)
class Stand:
    """A running database server and a running sandbox."""

    postgres: EmbeddedPostgres
    sandbox_url: str
    addresses: Addresses
    _numbers: Iterator[int]

    @contextmanager
    def database(self, **events: int) -> Iterator[str]:
        """The URL of a fresh database with so many due events for each destination named."""
        name = f"benchmark_{next(self._numbers)}"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(_TEMPLATE)
                )
            )
            try:
                url = self.postgres.url(name)
                _fill(url, events)
                # What filling left to be written must not be written while the clock runs.
                connection.execute("checkpoint")
                yield url
            finally:
                connection.execute(
                    sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
                )

    def set_conditions(self, destination: DestinationName, **conditions: Any) -> None:
        """Sets the latency or an outage of one stand-in."""
        body = {"destination": destination, **conditions}
        httpx.post(f"{self.sandbox_url}/_sandbox/conditions", json=body).raise_for_status()

    def server_version(self) -> str:
        with psycopg.connect(self.postgres.url("postgres")) as connection:
            return str(connection.execute("show server_version").fetchall()[0][0])


def _fill(url: str, events: dict[str, int]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for destination, count in events.items():
            connection.execute(_SEED, {"destination": destination, "events": count})
        connection.execute("vacuum analyze")


@contextmanager
def standing() -> Iterator[Stand]:
    """Starts both servers, and stops them at the end whatever happens."""
    with temporary_postgres() as postgres, _sandbox() as url:
        migrate(postgres.ensure_database(_TEMPLATE))
        addresses = Addresses(f"{url}/meta", f"{url}/google", f"{url}/gtm/main")
        no_limit = {"requests_per_minute": None}
        httpx.post(f"{addresses.google}/_behaviour", json=no_limit).raise_for_status()
        yield Stand(postgres, url, addresses, itertools.count())


@contextmanager
def temporary_postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="retry_benchmark_"))
    try:
        # Root's server runs as another account, which has to get through; it closes its own folder.
        folder.chmod(0o711)
        with hold(folder) as postgres:
            yield postgres
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """The server's keeper ends a moment after the server, and may still write beside us."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            return shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def _sandbox() -> Iterator[str]:
    """The address of a sandbox that remembers ids only and checks no event."""
    command = [sys.executable, "-m", "tracking_pipeline.sandbox"]
    options = ["--port", "0", "--lenient", "--until-stdin-closes"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.stdin.close()


def processor_milliseconds(events: int, work: Callable[[], object]) -> float:
    """The processor time of this process for 1,000 of the events that ``work`` gets through."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / events * 1_000_000


def events_a_second(events: int, work: Callable[[], object]) -> float:
    """The rate at which ``work`` gets through so many events, from its call to its return."""
    started = time.perf_counter()
    work()
    return events / (time.perf_counter() - started)
