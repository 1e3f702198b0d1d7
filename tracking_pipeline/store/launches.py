"""Every statement on ``tracking_launches``: who may launch the next runs of a job.

Between a tick's look at the runs that are under way and the launch of what it asked for there is a
second or more in which nobody sees those runs yet. A sensor and a schedule that tick in that time
would launch as many each. So each run to come has a place among those under way, counted from 0,
and who takes a place launches for it. A place is held for as long as its run may be unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from typing_extensions import LiteralString

# Longer than it takes from a tick to its runs, and shorter than a sensor's interval.
HELD_SECONDS = 25

# In one order, so that two ticks do not wait for each other in a circle. Who took a place has it
# again: its own ticks follow each other, and the run key keeps one window from launching twice. A
# place that was taken in the future, by a clock that has been put back since, is free.
_TAKE: LiteralString = """
insert into public.tracking_launches as l (job, place, launched_by, launched_at)
select %(job)s, p.place, %(by)s, now()
from unnest(%(places)s::integer[]) as p (place)
order by p.place
on conflict (job, place) do update
set launched_by = excluded.launched_by, launched_at = excluded.launched_at
where l.launched_by = excluded.launched_by
   or l.launched_at not between now() - make_interval(secs => %(held)s)
        and now() + make_interval(secs => %(held)s)
returning place
"""


def take_places(
    connection: psycopg.Connection[Any], job_name: str, places: Iterable[int], *, by: str
) -> list[int]:
    """Those of the places that ``by``, the name of a sensor or schedule, may launch a run for; the
    others were taken by another one just now."""
    arguments = {"job": job_name, "places": list(places), "by": by, "held": HELD_SECONDS}
    return sorted(place for (place,) in connection.execute(_TAKE, arguments).fetchall())
