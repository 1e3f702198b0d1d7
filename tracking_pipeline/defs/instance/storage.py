"""Dagster's own storage: PostgreSQL always, ``DAGSTER_POSTGRES_URL`` or the embedded server.

Named by ``dagster.yaml``, so that one file serves a laptop without any variable set and production.
Each Dagster process that opens its instance holds the embedded server for as long as it lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine

from tracking_pipeline.defs.instance.tables import make_dagster_tables
from tracking_pipeline.settings import read_settings
from tracking_pipeline.store.database import CONNECT_TIMEOUT_SECONDS, KEEP_ALIVE, connect
from tracking_pipeline.wiring.run_storage import run_storage_url


def dagster_storage_url() -> str:
    """The SQLAlchemy URL of Dagster's storage. The driver is named, because another version of
    SQLAlchemy means another one by plain ``postgresql://``.

    Raises :class:`~tracking_pipeline.store.database.DatabaseError` where no connection can be had:
    Dagster would try for a while, and log the driver's words, which name user and host.
    """
    url = run_storage_url(read_settings())
    with connect(url, setting="DAGSTER_POSTGRES_URL"):
        return _for_sqlalchemy(url)


def _for_sqlalchemy(url: str) -> str:
    """The address as libpq reads it, which reads passwords otherwise than SQLAlchemy does; with
    libpq's settings for a server or a network that is gone without a word, where it has none."""
    given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    ours = {"connect_timeout": str(CONNECT_TIMEOUT_SECONDS)}
    ours |= {name: str(value) for name, value in KEEP_ALIVE.items()}
    user, password = given.pop("user", None), given.pop("password", None)
    database = given.pop("dbname", None)
    made = URL.create(
        "postgresql+psycopg2", user, password, database=database, query={**ours, **given}
    )
    return made.render_as_string(hide_password=False)


class TrackingStorage(DagsterPostgresStorage):
    """``storage.custom`` of ``dagster.yaml``."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> TrackingStorage:
        url = dagster_storage_url()
        make_dagster_tables(url)
        return cls(postgres_url=url, inst_data=inst_data)


@contextmanager
def kept_connections(instance: dg.DagsterInstance) -> Iterator[None]:
    """Lets the parts of the instance's storage share a few connections, for the time of one verb:
    Dagster makes a new one for each statement, a hundred for the shortest run. Another storage than
    PostgreSQL's, or one with passwords that change, stays as it is.

    Each connection is tried before it is used, so that a server that was started again costs
    nothing.
    """
    engines: dict[str, Engine] = {}
    for part in (instance.event_log_storage, instance.run_storage, instance.schedule_storage):
        if isinstance(part, _PARTS) and part._token_provider is None:
            url = part.postgres_url
            if url not in engines:
                engines[url] = create_engine(
                    url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, pool_size=2
                )
            part._engine = engines[url]
    try:
        yield
    finally:
        for engine in engines.values():
            engine.dispose()


_PARTS = (PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage)


class TrackingComputeLogs(LocalComputeLogManager):
    """``compute_logs`` of ``dagster.yaml``: the output of runs, kept under TRACKING_HOME."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> TrackingComputeLogs:
        folder = read_settings().home / "dagster" / "compute_logs"
        return cls(base_dir=str(folder), inst_data=inst_data)


class TrackingArtifacts(LocalArtifactStorage):
    """``local_artifact_storage`` of ``dagster.yaml``, likewise."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> TrackingArtifacts:
        folder = read_settings().home / "dagster"
        return cls(base_dir=str(folder), inst_data=inst_data)
