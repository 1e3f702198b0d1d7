"""Makes Dagster's own tables, all of them or none.

Dagster makes them statement by statement, and takes them for whole when the first of a group is
there: a kill in between leaves a storage that fails for ever. Here it is one transaction, under a
lock that makes two first calls take turns. What such a kill has left behind is completed, too.

Only what was never finished is touched. A storage of another version of Dagster is Dagster's own
affair (``dagster instance migrate``).
"""

from __future__ import annotations

from alembic.config import Config
from dagster._core.storage.event_log.migration import (
    ASSET_DATA_MIGRATIONS,
    EVENT_LOG_DATA_MIGRATIONS,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.migration import OPTIONAL_DATA_MIGRATIONS, REQUIRED_DATA_MIGRATIONS
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.migration import (
    OPTIONAL_SCHEDULE_DATA_MIGRATIONS,
    REQUIRED_SCHEDULE_DATA_MIGRATIONS,
)
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.storage.sql import check_alembic_revision, stamp_alembic_rev
from dagster_postgres.run_storage import run_storage
from dagster_postgres.utils import pg_alembic_config, retry_pg_connection_fn
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

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
