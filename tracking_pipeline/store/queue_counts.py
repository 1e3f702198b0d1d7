"""How much is in the queue: what waits, what was given up, what nothing will ever send.

A row without a destination, which a site's own CHECK may let through, is in no count of what waits
or was given up, here and elsewhere: no run can claim it. ``count_unclaimable`` tells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.backfill import MESSAGE
from tracking_pipeline.store.fragments import due_at, lease_is_free
from tracking_pipeline.store.migrations.indexes import UNCLAIMABLE_EVENT


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queue of one destination. Ages and waits are in seconds, None where nothing waits.
    ``to_come`` of those that wait never failed and have not had their turn: a backfill handed them
    over."""

    destination: str
    waiting: int = 0
    due: int = 0
    leased: int = 0
    oldest_age_seconds: float | None = None
    next_due_seconds: float | None = None
    dead_letters: int = 0
    to_come: int = 0

    @property
    def failed(self) -> int:
        """Those that wait because they failed, or may be sent now."""
        return self.waiting - self.to_come


_WAITING: LiteralString = (
    """
with waiting as (
    select f.destination,
        count(*) as waiting,
        count(*) filter (
            where {due_at} <= now()
              and {free}) as due,
        count(*) filter (where f.lease_expires_at > now()) as leased,
        extract(epoch from
            now() - min(f.created_at) filter (where isfinite(f.created_at))
        )::float8 as oldest_age_seconds,
        extract(epoch from
            min(f.next_retry_at) filter (
                where f.next_retry_at > now() and isfinite(f.next_retry_at)) - now()
        )::float8 as next_due_seconds,
        count(*) filter (
            where f.error_code = 'postponed' and f.error_message = '{backfilled}'
              and f.next_retry_at > now()) as to_come
    from public.tracking_failed_events f
    where f.status in ('pending', 'retrying') and f.destination is not null
    group by f.destination
), dead as (
    select f.destination, count(*) as dead_letters
    from public.tracking_failed_events f
    where f.status = 'dead_letter' and f.destination is not null
    group by f.destination
)
select destination, coalesce(w.waiting, 0), coalesce(w.due, 0), coalesce(w.leased, 0),
    w.oldest_age_seconds, w.next_due_seconds, coalesce(d.dead_letters, 0), coalesce(w.to_come, 0)
from waiting w
full join dead d using (destination)
order by destination
""".replace("{backfilled}", MESSAGE)
    .replace("{due_at}", due_at("f"))
    .replace("{free}", lease_is_free("f"))
)


def read_waiting(connection: psycopg.Connection[Any]) -> list[Waiting]:
    """The state of the queue, one row a destination that has waiting events or dead letters."""
    return [Waiting(*row) for row in connection.execute(_WAITING).fetchall()]


def has_failed_events(connection: psycopg.Connection[Any]) -> bool:
    """Whether the queue has any row, whatever its status."""
    found = connection.execute("select from public.tracking_failed_events limit 1").fetchone()
    return found is not None


_DEAD_LETTERS: LiteralString = """
with counted as (
    select f.destination, coalesce(f.dead_letter_reason, f.error_code, 'unknown') as reason,
        count(*) as events, min(f.failure_code) as first_code, max(f.failure_code) as last_code,
        row_number() over (order by count(*) desc) > %s as is_rare
    from public.tracking_failed_events f
    where f.status = 'dead_letter' and f.destination is not null
    group by 1, 2
)
select destination, case when is_rare then 'other reasons' else reason end as reason,
    sum(events)::bigint as events,
    case when min(first_code) = max(last_code) then max(last_code) end as failure_code
from counted
group by is_rare, 1, 2
order by is_rare, 3 desc, 1, 2
"""


def count_dead_letters(
    connection: psycopg.Connection[Any], *, reasons: int = 50
) -> list[tuple[str, str, int, str | None]]:
    """Dead letters as (destination, reason, count, failure code), the most frequent first. Those
    beyond so many ``reasons`` count together, last: a site's own may differ in every row. The code
    is None where theirs differ."""
    return connection.execute(_DEAD_LETTERS, (reasons,)).fetchall()


UNCLAIMABLE_CAP = 1000

_UNCLAIMABLE: LiteralString = """
select count(*) from (
    select from public.tracking_failed_events where {unclaimable} limit %s) as found
"""


def count_unclaimable(connection: psycopg.Connection[Any]) -> int:
    """Rows without a status, or waiting for no destination, which a site's own CHECKs let through:
    only a person can put them right. Counted no further than :data:`UNCLAIMABLE_CAP`."""
    statement = sql.SQL(_UNCLAIMABLE).format(unclaimable=sql.SQL(UNCLAIMABLE_EVENT))
    ((count,),) = connection.execute(statement, (UNCLAIMABLE_CAP,)).fetchall()
    return int(count)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one destination, each number counted no further than :data:`BACKLOG_CAP`."""

    destination: str
    due: int
    not_due: int
    next_due_seconds: float | None


BACKLOG_CAP = 10_000

# Cheap however long the queue is: each count walks a bounded stretch of the index of due events.
_BACKLOG: LiteralString = """
select d.destination,
    (select count(*) from (
        select from public.tracking_failed_events f
        where f.destination = d.destination and f.status in ('pending', 'retrying')
          and {due_at} <= now()
          and {free}
        limit %(cap)s) as due),
    (select count(*) from (
        select from public.tracking_failed_events f
        where f.destination = d.destination and f.status in ('pending', 'retrying')
          and {due_at} > now()
        limit %(cap)s) as not_due),
    extract(epoch from (
        select {due_at}
        from public.tracking_failed_events f
        where f.destination = d.destination and f.status in ('pending', 'retrying')
          and {due_at} > now()
          and isfinite(f.next_retry_at)
        order by {due_at}, f.id
        limit 1) - now())::float8
from unnest(%(destinations)s::text[]) as d (destination)
""".replace("{due_at}", due_at("f")).replace("{free}", lease_is_free("f"))


def read_backlog(connection: psycopg.Connection[Any], destinations: Sequence[str]) -> list[Backlog]:
    """What waits for each of the destinations: for a sensor, which must be quick."""
    arguments = {"destinations": list(destinations), "cap": BACKLOG_CAP}
    return [Backlog(*row) for row in connection.execute(_BACKLOG, arguments).fetchall()]
