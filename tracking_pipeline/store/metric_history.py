"""The course of one metric over days, thinned out to what a chart can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


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
