"""The embedded PostgreSQL: one server under TRACKING_HOME, shared by all processes that use it.

Whoever needs it calls `hold`. The first one starts it, the others join it, the last one to leave
stops it. Four lock files carry that; a lock is gone when its holder is, however it died.

    start.lock   alone: by whoever starts or stops the server, or decides about it
    users.lock   shared: by everybody who uses the server; alone: tried, and only under start.lock,
                 to learn whether anybody does
    bell.lock    shared: by everybody who uses the server; alone: waited for by the keeper
    keeper.lock  alone: by the keeper, a small process that comes with the server

Joining: take start.lock. Take bell.lock and users.lock, shared. See that a keeper lives, else start
one and wait until it stands by. See that the server answers, else start it. Leave start.lock.
If anything fails on the way, leave as below.

Leaving: take start.lock. Leave users.lock, then try to get it alone. Got it: nobody else is there,
stop the server and wait until it is gone. Then leave bell.lock and start.lock.

The keeper: wait until bell.lock can be had alone, and leave it at once: it only rings. Then do as
a leaver does: take start.lock and try users.lock. Got it: stop the server, end. Else start over;
it sleeps again at once, for whoever holds users.lock holds bell.lock too.

Why it holds together:

- Every decision is made under start.lock, so no two are made at once. The order is always start,
  then the others; nobody who holds bell.lock alone waits for anything. So nobody waits in a circle.
- The bell is a lock of its own, so that the keeper, waking up when the last user leaves, cannot be
  mistaken for a user by that leaver: users.lock it touches under start.lock alone.
- A user that is killed loses its three locks together. The last one killed rings the bell, also in
  the middle of joining or leaving: the keeper was there before the server.
- A keeper ends under start.lock and only when nobody uses the server. Who joins finds either one
  that stays or none. A keeper that was killed is replaced by the next one who joins.
- A forked child shares its parent's locks, so it counts as a user until it ends or executes
  another program. Leaving, in either, gives up that one's share only (lock.py).
- The postmaster may be killed under its users. Nobody is told; their connections break, and the
  next `hold`, by any of them, starts it again, on the same port if that is still free.
- `rm -rf` of the home under a running server: the server notices within a minute and ends, the
  keeper finds no files and ends.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from tracking_pipeline.postgres.binaries import wheel_binaries
from tracking_pipeline.postgres.folder import (
    EmbeddedFolder,
    EmbeddedPostgresError,
    ServerRecord,
    read_record,
    this_machine,
)
from tracking_pipeline.postgres.keeper import ensure_keeper
from tracking_pipeline.postgres.lock import (
    FileLock,
    try_exclusive,
    wait_exclusive,
    wait_shared,
)
from tracking_pipeline.postgres.process import stop_server
from tracking_pipeline.postgres.start import answers, start

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "hold", "hold_with"]

_CREATE_DATABASE_LOCK = 0x7470_6462
"""Advisory lock of database `postgres`, held while a database is made: any fixed number does."""


def hold(home: Path) -> EmbeddedPostgres:
    """Starts the embedded server of this TRACKING_HOME, or joins it; returns when it serves.

    Raises EmbeddedPostgresError with one line that names the cause and the way out.
    """
    return hold_with(home, wheel_binaries(), {})


def hold_with(home: Path, binaries: Path, settings: Mapping[str, str]) -> EmbeddedPostgres:
    """Does as `hold` does, on the PostgreSQL in the bin folder `binaries`.

    settings: server settings that go on top of ours when this call starts the server.
    """
    folder = EmbeddedFolder.under(home)
    try:
        folder.create()
        with wait_exclusive(folder.start_lock):
            return _join(folder, binaries, settings)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the embedded PostgreSQL cannot use {error.filename or folder.root} "
            f"({error.strerror}): set TRACKING_HOME to a folder that you own and can write"
        ) from error


def _join(folder: EmbeddedFolder, binaries: Path, settings: Mapping[str, str]) -> EmbeddedPostgres:
    """Becomes a user of the server under start.lock; on failure, leaves it as found."""
    others = _somebody_uses(folder)
    with ExitStack() as undo:
        bell = undo.enter_context(wait_shared(folder.bell_lock))
        undo.callback(_stop_if_unused, folder)
        users = undo.enter_context(wait_shared(folder.users_lock))
        ensure_keeper(folder)
        record = read_record(folder)
        if record is None or not answers(folder, record):
            if others and record is not None and record.machine != this_machine():
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL under {folder.root} is in use on another machine or "
                    "in another container, where it cannot be reached from here: set "
                    "TRACKING_DATABASE_URL and DAGSTER_POSTGRES_URL to one server for all of them"
                )
            record = start(folder, binaries, settings)
        undo.pop_all()
        return EmbeddedPostgres(folder, record, users, bell)


def _somebody_uses(folder: EmbeddedFolder) -> bool:
    alone = try_exclusive(folder.users_lock)
    if alone is None:
        return True
    alone.close()
    return False


def _stop_if_unused(folder: EmbeddedFolder) -> None:
    """Stops the server unless somebody uses it. Call it under start.lock, users.lock left."""
    if not _somebody_uses(folder):
        stop_server(folder.data)


class EmbeddedPostgres:
    """One hold on the embedded server; a context manager. The server runs while anybody has one.

    Made by `hold`. It is also left when the process ends in an orderly way. Threads may share it,
    and a forked child has a share of its own.
    """

    def __init__(
        self, folder: EmbeddedFolder, record: ServerRecord, users: FileLock, bell: FileLock
    ) -> None:
        self._folder = folder
        self._record = record
        self._users = users
        self._bell = bell
        self._released = False
        atexit.register(self.release)

    def url(self, database: str) -> str:
        """Gives the URL of a database of this server, for psycopg, psycopg2 and SQLAlchemy; no I/O.

        It has the password in it: keep it out of logs.
        """
        return self._record.url(database)

    def database_exists(self, name: str) -> bool:
        """Tells whether the server has a database of that name. Raises EmbeddedPostgresError."""
        with self._connect() as connection:
            return _has_database(connection, name)

    def ensure_database(self, name: str) -> str:
        """Creates the database if it is absent, and gives its URL.

        Any number of processes may call it at once. Raises EmbeddedPostgresError.
        """
        with self._connect() as connection:
            # CREATE DATABASE has no IF NOT EXISTS and does not wait for another one of that name.
            connection.execute("SELECT pg_advisory_lock(%s)", [_CREATE_DATABASE_LOCK])
            if not _has_database(connection, name):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def release(self) -> None:
        """Leaves the server; the last one to leave stops it and returns when it is gone.

        Any further call does nothing. Raises EmbeddedPostgresError when the server will not stop.
        """
        if self._released:
            return
        self._released = True
        atexit.unregister(self.release)
        with self._bell, ExitStack() as decision:
            try:
                decision.enter_context(wait_exclusive(self._folder.start_lock, create=False))
            except FileNotFoundError:  # the whole home was deleted: the server ends by itself
                self._users.close()
                return
            self._users.close()
            _stop_if_unused(self._folder)

    def __enter__(self) -> EmbeddedPostgres:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        try:
            return psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise EmbeddedPostgresError(
                f"the embedded PostgreSQL under {self._folder.root} does not answer any more: "
                f"start again; {self._folder.log} may tell why"
            ) from error


def _has_database(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    return found is not None
