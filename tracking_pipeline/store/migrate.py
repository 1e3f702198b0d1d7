"""Bring a database's tables to what this version needs: create them, or adopt those that exist.

Why it has this shape:

**One transaction, then indexes.** All that changes a table is one transaction: a refusal, a lost
connection or a kill leaves the database as it was. An index on a table in use cannot be part of
it, since `create index` would hold up every write until it is done and `create index concurrently`
refuses to run in a transaction. So the indexes follow, one by one, on a session of their own. They
are a wanted state and no steps (`migrations.indexes`): a run that was killed between the two parts,
or within a build, is completed by the next.

**A polled lock.** Two runs at once must not both build. Waiting inside `pg_advisory_lock` would be
a deadlock that no detector sees: the waiting statement holds a snapshot, and `create index
concurrently` waits for every older snapshot to go. So the lock is asked for with `pg_try_...` in
transactions that end at once. The first part takes the lock of the transaction, which also holds
through a transaction pooler. The second takes the same lock for its session, because that lasts
exactly as long as the server works for that session: where a client is killed and its build goes on
in the server, the next run waits for it instead of tearing it down.

**A session connection.** The second part needs one (Supabase: port 5432, not the transaction
pooler's 6543): the settings and the lock of a session do not survive in a transaction pooler.

**Short locks.** `alter table` waits for every transaction that touches the table, and all others
wait behind it. So each wait is short (`lock_timeout`), and is tried again after a pause in which
the others get through.

It runs as the role that owns the tables, needs no superuser, and its statements work on
PostgreSQL 14 and later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg.rows import tuple_row
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.health.metrics import alert_types
from tracking_pipeline.store.access import is_behind
from tracking_pipeline.store.database import DatabaseError, connect, describe_connection
from tracking_pipeline.store.migrations.adoption import (
    VERSION_TABLE,
    Adoption,
    TableBusyError,
)
from tracking_pipeline.store.migrations.indexes import build, missing_or_invalid
from tracking_pipeline.store.migrations.preflight import CannotAdoptError, checks_refusing
from tracking_pipeline.store.migrations.worker_role import NoSuchRoleError, grant_worker

# What this version writes into a column that may have a CHECK, by table and column. Like the
# indexes a wanted state and no step: a destination or a type of alert needs no revision.
_LET_IN = {
    ("tracking_failed_events", "destination"): DESTINATIONS,
    ("tracking_health_alerts", "alert_type"): alert_types(),
}

ADOPTED_TABLES = ("leads", "tracking_failed_events", "tracking_health_alerts", "wm_event_log")
"""The tables that a site may have before us."""

OLDEST_SERVER = 140000
"""PostgreSQL 14, as `server_version_num` writes it."""

LOCK_KEY = int.from_bytes(b"tracking", "big")
"""The advisory lock of a migration: any number will do that others are unlikely to choose."""


class MigrationError(ExplainedError):
    """The tables could not be brought up to date. One line: the obstacle and the remedy."""


@dataclass(frozen=True)
class Migration:
    """What a run did, one line a step, in order; empty when there was nothing to do."""

    applied: list[str]


@dataclass(frozen=True)
class Patience:
    """How long a run waits for others. Each figure is in seconds, except `table_lock_tries`."""

    another_migration: float = 300.0
    """For another run to finish. It may be building an index on a large ledger."""
    table_lock: float = 5.0
    """For one table; all other users of the table wait as long as we do."""
    table_lock_tries: int = 4
    between_tries: float = 2.0
    """The pause in which those who queued behind us get their turn."""
    index_lock: float = 600.0
    """For the transactions that an index build must see the end of. Nobody waits behind it."""


def migrate(
    url: str, *, worker_role: str | None = None, patience: Patience = Patience()
) -> Migration:
    """Creates or adopts the tables in the database at `url`; does nothing where all is in place.

    `url` is a libpq URL of a session connection as the tables' owner. `worker_role`
    (TRACKING_WORKER_ROLE) is an existing role that gets the grants and policies to work with.
    Any number of runs at once is safe. Raises `MigrationError`; what had been done before the
    error is either undone or completed by the next run.
    """
    with _explained():
        applied = _migrate_tables(url, worker_role, patience)
        applied += _build_indexes(url, patience)
    return Migration(applied)


@dataclass(frozen=True)
class Target:
    """The database that a migration would change, as it may be told, and the ``tables`` with rows
    of somebody else's that it would adopt."""

    database: str
    tables: tuple[str, ...]


def read_target(url: str) -> Target:
    """Where this address leads and what is there; changes nothing. Raises `MigrationError`."""
    with _explained(), connect(url) as connection, connection.cursor(row_factory=tuple_row) as c:
        label = describe_connection(connection)
        found = c.execute(
            "select relname::text from pg_class where relnamespace = 'public'::regnamespace"
            " and relname = any(%s) and relkind = 'r' and to_regclass(%s) is null order by 1",
            (list(ADOPTED_TABLES), f"public.{VERSION_TABLE}"),
        ).fetchall()
        # The names are ours.
        filled = [
            name
            for (name,) in found
            if c.execute(f"select exists (select from public.{name})".encode()).fetchone()  # noqa: S608
            == (True,)
        ]
    return Target(label, tuple(filled))


def is_migrated(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables are those of this version or of a later one, with all indexes valid. A
    few short queries.

    False too where the version table cannot be read; `check_access` says why.
    """
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        readable = cursor.execute(
            "select has_table_privilege(oid, 'select') from pg_class"
            " where relname = %s and relnamespace = 'public'::regnamespace",
            (VERSION_TABLE,),
        ).fetchone()
        if readable != (True,):
            return False
        return (
            not is_behind(connection)
            and not missing_or_invalid(connection)
            and not any(_refused(connection))
        )


def _refused(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, str]]:
    """The tables and columns with a CHECK that refuses a word of this version."""
    for (table, column), values in _LET_IN.items():
        if checks_refusing(connection, table, column, values):
            yield table, column


def _migrate_tables(url: str, worker_role: str | None, patience: Patience) -> list[str]:
    """Runs the transactional part, again after a pause when a table's lock could not be had."""
    tries = 1
    while True:
        try:
            return _migrate_tables_once(url, worker_role, patience)
        except TableBusyError as busy:
            if tries == patience.table_lock_tries:
                raise MigrationError(
                    f"{busy}{_holders(url, busy.table)}: end its transaction or stop what holds"
                    " it, then run tracking-pipeline migrate again; nothing was changed"
                ) from None
        tries += 1
        time.sleep(patience.between_tries)


def _migrate_tables_once(url: str, worker_role: str | None, patience: Patience) -> list[str]:
    """Runs the revisions that are not in the database yet, and the grants, in one transaction."""
    with connect(url, answer_seconds=None) as driver:
        _refuse_old_server(driver)
        driver.autocommit = False
        # Whatever the role's default is: a snapshot that is kept would hold up index builds.
        driver.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        # Alembic works on a connection of SQLAlchemy's; this one is our own connection in disguise.
        engine = create_engine("postgresql+psycopg://", creator=lambda: driver, poolclass=NullPool)
        with engine.connect() as connection:
            _poll(lambda: _locks_transaction(driver), patience.another_migration)
            driver.execute(f"set local lock_timeout = '{patience.table_lock}s'".encode())
            # Others wait behind the locks; no statement here has a reason to take this long.
            driver.execute("set local statement_timeout = '60s'")
            # Refuse rather than skip rows, where row security is forced upon the owner.
            driver.execute("set local row_security = off")
            adoption = Adoption(driver, applied=[])
            _upgrade(connection, adoption)
            for table, column in _refused(driver):
                adoption.lock((table,))
                adoption.let_in(table, column, _LET_IN[table, column])
            if worker_role:
                adoption.applied += grant_worker(driver, worker_role)
            connection.commit()
    return adoption.applied


def _upgrade(connection: Connection, adoption: Adoption) -> None:
    """Lets Alembic run the revisions that are not in the database yet."""
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["adoption"] = adoption
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise MigrationError(
            f"public.{VERSION_TABLE} names a revision that this version does not know:"
            " install the tracking-pipeline that migrated this database, or a newer one"
        ) from None


def _build_indexes(url: str, patience: Patience) -> list[str]:
    """Builds the indexes that are absent or invalid, one by one; nobody waits for them."""
    with connect(url, answer_seconds=None) as session:
        if not missing_or_invalid(session):
            return []
        # A build takes as long as it takes; the server's default may be made for web requests.
        session.execute("set statement_timeout = 0")
        session.execute(f"set lock_timeout = '{patience.index_lock}s'".encode())
        _poll(lambda: _locks_session(session), patience.another_migration)
        applied = []
        # Asked again: while this run waited, another may have built them.
        for index, invalid in missing_or_invalid(session):
            try:
                applied.append(build(session, index, invalid=invalid))
            except psycopg.errors.LockNotAvailable:
                raise MigrationError(
                    f"index {index.name} of public.{index.table} waits for a transaction that has"
                    f" been open for over {patience.index_lock:g} s (pg_stat_activity.xact_start):"
                    " end it, then run tracking-pipeline migrate again, which completes the rest"
                ) from None
        return applied


def _poll(locked: Callable[[], bool], patience_seconds: float) -> None:
    """Asks for the migration lock until it is granted."""
    deadline = time.monotonic() + patience_seconds
    while not locked():
        if time.monotonic() >= deadline:
            raise MigrationError(
                f"another migration of this database has not ended in {patience_seconds:g} s:"
                " wait for it or end its session, then run tracking-pipeline migrate again"
            )
        time.sleep(0.2)


def _locks_transaction(connection: psycopg.Connection[Any]) -> bool:
    """Asks once for the lock until the transaction's end; ends the transaction when refused."""
    locked = _granted(connection, "select pg_try_advisory_xact_lock(%s)")
    if not locked:
        connection.rollback()
    return locked


def _locks_session(connection: psycopg.Connection[Any]) -> bool:
    """Asks once for the lock until the session's end."""
    return _granted(connection, "select pg_try_advisory_lock(%s)")


def _granted(connection: psycopg.Connection[Any], query: str) -> bool:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), (LOCK_KEY,)).fetchone() == (True,)


def _refuse_old_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise MigrationError(f"the server is PostgreSQL {version // 10000}: 14 or later is needed")


def _holders(url: str, table: str) -> str:
    """Names the sessions that hold locks on a table by their process ids, if they still do."""
    with connect(url) as connection, connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "select distinct pid from pg_locks"
            " where relation = to_regclass(%s) and granted and pid <> pg_backend_pid()"
            " order by pid",
            (f"public.{table}",),
        ).fetchall()
    return f" (pid {', '.join(str(pid) for (pid,) in rows)})" if rows else ""


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what went wrong into one line without values of rows and without the URL.

    A server's primary message names tables, columns and roles; the values of a row are in its
    detail, which is left out, from the chain of exceptions as well.
    """
    try:
        yield
    except (CannotAdoptError, DatabaseError, NoSuchRoleError) as error:
        raise MigrationError(str(error)) from None
    except psycopg.Error as error:
        raise MigrationError(_explanation(error)) from None
    except DBAPIError as error:  # SQLAlchemy's wrapping of the same
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise MigrationError(_explanation(error.orig)) from None


def _explanation(error: psycopg.Error) -> str:
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return (
            "the connection to the database broke off:"
            " run tracking-pipeline migrate again, which completes what is missing"
        )
    reason = error.diag.message_primary
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            f"{reason}: run tracking-pipeline migrate as the role that owns the tables, may create"
            " in schema public and is not subject to row security"
        )
    return (
        f"the database refused a step ({reason}):"
        " remove the cause, then run tracking-pipeline migrate again"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "tracking_pipeline.store:migrations")
    return config
