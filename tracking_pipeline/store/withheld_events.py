"""Which rows of ``tracking_failed_events`` are no failures, and how many were withheld.

A withheld event was settled without being sent: the person refused, or the site's own rule keeps it
back. Its row is ``resolved``, for the dashboard knows four statuses, and ``withheld_reason`` says
why. Somebody who puts such a row back into the queue by hand makes it a waiting one again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from typing_extensions import LiteralString

WITHHELD: LiteralString = "(f.withheld_reason is not null and f.status = 'resolved')"
"""Of a row ``f``: it was withheld. The index ``tracking_failed_events_withheld`` has the same
condition."""

IS_FAILURE: LiteralString = """(
    (f.withheld_reason is null or f.status is distinct from 'resolved')
    and f.error_code is distinct from 'postponed')"""
"""Of a row ``f``: it failed once. What was withheld did not, and neither did an accepted event that
only waits, or waited, for its own time (``delivery/engine/outcomes.py``)."""


@dataclass(frozen=True, slots=True)
class WithheldEvents:
    """So many events to one destination were withheld for one reason, within the last 24 hours and
    within the last 7 days, those hours included."""

    destination: str
    reason: str
    last_day: int
    last_week: int


_WITHHELD: LiteralString = """
with counted as (
    select f.destination, f.withheld_reason as reason,
        count(*) filter (where f.resolved_at > now() - interval '24 hours') as last_day,
        count(*) as last_week,
        row_number() over (order by count(*) desc) > %s as is_rare
    from public.tracking_failed_events f
    where {withheld} and f.resolved_at > now() - interval '7 days' and f.destination is not null
    group by 1, 2
)
select destination, case when is_rare then 'other reasons' else reason end as reason,
    sum(last_day)::bigint, sum(last_week)::bigint as last_week
from counted
group by is_rare, 1, 2
order by is_rare, 4 desc, 1, 2
""".replace("{withheld}", WITHHELD)


def count_withheld(
    connection: psycopg.Connection[Any], *, reasons: int = 50
) -> list[WithheldEvents]:
    """What was withheld lately by destination and reason, the most frequent first. Those beyond so
    many ``reasons`` count together, last: the column is open to a site."""
    rows = connection.execute(_WITHHELD, (reasons,)).fetchall()
    return [WithheldEvents(*row) for row in rows]
