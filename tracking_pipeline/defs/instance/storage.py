"""Dagster's own storage: PostgreSQL always, ``DAGSTER_POSTGRES_URL`` or the embedded server.

Named by ``dagster.yaml``, so that one file serves a laptop without any variable set and production.
Each Dagster process that opens its instance holds the embedded server for as long as it lives.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from shutil import copyfileobj
from typing import Any, BinaryIO, TextIO

import dagster as dg
from alembic.config import Config
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.event_log.migration import (
    ASSET_DATA_MIGRATIONS,
    EVENT_LOG_DATA_MIGRATIONS,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs.migration import OPTIONAL_DATA_MIGRATIONS, REQUIRED_DATA_MIGRATIONS
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.migration import (
    OPTIONAL_SCHEDULE_DATA_MIGRATIONS,
    REQUIRED_SCHEDULE_DATA_MIGRATIONS,
)
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.storage.sql import check_alembic_revision, stamp_alembic_rev
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.run_storage import run_storage
from dagster_postgres.utils import pg_alembic_config, retry_pg_connection_fn
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from tracking_pipeline.settings import read_settings
from tracking_pipeline.store.database import (
    CONNECT_TIMEOUT_SECONDS,
    KEEP_ALIVE,
    PROVEN_SECONDS,
    connect,
)
from tracking_pipeline.wiring.run_storage import run_storage_url

# Makes Dagster's own tables, all of them or none.
#
# Dagster makes them statement by statement, and takes them for whole when the first of a group is
# there: a kill in between leaves a storage that fails for ever. Here it is one transaction, under a
# lock that makes two first calls take turns. What such a kill has left behind is completed, too.
#
# Only what was never finished is touched. A storage of another version of Dagster is Dagster's own
# affair (``dagster instance migrate``).

_SCHEMAS = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
_TABLES = [table for schema in _SCHEMAS for table in schema.sorted_tables]
# What Dagster has done to the rows of old tables; new ones are marked as having it.
_MARKS = sorted(
    {
        name
        for migrations in (
            *(REQUIRED_DATA_MIGRATIONS, OPTIONAL_DATA_MIGRATIONS),
            *(EVENT_LOG_DATA_MIGRATIONS, ASSET_DATA_MIGRATIONS),
            *(REQUIRED_SCHEDULE_DATA_MIGRATIONS, OPTIONAL_SCHEDULE_DATA_MIGRATIONS),
        )
        for name in migrations
    }
)
_LOCK_KEY = int.from_bytes(b"dagster", "big")


def make_dagster_tables(url: str) -> None:
    """Makes the tables of Dagster's storage in the database at ``url`` (SQLAlchemy's form, with
    its driver) where they are not there, or not whole. Any number of processes may call it at once.

    Raises what SQLAlchemy raises.
    """
    engine = create_engine(url, poolclass=NullPool)
    with retry_pg_connection_fn(engine.connect) as connection:
        if _is_whole(connection):
            return
        connection.rollback()
        with connection.begin():
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            if _was_never_finished(connection):
                _complete(connection)


def _is_whole(connection: Connection) -> bool:
    """Whether all tables and indexes are there. One query; a table of another version has other
    indexes, so "no" may also mean that."""
    names = {str(table.name) for table in _TABLES}
    names |= {str(index.name) for table in _TABLES for index in table.indexes}
    found = connection.execute(
        text(
            "select count(*) from pg_class where relnamespace = current_schema()::regnamespace"
            " and relname = any(:names)"
        ),
        {"names": [*names, "alembic_version"]},
    ).scalar_one()
    if found <= len(names):
        return False
    return bool(
        connection.execute(
            text(
                "select exists (select from runs) or"
                " (select count(*) from secondary_indexes where name = any(:marks)) = :all"
            ),
            {"marks": _MARKS, "all": len(_MARKS)},
        ).scalar_one()
    )


def _was_never_finished(connection: Connection) -> bool:
    """Whether it is this version's, or nobody's yet: with no revision, and no run in it."""
    present, newest = check_alembic_revision(_alembic(), connection)
    if present is not None:
        return bool(present == newest)
    if not inspect(connection).has_table("runs"):
        return True
    return not connection.execute(text("select exists (select from runs)")).scalar_one()


def _complete(connection: Connection) -> None:
    rows = _has_rows(connection)
    for table in _TABLES:
        table.create(connection, checkfirst=True)
        # A table that was there may lack some of them.
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    stamp_alembic_rev(_alembic(), connection)
    if not rows:
        connection.execute(
            text(
                "insert into secondary_indexes (name, create_timestamp, migration_completed)"
                " select name, now(), now() from unnest(cast(:marks as text[])) as name"
                " on conflict (name) do update set migration_completed = now()"
            ),
            {"marks": _MARKS},
        )


def _has_rows(connection: Connection) -> bool:
    """Whether there is anything that a data migration would have to look at."""
    return any(
        connection.execute(text(f"select exists (select from {name})")).scalar_one()  # noqa: S608
        for name in ("runs", "event_logs", "asset_keys", "jobs", "job_ticks", "bulk_actions")
        if inspect(connection).has_table(name)
    )


def _alembic() -> Config:
    # The path is relative to one of Dagster's own storages.
    return pg_alembic_config(run_storage.__file__)


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
        # Each of its three parts would look for its tables, on a connection of its own.
        return cls(postgres_url=url, should_autocreate_tables=False, inst_data=inst_data)


@contextmanager
def kept_connections(instance: dg.DagsterInstance) -> Iterator[None]:
    """Lets the parts of the instance's storage share a few connections, for the time of one verb,
    and remember which tables and columns there are: Dagster makes a new connection for each
    statement, a hundred for the shortest run, and asks for the columns with each event. Another
    storage than PostgreSQL's, or one with passwords that change, stays as it is.

    A connection that was not in use just now is tried before it is, so that a server that was
    started again costs nothing.
    """
    engines: dict[str, Engine] = {}
    for part in (instance.event_log_storage, instance.run_storage, instance.schedule_storage):
        if isinstance(part, _PARTS) and part._token_provider is None:
            url = part.postgres_url
            if url not in engines:
                engines[url] = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=2)
                _try_what_rested(engines[url])
            part._engine = engines[url]
            for name in _ASKED_AGAIN:
                if ask := getattr(part, name, None):
                    setattr(part, name, cache(ask))
    try:
        yield
    finally:
        for engine in engines.values():
            engine.dispose()


_PARTS = (PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage)
_ASKED_AGAIN = (
    "has_table",
    "has_run_stats_index_cols",
    "has_backfill_id_column",
    "has_asset_key_col",
)


def _try_what_rested(engine: Engine) -> None:
    """SQLAlchemy's ``pool_pre_ping`` for those connections only that have not answered lately."""

    @event.listens_for(engine, "checkin")
    def note(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["answered_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(
        connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        answered_at = record.info.get("answered_at")
        if answered_at is None or time.monotonic() - answered_at < PROVEN_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise DisconnectionError from None  # the pool makes another one


class TrackingComputeLogs(LocalComputeLogManager):
    """``compute_logs`` of ``dagster.yaml``: the output of runs, kept under TRACKING_HOME.

    What goes to the file is shown where it would have gone as well, as Dagster does it, but by a
    thread. Dagster has a ``tail`` of each stream, and another Python that looks after each of them:
    four processes, for a run that takes a second.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> TrackingComputeLogs:
        folder = read_settings().home / "dagster" / "compute_logs"
        return cls(base_dir=str(folder), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Captures what the process writes within the block."""
        with (
            self._captured(sys.stdout, log_key, ComputeIOType.STDOUT),
            self._captured(sys.stderr, log_key, ComputeIOType.STDERR),
        ):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]

    @contextmanager
    def _captured(
        self, stream: TextIO, log_key: Sequence[str], kind: ComputeIOType
    ) -> Iterator[None]:
        path = self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
        ensure_file(path)
        with _shown_meanwhile(path, stream), redirect_to_file(stream, path):
            yield


_SHOWN_EVERY_SECONDS = 0.1


@contextmanager
def _shown_meanwhile(path: str, stream: TextIO) -> Iterator[None]:
    """Shows what others append to the file within the block where the stream leads now."""
    try:
        shown = os.fdopen(os.dup(stream.fileno()), "wb")
    except (AttributeError, OSError):  # closed, or no file of the system's: nothing is captured
        yield
        return
    captured = open(path, "rb")  # noqa: SIM115  closed by the thread
    captured.seek(0, os.SEEK_END)
    ended = threading.Event()
    thread = threading.Thread(target=_copy_until, args=(ended, captured, shown), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # Whoever does not read what is shown is not waited for: it is in the file.
        thread.join(timeout=5.0)


def _copy_until(ended: threading.Event, captured: BinaryIO, shown: BinaryIO) -> None:
    with suppress(OSError), captured, shown:  # nobody may be there to read
        is_last = False
        while not is_last:
            is_last = ended.wait(_SHOWN_EVERY_SECONDS)
            copyfileobj(captured, shown)
            shown.flush()


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
