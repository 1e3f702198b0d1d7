"""Connections to PostgreSQL, the same way everywhere, and what may be said about them in public."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import anyio
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.errors import ExplainedError

# What may be said in public of a database's address, and of why nobody answers there. Pure.
#
# An address holds a user and a password, and generated passwords do not care for what a URL
# reserves: behind a raw ``@`` or ``/`` a part of the password becomes the host or the database. So
# an address is told only where it cannot hold anything else; after a connection was made, the
# connection says where it leads.
#
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS

UNTOLD = "at the given address"

# Before the first "@" libpq reads user and password, whatever else they hold but a slash.
_ADDRESS = re.compile(
    r"""postgres(?:ql)?://
        (?:(?P<user>[^/@]*)@)?
        (?P<host>[A-Za-z0-9._-]+ | \[[0-9A-Fa-f:.]+\] )?
        (?::\d{1,5})?
        (?:/(?P<database>[A-Za-z0-9_.-]*))?
        (?:\?[^@/]*)?""",
    re.VERBOSE,
)
# Without user and password in front, what stands in the host's place may be a part of one.
_SURELY_A_HOST = re.compile(r"localhost|[\d.]+|\[.*\]|.*\.[A-Za-z][A-Za-z0-9-]*")

_UNKNOWN_HOST = (
    "the host is not known; in a password, reserved characters are written as %40 for @, %2F for /"
)
# A failed connection has no SQLSTATE, only the words of libpq and the server.
_SIGNS = {
    "authentication failed": "the user or the password is refused",
    "no password supplied": "a password is needed",
    "pg_hba.conf": "the server does not let this user or machine in",
    "does not exist": "there is no such database or user",
    "too many": "it has too many connections",
    "connection refused": "connection refused on that port",
    "could not translate host name": _UNKNOWN_HOST,
    "resolve host": _UNKNOWN_HOST,
    "name or service not known": _UNKNOWN_HOST,
    "invalid percent-encoded": "a percent sign is not encoded: write %25",
    "invalid integer value": "invalid port; in a password, : and / are written as %3A and %2F",
    "invalid port": "invalid port; in a password, : and / are written as %3A and %2F",
    "forbidden value %00": "it holds a NUL character",
    "timeout": "no answer in time",
    "ssl": "TLS failed",
}
_UNKNOWN_PARAMETER = re.compile(r'invalid (?:uri query parameter|connection option):? "([a-z_]+)"')
_IMPOSSIBLE_VALUE = re.compile(r'invalid (?!integer)([a-z_]+) value: "')


def describe(url: str) -> str:
    """Database and host of a URL, as in "tracking on db.example.com", where they cannot hold a part
    of a user's name or a password."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return UNTOLD
    user, host, database = found["user"], found["host"], found["database"]
    has_password = user is not None and ":" in user
    if host is not None and not has_password and not _SURELY_A_HOST.fullmatch(host):
        return UNTOLD
    return f"{database or 'postgres'} on {host or 'the local socket'}"


def describe_connection(connection: psycopg.Connection[object]) -> str:
    """The same of a connection that was made, which knows."""
    info = connection.info
    host = info.host if info.host and not info.host.startswith("/") else "the local socket"
    return f"{info.dbname} on {host}"


def unreachable_because(error: psycopg.Error) -> str:
    """Why there is no connection, in words of ours: the server's may name users and addresses."""
    said = str(error).lower()
    if unknown := _UNKNOWN_PARAMETER.search(said):
        return f"PostgreSQL does not know the parameter {unknown[1]}"
    if value := _IMPOSSIBLE_VALUE.search(said):
        return f"impossible value for {value[1]}"
    for sign, words in _SIGNS.items():
        if sign in said:
            return words
    return f"SQLSTATE {error.sqlstate}" if error.sqlstate else "no connection"


BUSINESS_SETTING = "TRACKING_DATABASE_URL"
CONNECT_TIMEOUT_SECONDS = 10
# Together about 50 seconds: for that long an outage of the database costs nothing, because the
# leases still stand. After it the events are claimed again, and what was delivered is delivered
# twice.
OUTAGE_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 15.0)
# However the waits and the tries add up, what is away for longer stays away.
LONGEST_OUTAGE_SECONDS = 60.0
# A statement of a pool has its answer in this time, or its connection is given up: nobody tells
# that the other side of a connection is gone, and behind a pooler the kernel does not find out. All
# such statements are short, and an answer after half a lease's time is no use.
POOL_ANSWER_SECONDS = 30.0
# A lone connection may read a year of a ledger, but not for ever.
ANSWER_SECONDS = 900.0
CHECK_ANSWER_SECONDS = 5.0
# A connection that had an answer so lately is handed out unchecked. Should it have died since, what
# it was wanted for is done again after the first wait of an outage, by when all are checked.
PROVEN_SECONDS = 0.2
APPLICATION_NAME = "tracking_pipeline"

# What the kernel can find out: a machine or a network that is gone without a word, within about 30
# seconds. libpq's own names; where a system does not know one, it is passed over.
KEEP_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# A transaction pooler (Supabase's port 6543, pgbouncer) hands each transaction another server
# connection: a prepared statement would not be there, and start-up options are refused.
_CONNECT = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "application_name": APPLICATION_NAME,
    **KEEP_ALIVE,
}
# Where there is none, a pool's connection prepares what it is asked so many times: to plan a claim
# takes the server as long as to claim a dozen rows.
_PREPARED_AFTER = 2

AsyncPool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]
T = TypeVar("T")
Row = TypeVar("Row")
# What psycopg does with the server, step by step: it yields what it waits for and is sent whether
# that is ready, or at short intervals that it is not yet.
Steps = Generator[Any, Any, T]

log = logging.getLogger(__name__)


class DatabaseError(ExplainedError):
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


class NoAnswerError(psycopg.OperationalError):
    """The server was silent for too long; the connection is closed."""


def _impatient(steps: Steps[T], connection: Any, seconds: float | None) -> Steps[T]:
    """The same steps, given up when the server has not brought them to an end in time."""
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and deadline is not None and time.monotonic() > deadline:
                connection.pgconn.finish()
                raise NoAnswerError("no answer from the server in time")
            wanted = steps.send(ready)
    except StopIteration as end:
        answer: T = end.value
        return answer


class _Connection(psycopg.Connection[Row]):
    """A connection that waits ``answer_seconds`` for each answer; None: for ever."""

    answer_seconds: float | None = ANSWER_SECONDS

    def wait(self, gen: Steps[T], *rest: Any, **more: Any) -> T:
        return super().wait(_impatient(gen, self, self.answer_seconds), *rest, **more)


class _AsyncConnection(psycopg.AsyncConnection[Row]):
    """The same in an event loop."""

    answer_seconds: float | None = POOL_ANSWER_SECONDS
    answered_at = float("-inf")

    async def wait(self, gen: Steps[T], *rest: Any, **more: Any) -> T:
        answer = await super().wait(_impatient(gen, self, self.answer_seconds), *rest, **more)
        self.answered_at = time.monotonic()
        return answer


@contextmanager
def connect(
    url: str,
    *,
    answer_seconds: float | None = ANSWER_SECONDS,
    setting: str = BUSINESS_SETTING,
) -> Iterator[psycopg.Connection]:
    """One autocommit connection, which is given up when an answer takes longer than that; None: it
    waits for ever. Raises :class:`DatabaseError`, which names the ``setting``, where none can be
    had."""
    try:
        connection: _Connection[TupleRow] = _Connection.connect(url, **_CONNECT)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise DatabaseError(_cannot_connect(url, error, setting)) from None
    connection.answer_seconds = answer_seconds
    with connection:
        yield connection


async def _is_direct(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether no pooler stands in between: a pooler that may change the server connection makes up
    the process that it names to its client."""
    cursor = await connection.execute("select pg_backend_pid()")
    return await cursor.fetchone() == (connection.info.backend_pid,)


@asynccontextmanager
async def connection_pool(
    url: str, *, size: int, answer_seconds: float | None = None
) -> AsyncIterator[AsyncPool]:
    """A pool of autocommit connections, open inside the block. A connection on which an answer
    takes longer than ``answer_seconds`` (None: :data:`POOL_ANSWER_SECONDS`) is given up.

    A connection is checked when it is handed out, unless it was in use just now: after a restart of
    the server, or when a pooler has dropped what was idle, all of them are dead at once.
    """
    longest = POOL_ANSWER_SECONDS if answer_seconds is None else answer_seconds

    async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
        assert isinstance(connection, _AsyncConnection)  # noqa: S101
        connection.answer_seconds = longest
        if await _is_direct(connection):
            connection.prepare_threshold = _PREPARED_AFTER

    async def check(connection: psycopg.AsyncConnection[Any]) -> None:
        assert isinstance(connection, _AsyncConnection)  # noqa: S101
        if time.monotonic() - connection.answered_at < PROVEN_SECONDS:
            return
        connection.answer_seconds = min(longest, CHECK_ANSWER_SECONDS)
        await AsyncConnectionPool.check_connection(connection)
        connection.answer_seconds = longest

    pool: AsyncPool = AsyncConnectionPool(
        url,
        connection_class=_AsyncConnection[TupleRow],
        kwargs=_CONNECT,
        configure=configure,
        min_size=1,
        max_size=size,
        open=False,
        timeout=CONNECT_TIMEOUT_SECONDS,
        check=check,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.Error as error:
        await pool.close()
        raise DatabaseError(_cannot_connect(url, error, BUSINESS_SETTING)) from None
    try:
        yield pool
    finally:
        await pool.close()


async def through_outages(work: Callable[[], Awaitable[T]]) -> T:
    """Does ``work``, again and again while the database is away for a moment.

    Work whose connection broke may have been done all the same. Raises the last
    psycopg.OperationalError when the database stays away.
    """
    began = time.monotonic()
    for wait in OUTAGE_WAITS_SECONDS:
        try:
            return await work()
        except psycopg.OperationalError as error:
            if time.monotonic() + wait - began > LONGEST_OUTAGE_SECONDS:
                raise
            log.warning(
                "the database is away (SQLSTATE %s); trying again in %.1f s",
                error.sqlstate or "none",
                wait,
            )
            await anyio.sleep(wait)
    return await work()


async def record_if_possible(
    pool: AsyncPool,
    subject: str,
    write: Callable[[psycopg.AsyncConnection[TupleRow]], Awaitable[object]],
) -> None:
    """Writes what others would like to know of ``subject``. Fails open, with a warning: what was
    done meanwhile is worth more than this record."""
    try:
        async with pool.connection() as connection:
            await write(connection)
    except psycopg.OperationalError as error:
        log.warning(
            "the state of %s cannot be recorded (SQLSTATE %s)", subject, error.sqlstate or "none"
        )


def _cannot_connect(url: str, error: psycopg.Error, setting: str) -> str:
    return (
        f"cannot connect to database {describe(url)} ({unreachable_because(error)}): check "
        f"{setting} and the server"
    )


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
