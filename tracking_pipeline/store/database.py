"""Connections to PostgreSQL, the same way everywhere, and what may be said about them in public."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

CONNECT_TIMEOUT_SECONDS = 10
# Together about 50 seconds: for that long an outage of the database costs nothing, because the
# leases still stand. After it the events are claimed again, and what was delivered is delivered
# twice.
OUTAGE_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 15.0)
APPLICATION_NAME = "tracking_pipeline"

# A transaction pooler (Supabase's port 6543, pgbouncer) hands each transaction another server
# connection: a prepared statement would not be there, and start-up options are refused.
_CONNECT = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "application_name": APPLICATION_NAME,
}

# A failed connection has no SQLSTATE, only the words of libpq and the server.
_SIGNS_OF_NO_CONNECTION = {
    "authentication failed": "the user or the password is refused",
    "no password supplied": "a password is wanted",
    "pg_hba.conf": "the server does not let this user or machine in",
    "does not exist": "there is no such database or user",
    "too many": "it has too many connections",
    "connection refused": "nobody listens at that port",
    "could not translate host name": "the host is not known",
    "resolve host": "the host is not known",
    "name or service not known": "the host is not known",
    "invalid integer value": "the port is no number",
    "invalid port": "the port is no port",
    "timeout": "no answer in time",
    "ssl": "TLS failed",
}

AsyncPool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]
T = TypeVar("T")

log = logging.getLogger(__name__)


class DatabaseError(Exception):
    """The database cannot be used. One line, without user names, passwords or values of rows."""


@dataclass(frozen=True)
class Database:
    """The database that a process serves.

    ``rehearsal`` is the mark that the database itself carries: the sandbox serves only a marked
    database, configured destinations only an unmarked one.
    """

    url: str = field(repr=False)
    label: str
    rehearsal: bool = False


def describe(url: str) -> str:
    """Host and database name of a connection URL: what a log may say about it."""
    parts = urlsplit(url)
    if not parts.scheme:  # a conninfo string, "host=... password=...": nothing of it is safe to say
        return "at the given address"
    return f"{parts.path.lstrip('/') or 'postgres'} on {parts.hostname or 'the local socket'}"


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection]:
    """One autocommit connection. Raises :class:`DatabaseError` where none can be had."""
    try:
        connection = psycopg.connect(url, **_CONNECT)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise DatabaseError(_cannot_connect(url, error)) from None
    with connection:
        yield connection


@asynccontextmanager
async def connection_pool(url: str, *, size: int) -> AsyncIterator[AsyncPool]:
    """A pool of autocommit connections, open inside the block.

    A connection is checked when it is handed out: after a restart of the server, or when a pooler
    has dropped what was idle, all of them are dead at once.
    """
    pool: AsyncPool = AsyncConnectionPool(
        url,
        kwargs=_CONNECT,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECT_TIMEOUT_SECONDS,
        check=AsyncConnectionPool.check_connection,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.Error as error:
        await pool.close()
        raise DatabaseError(_cannot_connect(url, error)) from None
    try:
        yield pool
    finally:
        await pool.close()


async def through_outages(work: Callable[[], Awaitable[T]]) -> T:
    """Does ``work``, again and again while the database is away for a moment.

    Work whose connection broke may have been done all the same. Raises the last
    psycopg.OperationalError when the database stays away.
    """
    for wait in OUTAGE_WAITS_SECONDS:
        try:
            return await work()
        except psycopg.OperationalError as error:
            log.warning(
                "the database is away (SQLSTATE %s); trying again in %.1f s",
                error.sqlstate or "none",
                wait,
            )
            await anyio.sleep(wait)
    return await work()


def _cannot_connect(url: str, error: psycopg.Error) -> str:
    try:
        place = describe(url)
    except ValueError:
        place = "the given address"
    return (
        f"cannot connect to database {place} ({_why_not(error)}): check TRACKING_DATABASE_URL and "
        "the server"
    )


def _why_not(error: psycopg.Error) -> str:
    """Why there is no connection, in words of ours: the server's may name users and addresses."""
    said = str(error).lower()
    for sign, words in _SIGNS_OF_NO_CONNECTION.items():
        if sign in said:
            return words
    return f"SQLSTATE {error.sqlstate}" if error.sqlstate else "no connection"


async def read_clock(connection: psycopg.AsyncConnection[Any]) -> datetime:
    """The database's clock: the only one that counts."""
    cursor = await connection.execute("select now()")
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  a select without a table gives one row
    moment: datetime = row[0]
    return moment


def read_now(connection: psycopg.Connection[Any]) -> datetime:
    """The same, without an event loop. Within a transaction it is the moment when that began."""
    row = connection.execute("select now()").fetchone()
    assert row is not None  # noqa: S101  a select without a table gives one row
    moment: datetime = row[0]
    return moment


@contextmanager
def one_moment(connection: psycopg.Connection[Any]) -> Iterator[datetime]:
    """A transaction in which all statements see the tables as they are at one moment, which is
    given. It only reads."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        yield read_now(connection)
