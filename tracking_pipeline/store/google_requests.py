"""Every statement on ``tracking_google_requests``: what Google accepted and has yet to judge.

    sent --(30 minutes, then growing waits)--> checked --> delivered | refused | narrowed | unknown

A row names the failed events of one request, each with the lease token under which it was sent.
Settling that attempt adds one to the token, so ``resolved`` with exactly that token means: resolved
by this very request. A failed event that has been replayed, claimed or settled since is left alone.
Only the database's ``now()`` counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

from tracking_pipeline.store.failed_events import Settlement
from tracking_pipeline.store.fragments import LEAD_COLUMNS

# Google has nothing to tell before half an hour, and keeps what it has to tell for about 50 days.
# https://developers.google.com/data-manager/api/devguides/diagnostics
FIRST_CHECK_SECONDS = 30 * 60
LONGEST_CHECK_SECONDS = 24 * 60 * 60
# 30 minutes doubled six times is past the longest wait; a larger power only overflows.
_MOST_DOUBLINGS = 6
# The longest wait is reached with the seventh check: these take some two weeks.
MOST_CHECKS = 20

GoogleOutcome = Literal["delivered", "refused", "narrowed", "unknown"]


@dataclass(frozen=True, slots=True)
class GoogleRequest:
    """A request that is due to be asked about. ``members`` are the lease tokens of its failed
    events by the row's id; ``events`` is how many it carried, of which some may have an answer
    elsewhere; ``checks`` counts this one; ``now`` is the database's clock at the claim."""

    request_id: str
    members: Mapping[UUID, int]
    events: int
    checks: int
    now: datetime


@dataclass(frozen=True, slots=True)
class TakenBack:
    """How many deliveries were taken back: into the dead letters, or into the queue again."""

    dead_lettered: int = 0
    requeued: int = 0


_KEEP: LiteralString = """
insert into public.tracking_google_requests (
    request_id, failed_event_ids, lease_tokens, events, next_check_at)
values (%(request_id)s, %(ids)s, %(tokens)s, cardinality(%(ids)s::uuid[]),
    now() + make_interval(secs => %(first)s))
on conflict (request_id) do nothing
"""


async def keep_google_request(
    connection: psycopg.AsyncConnection[Any], request_id: str, members: Mapping[UUID, int]
) -> None:
    """Remembers an accepted request; its first check is due in half an hour."""
    await connection.execute(
        _KEEP,
        {
            "request_id": request_id,
            "ids": list(members),
            "tokens": list(members.values()),
            "first": FIRST_CHECK_SECONDS,
        },
    )


# The push of next_check_at is what makes it one reader, and what a reader that dies leaves behind.
_CLAIM: LiteralString = """
with due as materialized (
    select request_id
    from public.tracking_google_requests
    where next_check_at <= now()
    order by next_check_at
    limit 1
    for update skip locked
)
update public.tracking_google_requests r
set checks = r.checks + 1,
    next_check_at = now() + make_interval(
        secs => least(%(first)s * 2 ^ least(r.checks, %(doublings)s), %(longest)s))
from due
where r.request_id = due.request_id
returning r.request_id, r.failed_event_ids, r.lease_tokens, r.events, r.checks, now()
"""


async def claim_google_request(connection: psycopg.AsyncConnection[Any]) -> GoogleRequest | None:
    """The request whose check has been due for longest, as the caller's alone; None when there is
    none. Its next check is set already: after 30 minutes, 1, 2, 4 ... hours, at most a day."""
    cursor = await connection.execute(
        _CLAIM,
        {
            "first": FIRST_CHECK_SECONDS,
            "longest": LONGEST_CHECK_SECONDS,
            "doublings": _MOST_DOUBLINGS,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    request_id, ids, tokens, *rest = row
    return GoogleRequest(request_id, dict(zip(ids, tokens, strict=True)), *rest)


_NONE: Mapping[str, int] = MappingProxyType({})
_CLOSE: LiteralString = """
update public.tracking_google_requests
set outcome = %s, detail = %s, unmatched = %s, warnings = %s, duplicates = %s,
    next_check_at = null,
    failed_event_ids = '{}', lease_tokens = '{}'
where request_id = %s
"""


async def close_google_request(
    connection: psycopg.AsyncConnection[Any],
    request_id: str,
    outcome: GoogleOutcome,
    detail: str | None = None,
    *,
    unmatched: Mapping[str, int] = _NONE,
    warnings: Mapping[str, int] = _NONE,
    duplicates: Mapping[str, int] = _NONE,
) -> None:
    """The outcome is known: the request is not asked about again, its members are forgotten.
    ``unmatched``, ``warnings`` and ``duplicates`` count its events by Google's reason."""
    counts = [Jsonb(dict(each)) if each else None for each in (unmatched, warnings, duplicates)]
    await connection.execute(_CLOSE, (outcome, detail, *counts, request_id))


_UNMATCHED: LiteralString = """
select coalesce(sum(c.value::integer), 0)::bigint
from public.tracking_google_requests r, jsonb_each_text(r.unmatched) as c
where r.sent_at >= %s and r.sent_at < %s
"""


def count_unmatched(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> dict[str, int]:
    """How many of the events that were sent within [since, until) matched nobody, by
    destination."""
    row = connection.execute(_UNMATCHED, (since, until)).fetchone()
    return {"google_ec": row[0]} if row else {}


_DUPLICATES: LiteralString = """
select coalesce(sum(r.events), 0)::bigint, coalesce(sum(d.events), 0)::bigint
from public.tracking_google_requests r
cross join lateral (
    select sum(c.value::integer) as events from jsonb_each_text(r.duplicates) as c) as d
where r.sent_at >= %s and r.sent_at < %s and r.outcome = 'delivered'
"""


def count_duplicates(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> tuple[int, int]:
    """Of the events that were sent within [since, until) in requests which Google has taken: how
    many there are, and how many of them it had already."""
    row = connection.execute(_DUPLICATES, (since, until)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


_SHRINK: LiteralString = """
update public.tracking_google_requests r
set failed_event_ids = kept.ids, lease_tokens = kept.tokens
from (
    select coalesce(array_agg(m.id order by m.position), '{}') as ids,
        coalesce(array_agg(m.token order by m.position), '{}') as tokens
    from public.tracking_google_requests,
        unnest(failed_event_ids, lease_tokens) with ordinality as m (id, token, position)
    where request_id = %(request_id)s and m.id = any(%(ids)s)
) as kept
where r.request_id = %(request_id)s
"""


async def keep_members(
    connection: psycopg.AsyncConnection[Any], request_id: str, ids: Collection[UUID]
) -> None:
    """Leaves only these members to the request; the others have an answer elsewhere."""
    await connection.execute(_SHRINK, {"request_id": request_id, "ids": list(ids)})


# The columns are those of a claim, named as delivery names them.
_READ_MEMBERS: LiteralString = """
select f.id, f.event_id, f.event_name, f.event_type, f.event_payload::text as payload,
    f.user_data::text as user_data,
    f.lead_id, f.session_id, coalesce(f.retry_count, 0) as retry_count,
    coalesce(f.max_retries, 5) as max_retries,
    case when f.created_at between '0001-01-02' and '9999-12-30' then f.created_at else now() end
        as created_at, now() as now, m.lease_token,
    {lead}
from unnest(%s::uuid[], %s::bigint[]) as m (id, lease_token)
join public.tracking_failed_events f on f.id = m.id
left join public.leads l on l.id = f.lead_id
where f.status = 'resolved' and f.lease_token = m.lease_token + 1
order by f.id
""".replace("{lead}", LEAD_COLUMNS)


async def read_delivered_members(
    connection: psycopg.AsyncConnection[Any], members: Mapping[UUID, int]
) -> list[dict[str, Any]]:
    """The failed events that are still resolved by the request with these members, as a claim
    gives them: under the lease token that they were sent with, and with their leads."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_READ_MEMBERS, (list(members), list(members.values())))
        return await cursor.fetchall()


# The fence is the test of the status beside the token: a site may have put a row back by hand.
_SETTLE: LiteralString = """
with settled as materialized (
    select f.event_id, f.destination, s.*
    from json_to_recordset(%(settlements)s::json) as s (
        id uuid, lease_token bigint, outcome text, attempt integer, status text,
        retry_count integer, wait_seconds float8, dead_letter_reason text, error_message text,
        error_code text, http_status integer, failure_code text, platform_message text,
        trace_id text, field_path text, requests integer, request_id uuid, duration_ms integer,
        warning text)
    join public.tracking_failed_events f on f.id = s.id
    where f.status = 'resolved' and f.lease_token = s.lease_token + 1
    for update of f
), taken_back as (
    update public.tracking_failed_events f
    set status = s.status,
        retry_count = coalesce(s.retry_count, f.retry_count),
        next_retry_at = case
            when s.status <> 'dead_letter' then now() + make_interval(secs => s.wait_seconds)
        end,
        resolved_at = null,
        resolved_by = null,
        dead_letter_reason = s.dead_letter_reason,
        error_message = coalesce(s.error_message, f.error_message),
        error_code = s.error_code,
        http_status = s.http_status,
        failure_code = s.failure_code,
        updated_at = now(),
        lease_token = f.lease_token + 1
    from settled s
    where f.id = s.id and s.status is not null
    returning f.status
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, request_id, http_status,
        error_code, error_message, failure_code, platform_message, trace_id, field_path,
        duration_ms, warning, lease_token, worker, run_id)
    select s.id, s.event_id, s.destination, s.attempt, s.outcome, s.requests, s.request_id,
        s.http_status, s.error_code, s.error_message, s.failure_code, s.platform_message,
        s.trace_id, s.field_path, s.duration_ms, s.warning, s.lease_token, %(worker)s, %(run_id)s
    from settled s
)
select count(*) filter (where status = 'dead_letter'),
    count(*) filter (where status in ('pending', 'retrying'))
from taken_back
"""


async def settle_deliveries(
    connection: psycopg.AsyncConnection[Any],
    settlements: Sequence[Settlement],
    *,
    worker: str,
    run_id: str | None,
) -> TakenBack:
    """Applies what Google said later of failed events that it had accepted, and writes the attempt
    rows, all in one statement; only to rows that are still resolved by the attempt whose lease
    token the settlement has.

    A settlement with a status takes the delivery back; one without leaves the row as it is and is
    logged only.
    """
    cursor = await connection.execute(
        _SETTLE,
        {
            "settlements": orjson.dumps(settlements).decode(),
            "worker": worker,
            "run_id": run_id,
        },
    )
    row = await cursor.fetchone()
    return TakenBack(*row) if row else TakenBack()
