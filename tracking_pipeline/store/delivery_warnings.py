"""What was delivered with a warning lately, and what was taken and matched nobody.

A warning stands with the attempt that drew it. What Google tells of an accepted request later has
counts by reason and no list of events, so it stands with the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.failed_events import WARNINGS_BETWEEN


@dataclass(frozen=True, slots=True)
class DeliveredFor:
    """So many delivered events of one destination for one reason, within the last 24 hours and
    within the last 7 days, those hours included."""

    destination: str
    reason: str
    last_day: int
    last_week: int


@dataclass(frozen=True, slots=True)
class DeliveryWarnings:
    """Both of them, each with the most frequent first."""

    warned: list[DeliveredFor]
    unmatched: list[DeliveredFor]


# The index tracking_delivery_attempts_warned has the first condition.
_COUNT: LiteralString = """
with told as (
    select 'warned' as kind, a.destination, w.reason, 1 as events, a.attempted_at as at
    from public.tracking_delivery_attempts a, string_to_table(a.warning, %(between)s) as w (reason)
    where a.warning is not null and a.attempted_at > now() - interval '7 days'
    union all
    select t.kind, 'google_ec', c.key, c.value::integer, r.sent_at
    from public.tracking_google_requests r,
        (values ('warned'), ('unmatched')) as t (kind),
        jsonb_each_text(case t.kind when 'warned' then r.warnings else r.unmatched end) as c
    where r.sent_at > now() - interval '7 days'
)
select kind, destination, reason,
    coalesce(sum(events) filter (where at > now() - interval '24 hours'), 0)::bigint,
    sum(events)::bigint as last_week
from told
group by 1, 2, 3
order by last_week desc, 2, 3
limit %(most)s
"""


def count_delivery_warnings(
    connection: psycopg.Connection[Any], *, reasons: int = 100
) -> DeliveryWarnings:
    """The ``reasons`` that were met most often; an event with two warnings counts for both."""
    arguments = {"between": WARNINGS_BETWEEN, "most": reasons}
    found: dict[str, list[DeliveredFor]] = {"warned": [], "unmatched": []}
    for kind, *row in connection.execute(_COUNT, arguments).fetchall():
        found[kind].append(DeliveredFor(*row))
    return DeliveryWarnings(**found)
