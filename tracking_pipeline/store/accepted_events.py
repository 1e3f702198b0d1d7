"""The queue of accepted events, ``tracking_accepted_events``: claims, leases and counts.

    accepted --(first attempt)--> delivered                        -> the row is deleted
                                  retry                            -> failed event, retrying
                                  rejected                         -> failed event, dead letter
                                  withheld                         -> failed event, resolved
                                  postponed                        -> failed event, pending
                                  throttled, paused, not started   -> stays as it is, unspent

A row was never attempted, so it is no failed event: it becomes one, under the same id, when its
first attempt fails (:mod:`tracking_pipeline.store.first_attempts`).

Leases are those of :mod:`tracking_pipeline.store.leases`. Only the database's ``now()`` counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString

from tracking_pipeline.store.failed_events import Selection
from tracking_pipeline.store.fragments import LEAD_COLUMNS, lease_is_free
from tracking_pipeline.store.leases import (
    LEASE_SECONDS,
    MOST_LEASE_LOSSES,
    Wanted,
    all_of,
    is_clean,
    is_in_doubt,
    is_suspect,
    next_group,
    stays_in_doubt,
)
from tracking_pipeline.store.queue_counts import BACKLOG_CAP

WAITING: LiteralString = "a.delivered_at is null"
"""The rows ``a`` that wait for their first attempt."""

_OF_DESTINATION: LiteralString = """public.tracking_accepted_events a
    where a.destination = %(destination)s and {waiting} and {free} {named}"""
_NAMED: LiteralString = "and (a.id = %(event_id)s or a.event_id = %(event_id)s)"

_ONE_TO_PROBE: LiteralString = """
      and a.id = (
          select first.id
          from (
              select a.id
              from {clean}
              order by a.created_at, a.id
              limit 1000) as first
          order by random()
          limit 1)"""

# As the claim of failed events, with the same columns; all that waits here is due.
_CLAIM: LiteralString = """
with {before}due as materialized (
    select a.id
    from {rows}
      and (%(probe)s or not exists (
          select from public.tracking_destination_state s
          where s.destination = %(destination)s
            and (s.state <> 'closed' or s.not_before > now())))
    order by a.created_at, a.id
    limit {most}
    for update skip locked
), claimed as (
    update public.tracking_accepted_events a
    set lease_token = a.lease_token + 1,
        sent_lease_token = {stays_in_doubt},
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s),
        lease_losses = a.lease_losses + (a.lease_expires_at is not null)::int,
        lease_group = (select count(*) from due)
    from due
    where a.id = due.id
    returning a.id, a.event_id, a.event_name, a.event_type, a.event_payload, a.lead_id,
        a.session_id, a.created_at, a.lease_token, a.sent_lease_token
)
select c.id, c.event_id, c.event_name, c.event_type, c.event_payload::text as payload,
    null as user_data, c.lead_id, c.session_id, 0 as retry_count, {max_retries} as max_retries,
    c.created_at, now() as now, c.lease_token, {is_in_doubt} as in_doubt,
    {lead}, false as is_replayed
from claimed c
left join public.leads l on l.id = c.lead_id
"""

MAX_RETRIES = 5
"""Of a failed event that was an accepted one, as of any other that says nothing else."""


def _named(selection: Selection) -> sql.SQL:
    return sql.SQL(_NAMED if selection.event_id is not None else "")


def _wanted(selection: Selection, *, probe: bool, suspects: bool) -> Wanted:
    rows = partial(
        sql.SQL(_OF_DESTINATION).format, waiting=sql.SQL(WAITING), named=_named(selection)
    )
    if suspects:
        return next_group("a", rows(free=is_suspect("a")))
    clean = rows(free=is_clean("a"))
    return all_of(clean + sql.SQL(_ONE_TO_PROBE).format(clean=clean) if probe else clean)


async def claim_accepted_events(
    connection: psycopg.AsyncConnection[Any],
    destination: str,
    selection: Selection,
    limit: int,
    *,
    probe: bool = False,
    suspects: bool = False,
) -> list[dict[str, Any]]:
    """Leases up to ``limit`` rows of one destination, oldest first, and returns them as
    :func:`~tracking_pipeline.store.failed_events.claim_due_events` does. None while the destination
    is paused or throttled for all, unless this is the ``probe``.
    """
    wanted = _wanted(selection, probe=probe, suspects=suspects)
    statement = sql.SQL(_CLAIM).format(
        lead=sql.SQL(LEAD_COLUMNS),
        stays_in_doubt=stays_in_doubt("a"),
        is_in_doubt=is_in_doubt("c"),
        before=wanted.before,
        rows=wanted.rows,
        most=wanted.most,
        max_retries=sql.Literal(MAX_RETRIES),
    )
    arguments = {
        "event_id": selection.event_id,
        "destination": destination,
        "limit": limit,
        "lease_seconds": LEASE_SECONDS,
        "losses": MOST_LEASE_LOSSES - 1,
        "probe": probe,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, arguments)
        return await cursor.fetchall()


_COUNT: LiteralString = """
select a.destination, count(*)
from public.tracking_accepted_events a
where {waiting} and {not_leased} {named}
group by a.destination
"""


async def count_accepted(
    connection: psycopg.AsyncConnection[Any], selection: Selection
) -> dict[str, int]:
    """How many rows a run with this selection would find now, by destination."""
    statement = sql.SQL(_COUNT).format(
        waiting=sql.SQL(WAITING), not_leased=sql.SQL(lease_is_free("a")), named=_named(selection)
    )
    cursor = await connection.execute(statement, {"event_id": selection.event_id})
    return dict(await cursor.fetchall())


# Cheap however many wait: a bounded stretch of the index for each destination.
_BACKLOG: LiteralString = """
select d.destination, (select count(*) from (
    select from public.tracking_accepted_events a
    where a.destination = d.destination
      and a.delivered_at is null
      and {free}
    limit %(cap)s) as due)
from unnest(%(destinations)s::text[]) as d (destination)
""".replace("{free}", lease_is_free("a"))


def read_accepted_backlog(
    connection: psycopg.Connection[Any], destinations: Sequence[str]
) -> dict[str, int]:
    """How many events wait for their first attempt at each of the destinations, counted no further
    than ``BACKLOG_CAP``: for a sensor, which must be quick."""
    arguments = {"destinations": list(destinations), "cap": BACKLOG_CAP}
    return dict(connection.execute(_BACKLOG, arguments).fetchall())
