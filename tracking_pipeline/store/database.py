"""Connections to PostgreSQL, the same way everywhere, and what may be said about them in public."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

CONNECT_TIMEOUT_SECONDS = 10
APPLICATION_NAME = "tracking_pipeline"

# A transaction pooler (Supabase's port 6543, pgbouncer) hands each transaction another server
# connection: a prepared statement would not be there, and start-up options are refused.
_CONNECT = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "application_name": APPLICATION_NAME,
}

AsyncPool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


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
    """A pool of autocommit connections, open inside the block."""
    pool: AsyncPool = AsyncConnectionPool(
        url, kwargs=_CONNECT, min_size=1, max_size=size, open=False, timeout=30
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


def _cannot_connect(url: str, error: psycopg.Error) -> str:
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    try:
        place = describe(url)
    except ValueError:
        place = "the given address"
    return f"cannot connect to database {place}{state}: check TRACKING_DATABASE_URL and the server"
