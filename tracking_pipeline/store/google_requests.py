"""Every statement on ``tracking_google_requests``: what Google accepted and has yet to judge.

    sent --(30 minutes, then growing waits)--> checked --> delivered | refused | narrowed | unknown

A row names the failed events of one request, each with the lease token under which it was sent.
Settling that attempt adds one to the token, so ``resolved`` with exactly that token means: resolved
by this very request. A failed event that has been replayed, claimed or settled since is left alone.
Only the database's ``now()`` counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from typing_extensions import LiteralString

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
    elsewhere; ``checks`` counts this one."""

    request_id: str
    members: Mapping[UUID, int]
    events: int
    checks: int


@dataclass(frozen=True, slots=True)
class Revoked:
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
returning r.request_id, r.failed_event_ids, r.lease_tokens, r.events, r.checks
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
    request_id, ids, tokens, events, checks = row
    return GoogleRequest(request_id, dict(zip(ids, tokens, strict=True)), events, checks)


_CLOSE: LiteralString = """
update public.tracking_google_requests
set outcome = %s, detail = %s, next_check_at = null, failed_event_ids = '{}', lease_tokens = '{}'
where request_id = %s
"""


async def close_google_request(
    connection: psycopg.AsyncConnection[Any],
    request_id: str,
    outcome: GoogleOutcome,
    detail: str | None = None,
) -> None:
    """The outcome is known: the request is not asked about again, its members are forgotten."""
    await connection.execute(_CLOSE, (outcome, detail, request_id))


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
select f.id, f.event_id, f.event_name, f.event_type, f.event_payload as payload, f.user_data,
    f.lead_id, f.session_id, coalesce(f.retry_count, 0) as retry_count,
    coalesce(f.max_retries, 5) as max_retries, coalesce(f.created_at, now()) as created_at,
    now() as now, m.lease_token,
    l.id as known_lead_id, l.email, l.phone, l.first_name, l.last_name, l.city, l.state, l.zip,
    l.country, l.fbp, l.fbc, l.client_user_agent, l.client_ip
from unnest(%s::uuid[], %s::bigint[]) as m (id, lease_token)
join public.tracking_failed_events f on f.id = m.id
left join public.leads l on l.id = f.lead_id
where f.status = 'resolved' and f.lease_token = m.lease_token + 1
order by f.id
"""


async def read_delivered_members(
    connection: psycopg.AsyncConnection[Any], members: Mapping[UUID, int]
) -> list[dict[str, Any]]:
    """The failed events that are still resolved by the request with these members, as a claim
    gives them: under the lease token that they were sent with, and with their leads."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_READ_MEMBERS, (list(members), list(members.values())))
        return await cursor.fetchall()


_REVOKE: LiteralString = """
with revoked as (
    update public.tracking_failed_events f
    set status = case
            when %(final)s or coalesce(f.retry_count, 0) + 1 >= coalesce(f.max_retries, 5)
            then 'dead_letter' else 'retrying'
        end,
        dead_letter_reason = case
            when %(final)s then %(reason)s
            when coalesce(f.retry_count, 0) + 1 >= coalesce(f.max_retries, 5) then 'max_retries'
        end,
        retry_count = coalesce(f.retry_count, 0) + (not %(final)s)::int,
        next_retry_at = case
            when not %(final)s and coalesce(f.retry_count, 0) + 1 < coalesce(f.max_retries, 5)
            then now() + make_interval(secs => %(wait_seconds)s)
        end,
        resolved_at = null,
        resolved_by = null,
        error_message = %(message)s,
        error_code = %(code)s,
        http_status = null,
        updated_at = now(),
        lease_token = f.lease_token + 1
    from unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) as m (id, lease_token)
    where f.id = m.id and f.status = 'resolved' and f.lease_token = m.lease_token + 1
    returning f.id, f.event_id, f.destination, f.status, f.retry_count, f.lease_token
), logged as (
    insert into public.tracking_delivery_attempts (
        failed_event_id, event_id, destination, attempt, outcome, requests, error_code,
        error_message, lease_token, worker, run_id)
    select r.id, r.event_id, r.destination, r.retry_count + (%(final)s)::int,
        case when %(final)s then 'rejected' else 'retry' end, 0, %(code)s, %(message)s,
        r.lease_token - 1, %(worker)s, %(run_id)s
    from revoked r
)
select count(*) filter (where status = 'dead_letter'), count(*) filter (where status = 'retrying')
from revoked
"""


async def revoke_deliveries(
    connection: psycopg.AsyncConnection[Any],
    members: Mapping[UUID, int],
    *,
    reason: str,
    code: str,
    message: str,
    final: bool,
    wait_seconds: float = 0.0,
    worker: str,
    run_id: str | None,
) -> Revoked:
    """Takes back that these failed events were delivered, where this request is what resolved them.

    ``final`` makes them dead letters with ``reason``. Otherwise one retry is spent and they are due
    again after ``wait_seconds``, or dead letters at their own ``max_retries``. Each gets a row in
    the log of attempts, without a request of its own.
    """
    cursor = await connection.execute(
        _REVOKE,
        {
            "ids": list(members),
            "tokens": list(members.values()),
            "reason": reason,
            "code": code,
            "message": message,
            "final": final,
            "wait_seconds": wait_seconds,
            "worker": worker,
            "run_id": run_id,
        },
    )
    row = await cursor.fetchone()
    return Revoked(*row) if row else Revoked()
