"""Conversions of the ledger that a destination has never seen, and how they enter its queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString

from tracking_pipeline.store.fragments import LEAD_COLUMNS
from tracking_pipeline.store.ledger import COLUMNS
from tracking_pipeline.store.match_key_rollup import CONVERSION, ConversionRule

PAGE = 500
MESSAGE: LiteralString = "handed over by a backfill, not sent yet"
"""What the row says in the place of an error. Its code is ``postponed``: it never failed."""

# Three conditions and no "or": only then are they joins. An event that was accepted before the
# start may have been sent since, and is in no queue any more.
_UNSEEN: LiteralString = """
    not exists (
        select from public.tracking_failed_events f
        where f.event_id = {event_id} and f.destination = %(destination)s)
    and not exists (
        select from public.tracking_accepted_events a
        where a.event_id = {event_id} and a.destination = %(destination)s)
    and not exists (
        select from public.tracking_delivery_attempts t
        where t.event_id = {event_id} and t.destination = %(destination)s
          and t.attempted_at >= %(started_at)s)"""

# An event's attempts come after its row in the ledger, so the window bounds both sides. The queues
# are looked into page by page: they grow meanwhile, and a plan that was made when they were empty
# would read all of them for each row.
_STREAM: LiteralString = """
select e.event_id
from public.wm_event_log e
where e.created_at >= %(since)s and e.created_at < %(until)s
  and e.event_id is not null
  and {conversion}
  and not exists (
    select from public.tracking_delivery_attempts t
    where t.event_id = e.event_id and t.destination = %(destination)s
      and t.attempted_at >= %(since)s)
order by e.created_at, e.event_id
"""
# Both sides may be large, and statistics of a destination that is new are none.
_AS_HASH_JOIN: LiteralString = """
select set_config('enable_nestloop', 'off', true), set_config('cursor_tuple_fraction', '1', true)
"""


# The columns are those of a claim.
_READ: LiteralString = """
select e.event_id as id, e.event_id, coalesce(e.event_name, 'unknown') as event_name, e.event_type,
    jsonb_strip_nulls({payload})::text as payload, null as user_data, l.id as lead_id, e.session_id,
    0 as retry_count, 5 as max_retries, e.created_at, 0 as lease_token, {lead}
from public.wm_event_log e
left join public.leads l on l.id = e.lead_id
where e.event_id = any(%(ids)s)
  and {unseen}
order by e.created_at, e.event_id
"""


def _payload() -> sql.Composed:
    """The event as an object with the ledger's names; one without a time was at its row's."""
    times = {"event_time": sql.SQL("coalesce(e.event_time, e.created_at)")}
    parts = [
        sql.SQL("{}, {}").format(
            sql.Literal(name), times.get(name, sql.SQL("e.{}").format(sql.Identifier(name)))
        )
        for name in COLUMNS
    ]
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(parts))


async def stream_conversions_without_attempt(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    rule: ConversionRule,
    *,
    since: datetime,
    until: datetime,
) -> AsyncGenerator[list[UUID], None]:
    """The ids of the conversions written within [since, until) that the destination was never sent,
    the oldest first, in pages of :data:`PAGE`. Of one snapshot."""
    arguments = {
        "destination": destination,
        "since": since,
        "until": until,
        "names": list(rule.names),
        "by_type": rule.by_type,
    }
    async with connection.transaction():
        await connection.execute(_AS_HASH_JOIN)
        async with connection.cursor(name="conversions_without_attempt") as cursor:
            await cursor.execute(sql.SQL(_STREAM).format(conversion=sql.SQL(CONVERSION)), arguments)
            while page := await cursor.fetchmany(PAGE):
                yield [row[0] for row in page]


async def read_unseen(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    ids: Sequence[UUID],
    *,
    started_at: datetime,
) -> list[dict[str, Any]]:
    """Those of the conversions that the destination has not been handed either, the oldest first,
    as a claim gives rows (without ``now``). ``started_at``: the beginning of the stream."""
    statement = sql.SQL(_READ).format(
        payload=_payload(),
        lead=sql.SQL(LEAD_COLUMNS),
        unseen=sql.SQL(_UNSEEN).format(event_id=sql.SQL("e.event_id")),
    )
    arguments = {"destination": destination, "ids": list(ids), "started_at": started_at}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, arguments)
        return await cursor.fetchall()


# Of two backfills, the second one's statement begins when the first one's rows are there to see.
_ONE_AT_A_TIME: LiteralString = (
    "select pg_advisory_xact_lock(hashtext('tracking_backfill'), hashtext(%s))"
)
# Replayed rows have their leads asked what they say of consent by now; so do these.
_HAND_OVER: LiteralString = """
insert into public.tracking_failed_events (
    event_id, event_name, event_type, event_payload, destination, error_message, error_code,
    lead_id, session_id, status, next_retry_at, replayed_at)
select distinct on (g.event_id) g.event_id, g.event_name, coalesce(g.event_type, 'conversion'),
    g.event_payload, %(destination)s, %(message)s, 'postponed', g.lead_id, g.session_id, 'pending',
    %(started_at)s + make_interval(secs => g.after_seconds), now()
from json_to_recordset(%(rows)s::json) as g (
    event_id uuid, event_name text, event_type text, event_payload jsonb, lead_id uuid,
    session_id uuid, after_seconds float8)
where {unseen}
order by g.event_id, g.after_seconds
"""


@dataclass(frozen=True, slots=True)
class HandOver:
    """One conversion on its way into the queue: a row of :func:`read_unseen`, due so long after
    the start."""

    row: dict[str, Any]
    after_seconds: float


async def hand_over(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    page: Sequence[HandOver],
    *,
    started_at: datetime,
) -> int:
    """Puts the conversions into the queue of failed events that the destination still has not seen.
    Returns how many."""
    names = ("event_id", "event_name", "event_type", "lead_id", "session_id")
    rows = [
        {
            **{name: each.row[name] for name in names},
            "event_payload": orjson.Fragment(each.row["payload"]),
            "after_seconds": each.after_seconds,
        }
        for each in page
    ]
    statement = sql.SQL(_HAND_OVER).format(
        unseen=sql.SQL(_UNSEEN).format(event_id=sql.SQL("g.event_id"))
    )
    async with connection.transaction():
        await connection.execute(_ONE_AT_A_TIME, (destination,))
        cursor = await connection.execute(
            statement,
            {
                "rows": orjson.dumps(rows).decode(),
                "destination": destination,
                "message": MESSAGE,
                "started_at": started_at,
            },
        )
    return cursor.rowcount


_LAST_DUE: LiteralString = """
select coalesce(extract(epoch from max(f.next_retry_at) - now()), 0)::float8
from public.tracking_failed_events f
where f.destination = %s and f.status in ('pending', 'retrying') and f.error_code = 'postponed'
  and f.error_message = %s
"""


async def read_last_due_seconds(
    connection: psycopg.AsyncConnection[Any], destination: str
) -> float:
    """In how many seconds the last event of an earlier backfill is due; 0 where none waits."""
    cursor = await connection.execute(_LAST_DUE, (destination, MESSAGE))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an aggregate gives one row
    return max(float(row[0]), 0.0)
