"""The mark of a rehearsal database: a row that says "nothing in here is real".

The sandbox serves a marked database only, and configured destinations never serve one. So no real
row can be marked delivered by a stand-in, and no sample row can reach a platform. The mark travels
with the database; an address never decides.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tracking_pipeline.store.database import DatabaseError

_TABLE = "public.tracking_rehearsal_mark"
_LOCK_KEY = int.from_bytes(b"mark", "big")


def mark_rehearsal(connection: psycopg.Connection[Any]) -> None:
    """Marks the database. Only for one that this project made itself, for rehearsal. Several may
    mark it at once."""
    if is_rehearsal(connection):
        return
    with connection.transaction():
        # "if not exists" alone fails for one of two that make it at the same moment.
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        connection.execute(
            "create table if not exists public.tracking_rehearsal_mark ("
            "only_row boolean primary key default true check (only_row))"
        )
        connection.execute(
            "insert into public.tracking_rehearsal_mark default values on conflict do nothing"
        )


def is_rehearsal(connection: psycopg.Connection[Any]) -> bool:
    """Whether the database carries the mark. Raises :class:`DatabaseError` where that cannot be
    told: a guess in either direction could send sample rows out or swallow real ones.
    """
    try:
        row = connection.execute("select to_regclass(%s) is not null", (_TABLE,)).fetchone()
        if row is None or not row[0]:
            return False
        marked = connection.execute("select from public.tracking_rehearsal_mark").fetchone()
        return marked is not None
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            f"{_TABLE} cannot be read, so whether this is a rehearsal cannot be told: "
            "grant select on it to the connected role"
        ) from None
