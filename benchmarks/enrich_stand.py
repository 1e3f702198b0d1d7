"""What the benchmark of enrichment stands on: a database full of leads, and a file of places.

The database is the embedded PostgreSQL with its normal, durable settings in a temporary folder. The
file is made by `mmdb_writer`: a thousand networks, each with a place of its own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from psycopg import sql
from typing_extensions import LiteralString

from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.geo.enrich import EnrichRequest, EnrichTotals, enrich_leads
from tracking_pipeline.geo.mmdb import MmdbProvider
from tracking_pipeline.geo.online import SecondsLeft
from tracking_pipeline.geo.provider import GeoProviders
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.postgres.server import EmbeddedPostgres
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.migrate import migrate

NETWORKS = 1_000
_TEMPLATE = "benchmark_template"
# Longer than any run here: one that its time budget ended would not be a run.
_TIME_BUDGET_SECONDS = 3_000.0

# No two leads have the same address; every network of the file has as many.
_SEED: LiteralString = """
insert into leads (email, phone, first_name, fbp, client_user_agent, client_ip, created_at)
select 'visitor' || i || '@example.com', '+1305555' || lpad((i %% 10000)::text, 4, '0'), 'Emily',
    'fb.1.1700000000000.' || i, 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0',
    60 + i %% %(networks)s / 256 || '.' || i %% %(networks)s %% 256
        || '.' || i / %(networks)s / 250 || '.' || 1 + i / %(networks)s %% 250,
    now() - i * interval '1 second'
from generate_series(1, %(leads)s) as i
"""


def write_file(path: Path) -> Path:
    """Writes the file of places."""
    writer = MMDBWriter(4, database_type="DBIP-City-Lite")
    for number in range(NETWORKS):
        writer.insert_network(
            IPSet([f"{60 + number // 256}.{number % 256}.0.0/16"]),
            {
                "city": {"names": {"en": f"Town {number} (Old Quarter)"}},
                "country": {"iso_code": "US"},
                "subdivisions": [{"names": {"en": "California"}}],
            },
        )
    writer.to_db_file(str(path))
    return path


def enrich(url: str, file: Path) -> EnrichTotals:
    """One enrichment run on the local file, as the job does it."""

    def make(client: DeliveryClient, pool: AsyncPool, *, seconds_left: SecondsLeft) -> GeoProviders:
        return GeoProviders((MmdbProvider(file),), {})

    request = EnrichRequest(time_budget_seconds=_TIME_BUDGET_SECONDS)
    return asyncio.run(enrich_leads(url, make, request))


@dataclass(frozen=True)
class Stand:
    """A running database server."""

    postgres: EmbeddedPostgres
    _numbers: Iterator[int]

    @contextmanager
    def database(self, leads: int) -> Iterator[str]:
        """The URL of a fresh database with so many leads that have an address and no place."""
        name = f"benchmark_{next(self._numbers)}"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(_TEMPLATE)
                )
            )
            try:
                url = self.postgres.url(name)
                with psycopg.connect(url, autocommit=True) as filling:
                    filling.execute(_SEED, {"leads": leads, "networks": NETWORKS})
                    filling.execute("vacuum analyze")
                # What filling left to be written must not be written while the clock runs.
                connection.execute("checkpoint")
                yield url
            finally:
                connection.execute(
                    sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
                )


@contextmanager
def standing() -> Iterator[Stand]:
    """Starts the server, and stops it at the end whatever happens."""
    with temporary_postgres() as postgres:
        migrate(postgres.ensure_database(_TEMPLATE))
        yield Stand(postgres, itertools.count())
