"""What keeps the tables from growing for ever: old rows are deleted, and a queue is vacuumed in
time.

Rows are deleted by age, the oldest first, in small transactions of their own, so that nobody waits
for one and a pass that is killed has done what it has done. What is still needed stays, however old
it is: the attempts of an event that waits, that may be replayed or that was settled lately; the
messages of an alert that is open; a request that Google has yet to judge.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

# A fraction of a second of work.
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Ageing:
    """A table whose rows ``r`` go by the age of their ``moment``, a column, where ``over`` holds.
    An index begins with the moment, or the table is small."""

    table: LiteralString
    moment: LiteralString
    over: LiteralString = "true"


ATTEMPTS = Ageing(
    "tracking_delivery_attempts",
    "attempted_at",
    """not exists (
            select from public.tracking_failed_events f
            where f.id = r.failed_event_id
              and (f.status is distinct from 'resolved'
                or coalesce(f.resolved_at, f.updated_at, f.created_at)
                    >= now() - make_interval(days => %(days)s)))
          and not exists (
            select from public.tracking_accepted_events a where a.id = r.failed_event_id)""",
)
GOOGLE_REQUESTS = Ageing("tracking_google_requests", "sent_at", "r.next_check_at is null")
SNAPSHOTS = Ageing("tracking_health_snapshots", "taken_at")
NOTIFICATIONS = Ageing(
    "tracking_alert_notifications",
    "created_at",
    """(r.sent_at is not null or r.next_attempt_at is null)
          and not exists (
            select from public.tracking_health_alerts a
            where a.id = r.alert_id and a.resolved_at is null)""",
)
ROLL_UPS = (
    Ageing("tracking_match_key_hourly", "hour"),
    Ageing("tracking_delivery_hourly", "hour"),
    Ageing("tracking_conversion_hourly", "hour"),
    Ageing("tracking_order_events", "created_at"),
)

# By ctid, so that it is the same statement for every table: a row that somebody changes meanwhile
# has another one, and stays. ``since`` spares the next step what this one has passed over.
_DELETE: LiteralString = """
with gone as (
    delete from public.{table}
    where ctid = any(array(
        select r.ctid
        from public.{table} r
        where r.{moment} >= coalesce(%(since)s::timestamptz, '-infinity')
          and r.{moment} < now() - make_interval(days => %(days)s)
          and {over}
        order by r.{moment}
        limit %(batch)s))
    returning {moment} as moment
)
select count(*), max(moment) from gone
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """So many rows were ``deleted``. ``done``: no other is old enough; else the time was over."""

    deleted: int
    done: bool


def prune(
    connection: psycopg.Connection[Any],
    ageing: Ageing,
    *,
    older_than_days: int,
    deadline: float,
    batch: int = BATCH,
) -> Pruned:
    """Deletes what is old enough, ``batch`` rows at a time, until ``deadline`` (monotonic).
    ``connection`` is in autocommit mode."""
    statement = sql.SQL(_DELETE).format(
        table=sql.Identifier(ageing.table),
        moment=sql.Identifier(ageing.moment),
        over=sql.SQL(ageing.over),
    )
    deleted, since = 0, None
    while time.monotonic() < deadline:
        arguments = {"since": since, "days": older_than_days, "batch": batch}
        row = connection.execute(statement, arguments).fetchone()
        step: tuple[int, datetime | None] = row or (0, None)
        count, since = step
        deleted += count
        if count < batch:
            return Pruned(deleted, True)
    return Pruned(deleted, False)


# Of a smaller table vacuum is quick, and so are those who read its dead rows.
_LARGE_ROWS = 100_000
_MOST_SCALE_FACTOR = 0.05
_LATE_VACUUM: LiteralString = """
select c.reltuples::bigint, coalesce(
    (select o.option_value::float8 from pg_options_to_table(c.reloptions) o
     where o.option_name = 'autovacuum_vacuum_scale_factor'),
    current_setting('autovacuum_vacuum_scale_factor')::float8)
from pg_class c
where c.oid = 'public.tracking_failed_events'::regclass
"""


def read_vacuum_advice(connection: psycopg.Connection[Any]) -> str | None:
    """What to do where the server clears the dead rows of a large queue late, as it does by default
    where the table is a site's own: every claim reads past those that its index still holds. None
    where all is well."""
    ((rows, scale_factor),) = connection.execute(_LATE_VACUUM).fetchall()
    if rows < _LARGE_ROWS or scale_factor <= _MOST_SCALE_FACTOR:
        return None
    return (
        f"tracking_failed_events, with {rows:,} rows, is vacuumed only when"
        f" {rows * scale_factor:,.0f} are dead: alter table tracking_failed_events"
        " set (autovacuum_vacuum_scale_factor = 0.02)"
    )
