"""Puts dead letters back into the queue, and looks after them.

It is one guarded update, so no row is replayed twice at once: the second one finds no dead letter.
What was replayed keeps its trace: ``replayed_at``, ``replays``, and the attempts before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString

from tracking_pipeline.store.dead_letters import FREE, FREE_WAITING
from tracking_pipeline.store.failed_events import STATEMENTS_OF_LEAD
from tracking_pipeline.store.fragments import LEAD_COLUMNS
from tracking_pipeline.store.withheld_events import WITHHELD

# What the ledger saw in the last hour is counted no further.
_LIVE_CAP = 600_000

# The columns are those of a claim, named as delivery names them.
_READ: LiteralString = """
select f.id, f.event_id, f.event_name, f.event_type, f.event_payload::text as payload,
    f.user_data::text as user_data, f.lead_id, f.session_id, 0 as retry_count,
    coalesce(f.max_retries, 5) as max_retries,
    case when f.created_at between '0001-01-02' and '9999-12-30' then f.created_at else now() end
        as created_at, f.destination, f.lease_token,
    {lead},
    case when f.lead_id is not null then {statements} end as statements
from public.tracking_failed_events f
left join public.leads l on l.id = f.lead_id
where f.id = any(%s) and f.status <> 'resolved'
"""


async def read_unsettled(
    connection: psycopg.AsyncConnection[Any], ids: Sequence[UUID], *, lock: bool
) -> dict[UUID, dict[str, Any]]:
    """Those of the rows that are dead letters or wait, by id, with their leads; the JSON columns
    are text.

    ``lock`` keeps them until the transaction ends, without those that another one has.
    """
    statement = sql.SQL(_READ).format(
        lead=sql.SQL(LEAD_COLUMNS), statements=sql.SQL(STATEMENTS_OF_LEAD)
    )
    if lock:
        statement += sql.SQL(" for update of f skip locked")
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, (list(ids),))
        return {row["id"]: row for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Replay:
    """How one row goes back. ``after_seconds`` from the start of the replay; None: at once, before
    everything that waits. ``payload`` is JSON text, None where it stays as it is."""

    id: UUID
    after_seconds: float | None
    payload: str | None = None


# Locked first, in one order and without waiting, so that two replays never wait for each other.
_PUT_BACK: LiteralString = """
with free as materialized (
    select f.id
    from public.tracking_failed_events f
    where f.id = any(%(ids)s)
      and {free}
    order by f.id
    for update skip locked
)
update public.tracking_failed_events f
set next_retry_at = %(started_at)s + make_interval(secs => replay.after_seconds),
    event_payload = coalesce(replay.payload::jsonb, f.event_payload),
    {as_new}
    updated_at = now()
from unnest(%(ids)s::uuid[], %(after)s::float8[], %(payloads)s::text[])
    as replay (id, after_seconds, payload)
join free using (id)
where f.id = replay.id
returning f.id
"""
# The token goes on, so that whoever held the row before cannot settle it any more.
_AS_NEW: LiteralString = """
    status = 'pending',
    retry_count = 0,
    dead_letter_reason = null,
    resolved_at = null,
    resolved_by = null,
    lease_token = f.lease_token + 1,
    lease_expires_at = null,
    lease_losses = 0,
    lease_group = null,
    replayed_at = now(),
    replays = coalesce(f.replays, 0) + 1,
"""


async def replay(
    connection: psycopg.AsyncConnection[Any], rows: Sequence[Replay], *, started_at: datetime
) -> set[UUID]:
    """Puts the rows back into the queue. Returns the ids of those that were dead letters still."""
    statement = sql.SQL(_PUT_BACK).format(free=sql.SQL(FREE), as_new=sql.SQL(_AS_NEW))
    return await _put_back(connection, statement, rows, started_at)


async def reschedule(
    connection: psycopg.AsyncConnection[Any], rows: Sequence[Replay], *, started_at: datetime
) -> set[UUID]:
    """Gives rows that wait another moment; they keep their tries and what is known of them. Returns
    the ids of those that waited still."""
    statement = sql.SQL(_PUT_BACK).format(free=sql.SQL(FREE_WAITING), as_new=sql.SQL(""))
    return await _put_back(connection, statement, rows, started_at)


async def _put_back(
    connection: psycopg.AsyncConnection[Any],
    statement: sql.Composed,
    rows: Sequence[Replay],
    started_at: datetime,
) -> set[UUID]:
    cursor = await connection.execute(
        statement,
        {
            "started_at": started_at,
            "ids": [row.id for row in rows],
            "after": [row.after_seconds for row in rows],
            "payloads": [row.payload for row in rows],
        },
    )
    return {row[0] for row in await cursor.fetchall()}


_STANDING: LiteralString = """
select f.id, case when {withheld} then 'withheld' else f.status end,
    coalesce(f.lease_expires_at > now(), false)
from public.tracking_failed_events f
where f.id = any(%s)
""".replace("{withheld}", WITHHELD)


async def read_standing(
    connection: psycopg.AsyncConnection[Any], ids: Sequence[UUID]
) -> dict[UUID, tuple[str, bool]]:
    """Each row's status, or ``withheld``, and whether a worker holds it just now."""
    cursor = await connection.execute(_STANDING, (list(ids),))
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


_LIVE: LiteralString = """
select count(*) / 60.0
from (
    select from public.wm_event_log
    where created_at > now() - interval '1 hour'
    limit %s) as last_hour
"""


async def read_live_rate(connection: psycopg.AsyncConnection[Any]) -> float:
    """The site's own events a minute, over the last hour of its ledger."""
    cursor = await connection.execute(_LIVE, (_LIVE_CAP,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an aggregate gives one row
    return float(row[0])
