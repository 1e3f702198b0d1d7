"""What the first attempt makes of an accepted event: it is gone, or it is a failed event.

A row of ``tracking_accepted_events`` is deleted when it is delivered, and moves into
``tracking_failed_events`` under its own id when it is not; each in one statement with the record of
the attempt, so that an event is in one queue at any moment. One that is withheld moves there
resolved, for its trace, and one that is postponed moves there to wait: its code ``postponed`` says
that it has not failed. What Google accepted stays, with
``delivered_at`` set, until Google has judged it; a judgement against it makes it a failed event
after all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.accepted_events import MAX_RETRIES, WAITING
from tracking_pipeline.store.failed_events import (
    DELIVERED_BY_US,
    WITHHELD_BY,
    Settlement,
    settled_of,
)
from tracking_pipeline.store.leases import (
    CRASH_MESSAGE,
    LOCK_MILLISECONDS,
    MOST_LEASE_LOSSES,
    is_crashed,
)

JUDGED_LATER: LiteralString = "delivered at the first attempt; Google judged it later"
"""``error_message`` of an accepted event that was delivered and became a failed one so that its
delivery can be taken back."""

# A lead that is gone by now costs its event no more than the link to it.
_MOVE: LiteralString = """
    insert into public.tracking_failed_events (
        id, event_id, event_name, event_type, event_payload, destination, lead_id, session_id,
        created_at, updated_at, max_retries, status, retry_count, next_retry_at, resolved_at,
        resolved_by, dead_letter_reason, withheld_reason, error_message, error_code, http_status,
        failure_code, lease_token)
    select m.id, m.event_id, m.event_name, coalesce(m.event_type, 'conversion'), m.event_payload,
        m.destination, (select l.id from public.leads l where l.id = m.lead_id), m.session_id,
        m.created_at, now(), {max_retries}, {state}
    from {gone} m
"""

# Fenced by the token alone and joined once on each side, for the same reason as the settle of
# failed events. Two data-modifying parts may not touch one row: each outcome goes one way only.
_SETTLE: LiteralString = """
with settled as (
    select * from json_to_recordset(%(settlements)s::json) as s (
        id uuid, event_id uuid, lease_token bigint, outcome text, attempt integer, status text,
        retry_count integer, wait_seconds float8, dead_letter_reason text, withheld_reason text,
        postponed_until timestamptz, error_message text, error_code text, http_status integer,
        failure_code text, platform_message text, trace_id text, field_path text,
        requests integer, request_id uuid, duration_ms integer, warning text),
        set_config('lock_timeout', %(lock_milliseconds)s, true)
), gone as (
    delete from public.tracking_accepted_events a
    using settled s
    where a.id = s.id and a.lease_token = s.lease_token
      and (s.status is not null or s.postponed_until is not null)
      and not (s.outcome = 'delivered' and a.destination = any(%(answering_later)s))
    returning a.id, a.event_id, a.event_name, a.event_type, a.event_payload, a.destination,
        a.lead_id, a.session_id, a.created_at, s.lease_token, s.outcome, s.attempt, s.status,
        s.retry_count, s.wait_seconds, s.dead_letter_reason, s.withheld_reason, s.postponed_until,
        s.error_message, s.error_code, s.http_status, s.failure_code, s.platform_message,
        s.trace_id, s.field_path, s.requests, s.request_id, s.duration_ms, s.warning
), kept as (
    update public.tracking_accepted_events a
    set delivered_at = case when s.outcome = 'delivered' then now() end,
        lease_token = a.lease_token + 1,
        lease_expires_at = null,
        lease_losses = 0,
        lease_group = null
    from settled s
    where a.id = s.id and a.lease_token = s.lease_token
      and (s.status is null and s.postponed_until is null
        or s.outcome = 'delivered' and a.destination = any(%(answering_later)s))
    returning a.id, a.event_id, a.destination, s.lease_token, s.outcome, s.attempt,
        s.http_status, s.error_code, s.error_message, s.failure_code, s.platform_message,
        s.trace_id, s.field_path, s.requests, s.request_id, s.duration_ms, s.warning
), moved as ({move}
    where m.outcome <> 'delivered'
), written as (
    select id, event_id, destination, attempt, outcome, requests, request_id, http_status,
        error_code, error_message, failure_code, platform_message, trace_id, field_path,
        duration_ms, warning, lease_token
    from gone
    union all
    select id, event_id, destination, attempt, outcome, requests, request_id, http_status,
        error_code, error_message, failure_code, platform_message, trace_id, field_path,
        duration_ms, warning, lease_token
    from kept
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, request_id, http_status,
        error_code, error_message, failure_code, platform_message, trace_id, field_path,
        duration_ms, warning, lease_token, worker, run_id)
    select w.*, %(worker)s, %(run_id)s
    from written w
)
select count(*) from written
"""
_FAILED: LiteralString = """coalesce(m.status, 'pending'), coalesce(m.retry_count, 0),
        case
            when m.postponed_until is not null
            then greatest(m.postponed_until, now() + interval '1 second')
            when m.status = 'retrying' then now() + make_interval(secs => m.wait_seconds)
        end,
        case when m.withheld_reason is not null then now() end,
        case when m.withheld_reason is not null then {withheld} end,
        m.dead_letter_reason, m.withheld_reason,
        coalesce(m.error_message, m.error_code, m.dead_letter_reason, m.outcome), m.error_code,
        m.http_status, m.failure_code, m.lease_token + 1"""


def _moving(gone: LiteralString, state: LiteralString) -> sql.Composed:
    return sql.SQL(_MOVE).format(
        max_retries=sql.Literal(MAX_RETRIES),
        state=sql.SQL(state).format(
            ours=sql.Literal(DELIVERED_BY_US),
            withheld=sql.Literal(WITHHELD_BY),
            judged_later=sql.Literal(JUDGED_LATER),
        ),
        gone=sql.Identifier(gone),
    )


_SETTLE_STATEMENT = sql.SQL(_SETTLE).format(move=_moving("gone", _FAILED))


async def settle_first_attempts(
    connection: psycopg.AsyncConnection[Any],
    settlements: Sequence[Settlement],
    *,
    worker: str,
    run_id: str | None,
    answering_later: Sequence[str],
) -> set[UUID]:
    """Applies the settlements and writes their attempt rows, all in one statement: a row is deleted
    or becomes a failed event, or stays with its lease ended; so does what was delivered to one of
    the destinations ``answering_later``, who accept now and judge afterwards.

    Returns the ids that are settled, see ``settled_of``. Raises psycopg.errors.LockNotAvailable,
    with nothing changed, when somebody keeps one of the rows locked for longer than a moment.
    """
    cursor = await connection.execute(
        _SETTLE_STATEMENT,
        {
            "settlements": orjson.dumps(settlements).decode(),
            "lock_milliseconds": str(LOCK_MILLISECONDS),
            "worker": worker,
            "run_id": run_id,
            "answering_later": list(answering_later),
        },
    )
    return await settled_of(settlements, cursor)


_FIND_CRASHED: LiteralString = """
select a.id
from public.tracking_accepted_events a
where {crashed} and a.lease_losses > 0 and a.destination = any(%(destinations)s)
limit 1000
"""
_BURY: LiteralString = """
with lost as materialized (
    select a.id
    from public.tracking_accepted_events a
    where a.id = any(%(ids)s) and {crashed}
    for update skip locked
), gone as (
    delete from public.tracking_accepted_events a
    using lost
    where a.id = lost.id
    returning a.*
), moved as ({move}
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, error_code,
        failure_code, error_message, lease_token, worker, run_id)
    select g.id, g.event_id, g.destination, 1, 'rejected', 0, 'worker_crash', 'WORKER_CRASH',
        %(message)s, g.lease_token, %(worker)s, %(run_id)s
    from gone g
)
select destination, count(*) from gone group by destination
"""
_DEAD: LiteralString = """'dead_letter', 0, null, null, null, 'worker_crash', null, %(message)s,
        'worker_crash', null, 'WORKER_CRASH', m.lease_token + 1"""
_IS_CRASHED = is_crashed("a") + sql.SQL(" and ") + sql.SQL(WAITING)
_FIND_CRASHED_STATEMENT = sql.SQL(_FIND_CRASHED).format(crashed=_IS_CRASHED)
_BURY_STATEMENT = sql.SQL(_BURY).format(crashed=_IS_CRASHED, move=_moving("gone", _DEAD))


async def find_crashed_accepted_events(
    connection: psycopg.AsyncConnection[Any], destinations: Collection[str]
) -> list[UUID]:
    """Rows that take their workers down, up to a thousand of them."""
    arguments = {"losses": MOST_LEASE_LOSSES - 1, "destinations": list(destinations)}
    cursor = await connection.execute(_FIND_CRASHED_STATEMENT, arguments)
    return [row[0] for row in await cursor.fetchall()]


async def bury_crashed_accepted_events(
    connection: psycopg.AsyncConnection[Any],
    ids: Collection[UUID],
    *,
    worker: str,
    run_id: str | None,
) -> dict[str, int]:
    """Dead-letters those of the rows that take their workers down, in one statement. Returns how
    many, by destination."""
    arguments = {
        "losses": MOST_LEASE_LOSSES - 1,
        "ids": list(ids),
        "message": CRASH_MESSAGE,
        "worker": worker,
        "run_id": run_id,
    }
    cursor = await connection.execute(_BURY_STATEMENT, arguments)
    return {row[0]: row[1] for row in await cursor.fetchall()}


_REOPEN: LiteralString = """
with gone as (
    delete from public.tracking_accepted_events a
    using unnest(%s::uuid[], %s::bigint[]) as m (id, lease_token)
    where a.id = m.id and a.lease_token = m.lease_token + 1 and a.delivered_at is not null
    returning a.*
), moved as ({move}
)
select count(*) from gone
"""
_RESOLVED: LiteralString = """'resolved', 0, null, m.delivered_at, {ours}, null, null,
        {judged_later}, null, null, null, m.lease_token"""
_REOPEN_STATEMENT = sql.SQL(_REOPEN).format(move=_moving("gone", _RESOLVED))


async def reopen_delivered_events(
    connection: psycopg.AsyncConnection[Any], members: Mapping[UUID, int]
) -> int:
    """Makes failed events of rows that were delivered under these lease tokens, resolved as they
    stand: for a delivery that may have to be taken back. Returns how many there were."""
    cursor = await connection.execute(_REOPEN_STATEMENT, (list(members), list(members.values())))
    row = await cursor.fetchone()
    return row[0] if row else 0


_FORGET: LiteralString = """
delete from public.tracking_accepted_events a
where a.id = any(%s) and a.delivered_at is not null
"""


async def forget_delivered_events(
    connection: psycopg.AsyncConnection[Any], ids: Collection[UUID]
) -> None:
    """Deletes rows whose delivery is final."""
    await connection.execute(_FORGET, (list(ids),))


_FORGET_OLD: LiteralString = """
delete from public.tracking_accepted_events
where id in (
    select id from public.tracking_accepted_events
    where delivered_at < now() - make_interval(days => %s)
    limit 1000)
"""


async def forget_old_deliveries(connection: psycopg.AsyncConnection[Any], days: int) -> None:
    """Deletes up to a thousand rows that were delivered so long ago that nobody will judge them."""
    await connection.execute(_FORGET_OLD, (days,))
