"""Leases of a queue's rows: whoever holds a row's newest token may renew, release or settle it.

A claim makes the lease and a settle ends it; these differ by queue and stand with it. What happens
in between is the same for both.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

QueueTable = Literal["tracking_failed_events", "tracking_accepted_events"]

LEASE_SECONDS = 60
# The fifth lease lost in a row: whatever takes the worker down with this event will do so again.
MOST_LEASE_LOSSES = 5

_RENEW: LiteralString = """
update public.{table} as q
set lease_expires_at = now() + make_interval(secs => %s)
from unnest(%s::uuid[], %s::bigint[]) as held (id, lease_token)
where q.id = held.id and q.lease_token = held.lease_token and q.lease_expires_at is not null
returning q.id
"""


async def renew_leases(
    connection: psycopg.AsyncConnection[Any], table: QueueTable, tokens: dict[UUID, int]
) -> set[UUID]:
    """Gives the held rows a whole lease again. Returns the ids that were still ours."""
    cursor = await connection.execute(
        _of(table, _RENEW), (LEASE_SECONDS, list(tokens), list(tokens.values())), binary=True
    )
    return {row[0] for row in await cursor.fetchall()}


_RELEASE: LiteralString = """
update public.{table} as q
set lease_expires_at = null, lease_token = q.lease_token + 1
from unnest(%s::uuid[], %s::bigint[]) as held (id, lease_token)
where q.id = held.id and q.lease_token = held.lease_token
"""


async def release_leases(
    connection: psycopg.AsyncConnection[Any], table: QueueTable, tokens: dict[UUID, int]
) -> None:
    """Hands back rows that were claimed and never started: nothing spent, due as before."""
    await connection.execute(_of(table, _RELEASE), (list(tokens), list(tokens.values())))


def _of(table: QueueTable, statement: LiteralString) -> sql.Composed:
    return sql.SQL(statement).format(table=sql.Identifier(table))
