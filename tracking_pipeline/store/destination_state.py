"""The state of each destination, shared by all workers: its breaker and its not-before time.

    closed      events flow
    open        nobody's events get in; nothing is sent before ``probe_at``
    half_open   one worker sends one event to see whether the fault is mended

A destination without a row is closed. ``not_before`` is a throttle and independent of the breaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

BreakerState = Literal["closed", "open", "half_open"]

FIRST_PROBE_SECONDS = 60
LONGEST_PROBE_SECONDS = 30 * 60


@dataclass(frozen=True, slots=True)
class DestinationState:
    """``throttled_seconds`` and ``probe_in_seconds`` are the waits left, 0 where there is none. The
    next two: whether anything is counted since the last success. ``failure_code`` is the public
    code of what paused it."""

    destination: str
    state: BreakerState = "closed"
    reason: str | None = None
    throttled_seconds: float = 0.0
    probe_in_seconds: float = 0.0
    has_failed_runs: bool = False
    has_refused_events: bool = False
    failure_code: str | None = None


_READ: LiteralString = """
select destination, state, reason,
    greatest(extract(epoch from coalesce(not_before, now()) - now()), 0)::float8,
    case when state = 'closed' then 0
        else greatest(extract(epoch from coalesce(probe_at, now()) - now()), 0) end::float8,
    failed_runs > 0, refused_events > 0,
    failure_code
from public.tracking_destination_state
"""


def read_destination_states(connection: psycopg.Connection[Any]) -> dict[str, DestinationState]:
    """The states on record, by destination."""
    return {row[0]: DestinationState(*row) for row in connection.execute(_READ).fetchall()}


async def read_destination_state(
    connection: psycopg.AsyncConnection[Any], destination: str
) -> DestinationState:
    """The state of one destination."""
    cursor = await connection.execute(_READ + " where destination = %s", (destination,))
    row = await cursor.fetchone()
    return DestinationState(*row) if row else DestinationState(destination)


_HOLD: LiteralString = """
insert into public.tracking_destination_state as s (destination, not_before)
values (%(destination)s, now() + make_interval(secs => %(seconds)s))
on conflict (destination) do update
set not_before = greatest(s.not_before, excluded.not_before), updated_at = now()
"""


async def hold_destination(
    connection: psycopg.AsyncConnection[Any], destination: str, seconds: float
) -> None:
    """Nobody sends to the destination for that long. Never shortens a longer wait."""
    await connection.execute(_HOLD, {"destination": destination, "seconds": seconds})


# The push of probe_at is what makes it one probe: a second worker finds it in the future. A prober
# that is killed leaves half_open behind, and the next one comes when that time has passed.
_TAKE_PROBE: LiteralString = """
update public.tracking_destination_state
set state = 'half_open',
    probe_at = now() + make_interval(secs => coalesce(probe_interval_seconds, %(first)s)),
    updated_at = now()
where destination = %(destination)s and state <> 'closed' and (probe_at <= now() or %(forced)s)
returning destination
"""


async def take_probe(
    connection: psycopg.AsyncConnection[Any], destination: str, *, forced: bool
) -> bool:
    """Whether the caller is the one that may send one event to a destination that is not closed.

    ``forced`` (an operator asked) does not wait for the probe's time.
    """
    cursor = await connection.execute(
        _TAKE_PROBE,
        {"destination": destination, "forced": forced, "first": FIRST_PROBE_SECONDS},
    )
    return await cursor.fetchone() is not None


# Whether the alert is due depends on the other destinations' rows: of two changes at once, neither
# would see the other. So they come one after the other, each with statements that begin after the
# lock was had; who has to wait for too long is told so.
_ONE_BY_ONE: LiteralString = """
select set_config('lock_timeout', '5s', true),
    pg_advisory_xact_lock(hashtextextended('tracking_destination_state', 0))
"""

# One alert for all paused destinations at most: the unique index on open alerts sees to it.
_OPEN: LiteralString = """
with before as (
    select state from public.tracking_destination_state where destination = %(destination)s
), opened as (
    insert into public.tracking_destination_state as s (
        destination, state, reason, failure_code, opened_at, probe_at, probe_interval_seconds)
    values (%(destination)s, 'open', %(reason)s, %(failure_code)s, now(),
        now() + make_interval(secs => %(first)s), %(first)s)
    on conflict (destination) do update
    set state = 'open',
        reason = excluded.reason,
        failure_code = excluded.failure_code,
        opened_at = case when s.state = 'closed' then now() else s.opened_at end,
        probe_interval_seconds = case
            when s.state = 'half_open' then least(s.probe_interval_seconds * 2, %(longest)s)
            when s.state = 'open' then s.probe_interval_seconds
            else %(first)s
        end,
        probe_at = now() + make_interval(secs => case
            when s.state = 'half_open' then least(s.probe_interval_seconds * 2, %(longest)s)
            when s.state = 'open' then s.probe_interval_seconds
            else %(first)s
        end),
        updated_at = now()
), alerted as (
    insert into public.tracking_health_alerts (alert_type, severity, message, metric_value,
    threshold) select 'destination_paused', 'critical', %(message)s, 1, 0 where coalesce((select
    state from before), 'closed') = 'closed' on conflict do nothing returning 1
)
select count(*) from alerted
"""


async def open_breaker(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    reason: str,
    *,
    message: str,
    failure_code: str | None = None,
) -> bool:
    """Pauses the destination: the next probe comes after a minute, then after growing waits up to
    half an hour. Returns whether this raised the alert ``destination_paused``, with ``message``."""
    arguments = {
        "destination": destination,
        "reason": reason,
        "failure_code": failure_code,
        "first": FIRST_PROBE_SECONDS,
        "longest": LONGEST_PROBE_SECONDS,
        "message": message,
    }
    async with connection.transaction():
        await connection.execute(_ONE_BY_ONE)
        cursor = await connection.execute(_OPEN, arguments)
        row = await cursor.fetchone()
    return bool(row and row[0])


_NO_FAILED_RUNS: LiteralString = """failed_runs = 0, failed_since = null, failed_run_at = null,
        failed_event_id = null"""
_NO_REFUSALS: LiteralString = """refusal = null, refused_runs = 0, refused_events = 0,
        refused_run_at = null, refused_event_id = null"""

_CLOSE: LiteralString = """
with closed as (
    update public.tracking_destination_state
    set state = 'closed', reason = null, failure_code = null, opened_at = null, probe_at = null,
        probe_interval_seconds = null, window_started_at = null, window_requests = 0,
        window_failures = 0, {no_failed_runs}, {no_refusals}, updated_at = now()
    where destination = %(destination)s and state <> 'closed'
    returning destination
)
update public.tracking_health_alerts
set resolved_at = now()
where alert_type = 'destination_paused' and resolved_at is null
  and exists (select from closed)
  and not exists (
      select from public.tracking_destination_state
      where state <> 'closed' and destination <> %(destination)s)
"""


async def close_breaker(connection: psycopg.AsyncConnection[Any], destination: str) -> None:
    """Events flow again. The alert ends with the last paused destination."""
    async with connection.transaction():
        await connection.execute(_ONE_BY_ONE)
        await connection.execute(_forgetting(_CLOSE), {"destination": destination})


# The window starts anew with the first request after its end; closing the breaker forgets it.
_COUNT: LiteralString = """
insert into public.tracking_destination_state as s (
    destination, window_started_at, window_requests, window_failures)
values (%(destination)s, now(), %(requests)s, %(failures)s)
on conflict (destination) do update
set (window_started_at, window_requests, window_failures, updated_at) = (
    select case when goes_on then s.window_started_at else now() end,
        excluded.window_requests + case when goes_on then s.window_requests else 0 end,
        excluded.window_failures + case when goes_on then s.window_failures else 0 end,
        now()
    from (select coalesce(
        s.window_started_at > now() - make_interval(secs => %(window)s), false)) as w (goes_on))
returning window_requests, window_failures
"""


async def count_requests(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    *,
    requests: int,
    failures: int,
    window_seconds: int,
) -> tuple[int, int]:
    """Adds to the window that all workers share. Returns its (requests, failures)."""
    cursor = await connection.execute(
        _COUNT,
        {
            "destination": destination,
            "requests": requests,
            "failures": failures,
            "window": window_seconds,
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    return row[0], row[1]


# Of the runs of one outage those that are close together are one: a sensor may start several.
_COUNT_FAILED_RUN: LiteralString = """
insert into public.tracking_destination_state as s (
    destination, failed_runs, failed_since, failed_run_at, failed_event_id)
values (%(destination)s, 1, now(), now(), %(event_id)s)
on conflict (destination) do update
set (failed_runs, failed_since, failed_run_at, failed_event_id, updated_at) = (
    select s.failed_runs + is_another::integer,
        case when is_first then now() else s.failed_since end,
        case when is_another then now() else s.failed_run_at end,
        case when is_first or s.failed_event_id = %(event_id)s then %(event_id)s::uuid end,
        now()
    from (select s.failed_runs = 0, s.failed_runs = 0
            or s.failed_run_at <= now() - make_interval(secs => %(apart)s)
        ) as r (is_first, is_another))
returning failed_runs, failed_event_id is null
"""


async def count_failed_run(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    *,
    event_id: UUID | None,
    apart_seconds: int,
) -> tuple[int, bool]:
    """Notes that a request failed in a run in which none has succeeded yet. ``event_id`` is the
    only event of that request, None where it carried several. Returns in how many runs, so far
    apart, since the last success, and whether several events met it."""
    arguments = {"destination": destination, "event_id": event_id, "apart": apart_seconds}
    cursor = await connection.execute(_COUNT_FAILED_RUN, arguments)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    return row[0], row[1]


_COUNT_REFUSED: LiteralString = """
insert into public.tracking_destination_state as s (
    destination, refusal, refused_runs, refused_events, refused_run_at, refused_event_id)
values (%(destination)s, %(refusal)s, 1, 1, now(), %(event_id)s)
on conflict (destination) do update
set (refusal, refused_runs, refused_events, refused_run_at, refused_event_id, updated_at) = (
    select excluded.refusal,
        case when goes_on then s.refused_runs + is_another::integer else 1 end,
        case when goes_on then s.refused_events
            + (s.refused_event_id is distinct from excluded.refused_event_id)::integer else 1 end,
        case when goes_on and not is_another then s.refused_run_at else now() end,
        excluded.refused_event_id,
        now()
    from (select coalesce(s.refusal = excluded.refusal, false),
            coalesce(s.refused_run_at <= now() - make_interval(secs => %(apart)s), true)
        ) as r (goes_on, is_another))
returning refused_runs, refused_events
"""


async def count_refused_event(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    *,
    refusal: str,
    event_id: UUID,
    apart_seconds: int,
) -> tuple[int, int]:
    """Notes that an event was refused alone. Returns in how many runs, so far apart, and how many
    events were, for this one reason, since one was accepted."""
    arguments = {
        "destination": destination,
        "refusal": refusal,
        "event_id": event_id,
        "apart": apart_seconds,
    }
    cursor = await connection.execute(_COUNT_REFUSED, arguments)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    return row[0], row[1]


_FORGET_FAILED_RUNS: LiteralString = """
update public.tracking_destination_state
set {no_failed_runs}, updated_at = now() where destination = %(destination)s and failed_runs > 0
"""
_FORGET_REFUSALS: LiteralString = """
update public.tracking_destination_state
set {no_refusals}, updated_at = now() where destination = %(destination)s and refused_events > 0
"""


async def forget_failed_runs(connection: psycopg.AsyncConnection[Any], destination: str) -> None:
    """The destination has answered."""
    await connection.execute(_forgetting(_FORGET_FAILED_RUNS), {"destination": destination})


async def forget_refusals(connection: psycopg.AsyncConnection[Any], destination: str) -> None:
    """The destination has accepted an event."""
    await connection.execute(_forgetting(_FORGET_REFUSALS), {"destination": destination})


def _forgetting(statement: LiteralString) -> sql.Composed:
    return sql.SQL(statement).format(
        no_failed_runs=sql.SQL(_NO_FAILED_RUNS), no_refusals=sql.SQL(_NO_REFUSALS)
    )


_HAS_OTHER_EVENTS: LiteralString = """
select exists (
        select from public.tracking_failed_events f
        where f.destination = %(destination)s and f.status in ('pending', 'retrying')
          and f.id <> %(id)s)
    or exists (
        select from public.tracking_accepted_events a
        where a.destination = %(destination)s and a.delivered_at is null and a.id <> %(id)s)
"""


async def has_other_events(
    connection: psycopg.AsyncConnection[Any], destination: str, row_id: UUID
) -> bool:
    """Whether any event but that of this row waits for the destination, due or not."""
    cursor = await connection.execute(_HAS_OTHER_EVENTS, {"destination": destination, "id": row_id})
    row = await cursor.fetchone()
    return bool(row and row[0])


# What each worker holds of a destination's limits: one row a destination, read and replaced whole.
#
# {"host:812/5f0c…": {"joined_at": 1767.2, "expires_at": 1777.2, "in_flight": 2, "per_second": 6}}
#
# Times are seconds since 1970 by the database's clock. What the words mean, and who gets how much,
# is decided in ``delivery/engine/allotment``; a holding is a lease, which ends by itself.

Shares = dict[str, dict[str, Any]]

_READ_SHARES: LiteralString = """
select coalesce((
        select shares from public.tracking_destination_shares where destination = %s), '{}'),
    extract(epoch from now())::float8
"""


async def read_shares(
    connection: psycopg.AsyncConnection[Any], destination: str
) -> tuple[Shares, float]:
    """The holdings on record, by worker, and the database's clock."""
    cursor = await connection.execute(_READ_SHARES, (destination,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  a select without a table gives one row
    return row[0], row[1]


# Compared and replaced in one statement: of two workers that have read the same, one writes.
_REPLACE: LiteralString = """
insert into public.tracking_destination_shares as s (destination, shares)
values (%(destination)s, %(shares)s)
on conflict (destination) do update
set shares = excluded.shares, updated_at = now()
where s.shares = %(read)s
returning destination
"""


async def replace_shares(
    connection: psycopg.AsyncConnection[Any], destination: str, *, read: Shares, shares: Shares
) -> bool:
    """Writes the holdings; False, and nothing written, where they are not as they were read."""
    cursor = await connection.execute(
        _REPLACE, {"destination": destination, "read": Jsonb(read), "shares": Jsonb(shares)}
    )
    return await cursor.fetchone() is not None
