"""The queue: how ``tracking_failed_events`` is claimed, renewed, released, settled and rid of what
takes workers down.

A row is claimed by setting ``lease_token`` and ``lease_expires_at``; it keeps its status, because a
dashboard in front of this table knows four statuses only. Whoever holds the newest token may renew,
release or settle the row; a statement with an older token changes nothing. Only the database's
``now()`` counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString

from tracking_pipeline.store.fragments import LEAD_COLUMNS, due_at, lease_is_free
from tracking_pipeline.store.leases import (
    CRASH_MESSAGE,
    LEASE_SECONDS,
    LOCK_MILLISECONDS,
    MOST_LEASE_LOSSES,
    Wanted,
    all_of,
    is_clean,
    is_crashed,
    is_in_doubt,
    is_suspect,
    next_group,
    stays_in_doubt,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of one destination a run takes.

    ``due_only`` leaves out rows whose ``next_retry_at`` is still to come. ``event_id`` names one
    row, by its own id or by its event's. ``started_at`` (database time) keeps a run that takes rows
    which are not due from taking what it has just tried.
    """

    started_at: datetime
    due_only: bool = True
    event_id: UUID | None = None


# Not frozen, which would treble what it costs to make one; nobody changes one.
@dataclass(slots=True)
class Settlement:
    """What one attempt made of one row, and the attempt's own record.

    ``wait_seconds`` is set for a row that waits for its next retry. ``status`` None leaves the
    row's state as it is (throttled, paused): only the lease ends; with ``postponed_until`` it also
    waits until then. ``withheld_reason`` goes with the status ``resolved``: nothing was sent.
    ``warning`` has the kinds of what the destination warned of, in a delivery all the same, with
    :data:`WARNINGS_BETWEEN` between them.
    """

    id: UUID
    event_id: UUID
    lease_token: int
    outcome: str
    attempt: int
    status: str | None = None
    retry_count: int | None = None
    wait_seconds: float | None = None
    dead_letter_reason: str | None = None
    withheld_reason: str | None = None
    postponed_until: datetime | None = None
    error_message: str | None = None
    error_code: str | None = None
    http_status: int | None = None
    failure_code: str | None = None
    platform_message: str | None = None
    trace_id: str | None = None
    field_path: str | None = None
    requests: int = 1
    request_id: UUID | None = None
    duration_ms: int | None = None
    duplicate: str | None = None
    warning: str | None = None


DELIVERED_BY_US = "tracking_pipeline"
"""``resolved_by`` of what the pipeline delivered itself; anything else is a human's doing, but for
:data:`WITHHELD_BY`."""
WITHHELD_BY = "withheld"
"""``resolved_by`` of a row that was settled without being sent; ``withheld_reason`` says why."""
WARNINGS_BETWEEN = ", "
MOST_RETRIES = 2**31 - 1
"""More the column cannot hold; a site's row may have this many already."""

_DUE_AT = due_at("f")
_NOT_TRIED_IN_THIS_RUN: LiteralString = """and not exists (
        select from public.tracking_delivery_attempts a
        where a.failed_event_id = f.id and a.attempted_at >= %(started_at)s
          and a.outcome not in ('throttled', 'paused'))"""
_NAMED: LiteralString = "and (f.id = %(event_id)s or f.event_id = %(event_id)s)"
_OF_DESTINATION: LiteralString = """public.tracking_failed_events f
    where f.destination = %(destination)s
      and f.status in ('pending', 'retrying')
      and {free}
      {selected}"""


# Any of the first, and not the oldest again and again: one that draws the fault all by itself must
# not keep its destination closed.
_ONE_TO_PROBE: LiteralString = """
      and f.id = (
          select first.id
          from (
              select f.id
              from {clean}
              order by {due_at}, f.id
              limit 1000) as first
          order by random()
          limit 1)"""


def _selected(selection: Selection) -> sql.Composed:
    conditions: list[LiteralString] = []
    if selection.due_only and selection.event_id is None:
        conditions.append(f"and {_DUE_AT} <= now()")
    else:
        conditions.append(_NOT_TRIED_IN_THIS_RUN)
    if selection.event_id is not None:
        conditions.append(_NAMED)
    return sql.SQL("\n      ").join(sql.SQL(condition) for condition in conditions)


def _arguments(selection: Selection) -> dict[str, Any]:
    return {"started_at": selection.started_at, "event_id": selection.event_id}


# What the site keeps of a lead's consent by now, newest first: the lead's own columns that speak of
# it, then its newest events. Of what is sent again after a while only; the person may have thought
# better of it meanwhile.
STATEMENTS_OF_LEAD: LiteralString = """(
        select jsonb_build_array(
            (select jsonb_object_agg(column_of.key, column_of.value)
             from jsonb_each(to_jsonb(l)) as column_of
             where column_of.key ~* 'consent|opt_?out|ad_storage|ad_user_data'
               and column_of.value not in ('null', '""')))
          || coalesce((
            select jsonb_agg(jsonb_build_object('metadata', e.metadata, 'user_data', e.user_data)
                             order by e.created_at desc)
            from (select e.metadata, e.user_data, e.created_at
                  from public.wm_event_log e
                  where e.lead_id = l.id
                  order by e.created_at desc
                  limit 20) as e), '[]'))::text"""

_READ_STATEMENTS: LiteralString = """
select l.id, {statements} as statements from public.leads l where l.id = any(%s)
"""


async def read_statements_of_leads(
    connection: psycopg.AsyncConnection[Any], lead_ids: Collection[UUID | None]
) -> dict[UUID, str]:
    """What the site keeps of these leads' consent by now, as JSON text: a list, newest first.

    Raises psycopg.Error where the event log cannot be read.
    """
    statement = sql.SQL(_READ_STATEMENTS).format(statements=sql.SQL(STATEMENTS_OF_LEAD))
    cursor = await connection.execute(statement, (list(lead_ids),))
    return dict(await cursor.fetchall())


# MATERIALIZED: otherwise the planner may join the two scans so that more rows than the limit are
# updated. The lead's columns are read in the same statement: one round trip a batch.
_CLAIM: LiteralString = """
with {before}due as materialized (
    select f.id
    from {rows}
      and (%(probe)s or not exists (
          select from public.tracking_destination_state s
          where s.destination = %(destination)s
            and (s.state <> 'closed' or s.not_before > now())))
    order by {due_at}, f.id
    limit {most}
    for update skip locked
), claimed as (
    update public.tracking_failed_events f
    set lease_token = f.lease_token + 1,
        sent_lease_token = {stays_in_doubt},
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s),
        lease_losses = f.lease_losses + (f.lease_expires_at is not null)::int,
        lease_group = (select count(*) from due)
    from due
    where f.id = due.id
    returning f.id, f.event_id, f.event_name, f.event_type, f.event_payload, f.user_data, f.lead_id,
        f.session_id, f.retry_count, f.max_retries, f.created_at, f.lease_token, f.sent_lease_token,
        f.replayed_at
)
select c.id, c.event_id, c.event_name, c.event_type, c.event_payload::text as payload,
    c.user_data::text as user_data, c.lead_id, c.session_id,
    coalesce(c.retry_count, 0) as retry_count, coalesce(c.max_retries, 5) as max_retries,
    case when c.created_at between '0001-01-02' and '9999-12-30' then c.created_at else now() end
        as created_at, now() as now, c.lease_token, {is_in_doubt} as in_doubt,
    {lead},
    c.replayed_at is not null as is_replayed
from claimed c
left join public.leads l on l.id = c.lead_id
"""


def _wanted(selection: Selection, *, probe: bool, suspects: bool) -> Wanted:
    rows = sql.SQL(_OF_DESTINATION)
    selected = _selected(selection)
    if suspects:
        return next_group("f", rows.format(free=is_suspect("f"), selected=selected))
    clean = rows.format(free=is_clean("f"), selected=selected)
    return all_of(
        clean + sql.SQL(_ONE_TO_PROBE).format(clean=clean, due_at=sql.SQL(_DUE_AT))
        if probe
        else clean
    )


async def claim_due_events(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    selection: Selection,
    limit: int,
    *,
    probe: bool = False,
    suspects: bool = False,
) -> list[dict[str, Any]]:
    """Leases up to ``limit`` rows of one destination, oldest due first, and returns them: of those
    with which no worker was lost, or one group of the ``suspects``.

    An empty list while the destination is paused or throttled for all, unless this is the
    ``probe``, which takes one of the first thousand.

    Each row is a mapping of the columns in the statement; ``payload`` and ``user_data`` are JSON
    text.
    """
    wanted = _wanted(selection, probe=probe, suspects=suspects)
    statement = sql.SQL(_CLAIM).format(
        before=wanted.before,
        rows=wanted.rows,
        most=wanted.most,
        due_at=sql.SQL(_DUE_AT),
        lead=sql.SQL(LEAD_COLUMNS),
        stays_in_doubt=stays_in_doubt("f"),
        is_in_doubt=is_in_doubt("c"),
    )
    arguments = {
        **_arguments(selection),
        "destination": destination,
        "limit": limit,
        "lease_seconds": LEASE_SECONDS,
        "losses": MOST_LEASE_LOSSES - 1,
        "probe": probe,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, arguments)
        return await cursor.fetchall()


# The transaction's setting costs no round trip of its own: a function in a FROM is called before
# anything of the join is there to be locked.
# A time that came meanwhile is a second off: the run that has just looked at the event ends first.
# Fenced by the token alone: a test of the status in this WHERE turned the plan into a nested loop
# over both sides, quadratic in the batch. The update returns both sides' columns, so that the
# log needs no second join whose plan could go the same way.
_SETTLE: LiteralString = """
with settled as (
    select * from json_to_recordset(%(settlements)s::json) as s (
        id uuid, event_id uuid, lease_token bigint, outcome text, attempt integer, status text,
        retry_count integer, wait_seconds float8, dead_letter_reason text, withheld_reason text,
        postponed_until timestamptz, error_message text, error_code text, http_status integer,
        failure_code text, platform_message text, trace_id text, field_path text,
        requests integer, request_id uuid, duration_ms integer, warning text),
        set_config('lock_timeout', %(lock_milliseconds)s, true)
), updated as (
    update public.tracking_failed_events f
    set status = coalesce(s.status, f.status),
        retry_count = coalesce(s.retry_count, f.retry_count),
        next_retry_at = case
            when s.postponed_until is not null
            then greatest(s.postponed_until, now() + interval '1 second')
            when s.status is null then f.next_retry_at
            when s.status = 'retrying' then now() + make_interval(secs => s.wait_seconds)
        end,
        resolved_at = case when s.status = 'resolved' then now() else f.resolved_at end,
        resolved_by = case
            when s.withheld_reason is not null then %(withheld)s
            when s.status = 'resolved' then %(ours)s
            else f.resolved_by
        end,
        dead_letter_reason = s.dead_letter_reason,
        withheld_reason = s.withheld_reason,
        error_message = case
            when s.status in ('retrying', 'dead_letter') and s.error_message is not null
            then s.error_message else f.error_message
        end,
        error_code = case
            when s.status in ('retrying', 'dead_letter') then s.error_code else f.error_code
        end,
        http_status = case
            when s.status in ('retrying', 'dead_letter') then s.http_status else f.http_status
        end,
        failure_code = case
            when s.status is not null and s.failure_code is not null then s.failure_code
            else f.failure_code
        end,
        updated_at = now(),
        lease_token = f.lease_token + 1,
        lease_expires_at = null,
        lease_losses = 0,
        lease_group = null
    from settled s
    where f.id = s.id and f.lease_token = s.lease_token
    returning f.id, f.destination, s.event_id, s.attempt, s.outcome, s.requests, s.request_id,
        s.http_status, s.error_code, s.error_message, s.failure_code, s.platform_message,
        s.trace_id, s.field_path, s.duration_ms, s.warning, s.lease_token
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, request_id, http_status,
        error_code, error_message, failure_code, platform_message, trace_id, field_path,
        duration_ms, warning, lease_token, worker, run_id)
    select u.id, u.event_id, u.destination, u.attempt, u.outcome, u.requests, u.request_id,
        u.http_status, u.error_code, u.error_message, u.failure_code, u.platform_message,
        u.trace_id, u.field_path, u.duration_ms, u.warning, u.lease_token, %(worker)s, %(run_id)s
    from updated u
)
select count(*) from updated
"""


async def settle_attempts(
    connection: psycopg.AsyncConnection[Any],
    settlements: Sequence[Settlement],
    *,
    worker: str,
    run_id: str | None,
) -> set[UUID]:
    """Applies the settlements and writes their attempt rows, all in one statement.

    Returns the ids that are settled, see :func:`settled_of`. Raises
    psycopg.errors.LockNotAvailable, with nothing changed, when somebody keeps one of the rows
    locked for longer than a moment.
    """
    cursor = await connection.execute(
        _SETTLE,
        {
            "settlements": orjson.dumps(settlements).decode(),
            "lock_milliseconds": str(LOCK_MILLISECONDS),
            "ours": DELIVERED_BY_US,
            "withheld": WITHHELD_BY,
            "worker": worker,
            "run_id": run_id,
        },
    )
    return await settled_of(settlements, cursor)


# Whoever buries a row writes the token of the lease that was lost.
_SETTLED: LiteralString = """
select a.failed_event_id
from unnest(%s::uuid[], %s::bigint[]) as held (id, lease_token)
join public.tracking_delivery_attempts a
  on a.failed_event_id = held.id and a.lease_token = held.lease_token
where a.error_code is distinct from 'worker_crash'
"""


async def settled_of(
    settlements: Sequence[Settlement], counted: psycopg.AsyncCursor[Any]
) -> set[UUID]:
    """The ids of those settlements that are on record; ``counted`` has the number that a statement
    has just applied.

    What it did not apply had a stale token, and nothing of it changed; or it was applied before,
    over a connection that broke, by a statement that the server went on with. That it is over by
    now is sure, because the statement has waited for its rows.
    """
    if await counted.fetchone() == (len(settlements),):
        return {each.id for each in settlements}
    ids, tokens = [each.id for each in settlements], [each.lease_token for each in settlements]
    cursor = await counted.connection.execute(_SETTLED, (ids, tokens))
    return {row[0] for row in await cursor.fetchall()}


_IS_CRASHED = is_crashed("f") + sql.SQL(" and f.status in ('pending', 'retrying')")
_FIND_CRASHED: LiteralString = """
select f.id
from public.tracking_failed_events f
where {crashed} and f.lease_losses > 0 and f.destination = any(%(destinations)s)
limit 1000
"""


async def find_crashed_events(
    connection: psycopg.AsyncConnection[Any], destinations: Collection[str]
) -> list[UUID]:
    """Rows that take their workers down, up to a thousand of them."""
    cursor = await connection.execute(
        sql.SQL(_FIND_CRASHED).format(crashed=_IS_CRASHED),
        {"losses": MOST_LEASE_LOSSES - 1, "destinations": list(destinations)},
    )
    return [row[0] for row in await cursor.fetchall()]


_BURY: LiteralString = """
with lost as materialized (
    select f.id
    from public.tracking_failed_events f
    where f.id = any(%(ids)s) and {crashed}
    for update skip locked
), buried as (
    update public.tracking_failed_events f
    set status = 'dead_letter',
        dead_letter_reason = 'worker_crash',
        error_message = %(message)s,
        error_code = 'worker_crash',
        failure_code = 'WORKER_CRASH',
        next_retry_at = null,
        updated_at = now(),
        lease_token = f.lease_token + 1,
        lease_expires_at = null
    from lost
    where f.id = lost.id
    returning f.id, f.event_id, f.destination, f.retry_count, f.lease_token
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, error_code,
        failure_code, error_message, lease_token, worker, run_id)
    select b.id, b.event_id, b.destination,
        least(coalesce(b.retry_count, 0)::bigint + 1, %(most)s)::integer, 'rejected', 0,
        'worker_crash', 'WORKER_CRASH', %(message)s, b.lease_token - 1, %(worker)s, %(run_id)s
    from buried b
)
select destination, count(*) from buried group by destination
"""


async def bury_crashed_events(
    connection: psycopg.AsyncConnection[Any],
    ids: Collection[UUID],
    *,
    worker: str,
    run_id: str | None,
) -> dict[str, int]:
    """Dead-letters those of the rows that take their workers down, in one statement. Returns how
    many, by destination."""
    cursor = await connection.execute(
        sql.SQL(_BURY).format(crashed=_IS_CRASHED),
        {
            "losses": MOST_LEASE_LOSSES - 1,
            "ids": list(ids),
            "most": MOST_RETRIES,
            "message": CRASH_MESSAGE,
            "worker": worker,
            "run_id": run_id,
        },
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


_COUNT: LiteralString = """
select f.destination, count(*)
from public.tracking_failed_events f
where f.status in ('pending', 'retrying')
  and {not_leased}
  {selected}
group by f.destination
"""


async def count_selected(
    connection: psycopg.AsyncConnection[Any], selection: Selection
) -> dict[str, int]:
    """How many rows a run with this selection would find now, by destination."""
    statement = sql.SQL(_COUNT).format(
        not_leased=sql.SQL(lease_is_free("f")), selected=_selected(selection)
    )
    cursor = await connection.execute(statement, _arguments(selection))
    return dict(await cursor.fetchall())
