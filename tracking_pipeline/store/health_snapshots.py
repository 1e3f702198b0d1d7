"""Every statement on ``tracking_health_snapshots``: what each check read, for trends and charts.

A row is one number of one check. ``dimension`` null is the metric as a whole, with its verdict
(``state``), its thresholds and everything else that was read (``detail``); with a dimension (a
destination, an event name, a match key) it is a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

# Every check writes this metric, whatever the others have to say: it is the pipeline's heartbeat.
HEARTBEAT_METRIC = "queue_depth"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One number of one check, in the metric's own unit; ``value`` None: there was no data."""

    metric: str
    dimension: str | None
    value: float | None
    state: str | None = None
    warning: float | None = None
    critical: float | None = None
    detail: dict[str, Any] | None = None


_WRITE: LiteralString = """
insert into public.tracking_health_snapshots (
    check_id, metric, dimension, value, state, warning, critical, detail, run_id)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def write_snapshots(
    connection: psycopg.Connection[Any],
    check_id: UUID,
    snapshots: Sequence[Snapshot],
    *,
    run_id: str | None,
) -> None:
    """Writes what one check read."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _WRITE,
            [
                (
                    check_id,
                    each.metric,
                    each.dimension,
                    each.value,
                    each.state,
                    each.warning,
                    each.critical,
                    None if each.detail is None else Jsonb(each.detail),
                    run_id,
                )
                for each in snapshots
            ],
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot and when it was taken."""

    metric: str
    dimension: str | None
    value: float | None
    state: str | None
    taken_at: datetime


_SERIES: LiteralString = """
select metric, dimension, value, state, taken_at
from public.tracking_health_snapshots
where metric = any(%s) and taken_at >= %s
order by taken_at, id
"""


def read_series(
    connection: psycopg.Connection[Any], metrics: Sequence[str], since: datetime
) -> list[Taken]:
    """The history of some metrics with their dimensions, oldest first: for charts."""
    return [Taken(*row) for row in connection.execute(_SERIES, (list(metrics), since)).fetchall()]


@dataclass(frozen=True, slots=True)
class Point:
    """The mean of a metric over one step of time that begins at ``at``."""

    at: datetime
    value: float


_COURSE: LiteralString = """
select date_bin(make_interval(hours => %(hours)s), taken_at, timestamptz '2000-01-01 00:00Z') as at,
    avg(value)
from public.tracking_health_snapshots
where metric = %(metric)s and dimension is null and value is not null
  and taken_at >= now() - make_interval(days => %(days)s)
group by 1
order by 1
"""


def read_course(
    connection: psycopg.Connection[Any], metric: str, *, days: int, step_hours: int
) -> list[Point]:
    """The metric of the last ``days``, oldest first; steps without data are left out."""
    rows = connection.execute(_COURSE, {"metric": metric, "days": days, "hours": step_hours})
    return [Point(*row) for row in rows.fetchall()]


_VALUE_BEFORE: LiteralString = """
select value, extract(epoch from now() - taken_at)::float8
from public.tracking_health_snapshots
where metric = %(metric)s and dimension is null and value is not null
  and taken_at > now() - make_interval(secs => %(longest)s)
  and taken_at <= now() - make_interval(secs => %(shortest)s)
order by taken_at
limit 1
"""


def read_value_before(
    connection: psycopg.Connection[Any],
    metric: str,
    *,
    longest_seconds: float,
    shortest_seconds: float,
) -> tuple[float, float] | None:
    """The oldest value of a metric that is between ``shortest`` and ``longest`` old, and its age
    in seconds."""
    arguments = {"metric": metric, "longest": longest_seconds, "shortest": shortest_seconds}
    return connection.execute(_VALUE_BEFORE, arguments).fetchone()


_LAST_VALUE: LiteralString = """
select value
from public.tracking_health_snapshots
where metric = %s and dimension is null
order by taken_at desc
limit 1
"""


def read_last_value(connection: psycopg.Connection[Any], metric: str) -> float | None:
    """The value of a metric at the last check; None where it had no data, or there was no check."""
    row = connection.execute(_LAST_VALUE, (metric,)).fetchone()
    return row[0] if row else None


_SEEN: LiteralString = """
select m.metric
from unnest(%s::text[]) as m (metric)
where exists (
    select from public.tracking_health_snapshots s
    where s.metric = m.metric and s.dimension is null and s.value is not null)
"""


def read_metrics_seen(connection: psycopg.Connection[Any], metrics: Sequence[str]) -> set[str]:
    """Those of the metrics that had data at some check that is still on record."""
    return {row[0] for row in connection.execute(_SEEN, (list(metrics),)).fetchall()}


_LAST_CHECK: LiteralString = """
select extract(epoch from now() - max(taken_at))::float8
from public.tracking_health_snapshots
where metric = %s
"""


def read_seconds_since_check(connection: psycopg.Connection[Any]) -> float | None:
    """How long ago the last check was, None where there was none."""
    row = connection.execute(_LAST_CHECK, (HEARTBEAT_METRIC,)).fetchone()
    return row[0] if row else None
