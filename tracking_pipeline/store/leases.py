"""Leases of a queue's rows: whoever holds a row's newest token may renew, release or settle it.

A claim makes the lease and a settle ends it; these differ by queue and stand with it. What happens
in between is the same for both.

A lease that runs out was lost with its worker, and any of the rows that the worker held may have
taken it down. The culprit is searched for in ever smaller groups:

    clean      not lost since its last settle; claimed with as many others as there is room for
    suspect    lost; claimed apart from what is clean, each time with half as many others at most
    crashed    lost five times in a row or more, the last time alone: this is the culprit

``lease_losses`` counts the losses in a row, and ``lease_group`` is the number of rows that the last
claim took. A settle makes a row clean again: its worker has survived it. A release proves nothing:
of a suspect it leaves both as they are.

Where a destination would count a second event twice, ``sent_lease_token`` says under which lease a
request with the row began. While that is the row's newest token, nobody knows what came of it: a
claim and a release keep it so. A settle, whose token is a newer one, ends the doubt, and so does
the release of a row that is known not to have left.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

QueueTable = Literal["tracking_failed_events", "tracking_accepted_events"]

LEASE_SECONDS = 60
# Of a row that was alone the last time: whatever takes the worker down with it will do so again.
# Not the first time, because a machine may go down with whatever is under way.
MOST_LEASE_LOSSES = 5

# How long a settle waits for a row that somebody has locked, before it is done without that row.
LOCK_MILLISECONDS = 1_000

CRASH_MESSAGE = (
    "workers were lost again and again while they held this event, the last one while it held no "
    "other"
)

_CLEAN: LiteralString = "({q}.lease_expires_at is null and {q}.lease_losses = 0)"
# `losses` is one less than the most: this one is not counted yet.
_CRASHED: LiteralString = """({q}.lease_expires_at <= now()
          and {q}.lease_losses >= %(losses)s and {q}.lease_group = 1)"""
_SUSPECT: LiteralString = """(({q}.lease_expires_at <= now()
            or {q}.lease_expires_at is null and {q}.lease_losses > 0)
          and {crashed} is not true)"""

_LOSSES: LiteralString = "({q}.lease_losses + ({q}.lease_expires_at is not null)::integer)"
_IN_DOUBT: LiteralString = "({q}.sent_lease_token is not distinct from {q}.lease_token)"
_STAYS_IN_DOUBT: LiteralString = (
    "case when {q}.sent_lease_token = {q}.lease_token then {q}.lease_token + 1 end"
)
# Half of those with which it was lost; as many as last time where it was handed back.
_SIZE: LiteralString = """greatest(1, coalesce({q}.lease_group, %(limit)s)
            / case when {q}.lease_expires_at is null then 1 else 2 end)"""
# The least often lost come first. Where one row is the culprit, all others are delivered before it
# is tried again; where workers are lost for another reason, every suspect has to be lost with ever
# fewer others before a single one is blamed.
_NEXT_GROUP: LiteralString = """next_group as materialized (
    select {losses} as losses, {size} as size
    from {suspects}
    order by 1, 2 desc
    limit 1
), """
# All of one group have one history, so that none is tried again with more than half of its mates.
_OF_NEXT_GROUP: LiteralString = """{suspects}
      and ({losses}, {size}) = (select g.losses, g.size from next_group g)"""


@dataclass(frozen=True)
class Wanted:
    """Which rows a claim takes, as parts of its statement: ``rows`` stands after its ``from``,
    ``most`` after its ``limit``, and ``before`` before the part that has both."""

    rows: sql.Composable
    most: sql.Composable
    before: sql.Composable


def all_of(rows: sql.Composable) -> Wanted:
    """As many of the rows as a claim has room for."""
    return Wanted(rows, most=sql.SQL("%(limit)s"), before=sql.SQL(""))


def next_group(row: LiteralString, suspects: sql.Composable) -> Wanted:
    """Of all suspects those that are to be claimed next. ``suspects`` is what would stand after
    ``from``, and calls each of them ``row``."""
    history = {"losses": _of_row(row, _LOSSES), "size": _of_row(row, _SIZE)}
    return Wanted(
        sql.SQL(_OF_NEXT_GROUP).format(suspects=suspects, **history),
        most=sql.SQL("(select least(g.size, %(limit)s) from next_group g)"),
        before=sql.SQL(_NEXT_GROUP).format(suspects=suspects, **history),
    )


def is_clean(row: LiteralString) -> sql.Composed:
    """The condition: nobody holds the row, and no worker was lost with it since its last settle."""
    return _of_row(row, _CLEAN)


def is_crashed(row: LiteralString) -> sql.Composed:
    """The condition: it is what takes its workers down."""
    return _of_row(row, _CRASHED)


def is_suspect(row: LiteralString) -> sql.Composed:
    """The condition: a worker was lost with it, and nobody knows whether it is the culprit."""
    return sql.SQL(_SUSPECT).format(q=sql.SQL(row), crashed=is_crashed(row))


def is_in_doubt(row: LiteralString) -> sql.Composed:
    """The condition: whoever held the row last began to send it and settled nothing."""
    return _of_row(row, _IN_DOUBT)


def stays_in_doubt(row: LiteralString) -> sql.Composed:
    """The ``sent_lease_token`` of a row whose token a statement raises without knowing more."""
    return _of_row(row, _STAYS_IN_DOUBT)


def _of_row(row: LiteralString, fragment: LiteralString) -> sql.Composed:
    return sql.SQL(fragment).format(q=sql.SQL(row))


# Rows that somebody else has locked are left out: nobody waits here for one of them with the leases
# of all others in hand. Whose token is read without a lock was ours a moment ago.
_HELD: LiteralString = """with held as materialized (
    select q.id
    from public.{table} q
    join unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) as ours (id, lease_token)
      on q.id = ours.id and q.lease_token = ours.lease_token
    where q.lease_expires_at is not null
), free as materialized (
    select q.id
    from public.{table} q
    join unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) as ours (id, lease_token)
      on q.id = ours.id and q.lease_token = ours.lease_token
    where q.lease_expires_at is not null
    for update of q skip locked
)"""
_RENEW: LiteralString = """
{held}, renewed as (
    update public.{table} as q
    set lease_expires_at = now() + make_interval(secs => %(seconds)s)
    from free
    where q.id = free.id
    returning q.id
)
select id, true from renewed
union all
select id, false from held
"""


async def renew_leases(
    connection: psycopg.AsyncConnection[Any], table: QueueTable, tokens: dict[UUID, int]
) -> dict[UUID, bool]:
    """Gives the held rows a whole lease again. Returns the ids that were still ours, and of each
    whether it was renewed: a row that somebody has locked was not."""
    cursor = await connection.execute(
        _of(table, _RENEW), {**_held(tokens), "seconds": LEASE_SECONDS}, binary=True
    )
    held = await cursor.fetchall()
    # Not joined in the statement: the planner expects few rows and would compare each with each.
    renewed = {row_id for row_id, is_renewed in held if is_renewed}
    return {row_id: row_id in renewed for row_id, _ in held}


# All of them or none: what is marked and then not sent would be given up for nothing.
_MARK_SENT: LiteralString = """
with ours as materialized (
    select q.id
    from public.{table} q
    join unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) as ours (id, lease_token)
      on q.id = ours.id and q.lease_token = ours.lease_token,
    set_config('lock_timeout', %(lock_milliseconds)s, true)
    where q.lease_expires_at > now()
    for update of q
)
update public.{table} as q
set sent_lease_token = q.lease_token
from ours
where q.id = ours.id and (select count(*) from ours) = cardinality(%(ids)s)
"""


async def mark_sent(
    connection: psycopg.AsyncConnection[Any], table: QueueTable, tokens: dict[UUID, int]
) -> bool:
    """Says on the held rows that a request with them begins. False, and nothing is said, where one
    of them is not held any more. Raises psycopg.errors.LockNotAvailable where somebody keeps one
    locked."""
    arguments = {**_held(tokens), "lock_milliseconds": str(LOCK_MILLISECONDS)}
    cursor = await connection.execute(_of(table, _MARK_SENT), arguments)
    return cursor.rowcount == len(tokens)


_RELEASE: LiteralString = """
{held}
update public.{table} as q
set lease_expires_at = null, lease_token = q.lease_token + 1,
    sent_lease_token = case when not %(unsent)s then {stays_in_doubt} end,
    lease_group = case when q.lease_losses > 0 then q.lease_group end
from free
where q.id = free.id
"""


async def release_leases(
    connection: psycopg.AsyncConnection[Any],
    table: QueueTable,
    tokens: dict[UUID, int],
    *,
    unsent: bool = False,
) -> None:
    """Hands back rows that were claimed and never started: nothing spent, due as before. The lease
    of one that somebody has locked is left to run out.

    ``unsent``: no request carried them, whatever was put on record before it was to begin."""
    await connection.execute(_of(table, _RELEASE), {**_held(tokens), "unsent": unsent})


_LOCKED: LiteralString = """
with free as materialized (
    select q.id from public.{table} q where q.id = any(%(ids)s) for update skip locked
)
select q.id
from public.{table} q
where q.id = any(%(ids)s) and not exists (select from free where free.id = q.id)
"""


async def find_locked(
    connection: psycopg.AsyncConnection[Any], table: QueueTable, ids: Collection[UUID]
) -> set[UUID]:
    """Which of the rows another transaction has locked at this moment."""
    cursor = await connection.execute(_of(table, _LOCKED), {"ids": list(ids)})
    return {row[0] for row in await cursor.fetchall()}


def _held(tokens: dict[UUID, int]) -> dict[str, Any]:
    return {"ids": list(tokens), "tokens": list(tokens.values())}


def _of(table: QueueTable, statement: LiteralString) -> sql.Composed:
    name = sql.Identifier(table)
    return sql.SQL(statement).format(
        table=name, held=sql.SQL(_HELD).format(table=name), stays_in_doubt=stays_in_doubt("q")
    )
