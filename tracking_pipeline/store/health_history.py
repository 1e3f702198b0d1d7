"""What is on record about health: the last check, how fast alerts came, Meta's own scores.

For reports and charts. Each statement is bounded by a window of time and served by an index.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.health_snapshots import HEARTBEAT_METRIC, Snapshot

REPORTED_METRIC = "meta_reported_emq"
"""The metric of ``tracking_health_snapshots`` that holds Meta's own scores, by event name."""
DEDUPLICATION_METRIC = "meta_deduplication"
"""The metric that holds what Meta says of its deduplication, by event name."""


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    """The last check: when it was, and every number that it wrote."""

    taken_at: datetime
    snapshots: list[Snapshot]

    @property
    def whole(self) -> dict[str, Snapshot]:
        """The metrics as a whole, by name."""
        return {each.metric: each for each in self.snapshots if each.dimension is None}


_LAST_CHECK: LiteralString = """
with last as (
    select check_id, taken_at
    from public.tracking_health_snapshots
    where metric = %(heartbeat)s
    order by taken_at desc
    limit 1
)
select last.taken_at, s.metric, s.dimension, s.value, s.state, s.warning, s.critical, s.detail
from last
join public.tracking_health_snapshots s
    on s.metric = any(%(metrics)s) and s.taken_at = last.taken_at and s.check_id = last.check_id
order by s.id
"""


def read_last_check(
    connection: psycopg.Connection[Any], metrics: Collection[str]
) -> RecordedCheck | None:
    """What the last check wrote about these metrics; None where there never was a check."""
    rows = connection.execute(
        _LAST_CHECK, {"heartbeat": HEARTBEAT_METRIC, "metrics": list(metrics)}
    ).fetchall()
    if not rows:
        return None
    return RecordedCheck(rows[0][0], [Snapshot(*row[1:]) for row in rows])


# A check writes its snapshots and its alert in one transaction, so both have the same moment; an
# alert that somebody else wrote has no such snapshot and is left out. The queue was beyond its
# first threshold when the event came that made it so: of n waiting events the one with as many
# before it as the threshold allows. It is counted from the newest, because an index ends there.
_BREACH_TO_ALERT: LiteralString = """
select extract(epoch from a.created_at - breach.created_at)::float8
from public.tracking_health_alerts a
join public.tracking_health_snapshots s
    on s.metric = 'queue_depth' and s.dimension is null and s.taken_at = a.created_at
cross join lateral (
    select f.created_at
    from public.tracking_failed_events f
    where f.created_at <= a.created_at and f.created_at > a.created_at - interval '1 day'
      and f.destination is not null
      and (f.status in ('pending', 'retrying')
        or coalesce(f.resolved_at, f.updated_at) > a.created_at)
    order by f.created_at desc
    offset greatest(s.value - coalesce(s.warning, s.critical) - 1, 0)::bigint
    limit 1
) as breach
where a.alert_type = 'failed_events_critical' and a.created_at >= %s
order by a.created_at desc
limit 20
"""


def read_breach_to_alert_seconds(
    connection: psycopg.Connection[Any], since: datetime
) -> list[float]:
    """How long after the queue crossed its first threshold its alert was recorded, the newest of at
    most 20 alerts first. Of the other metrics nobody knows the moment of the breach."""
    return [row[0] for row in connection.execute(_BREACH_TO_ALERT, (since,)).fetchall()]


@dataclass(frozen=True, slots=True)
class ReportedScore:
    """A score, 0 to 10, that Meta reported for one event name, with the coverages that go with it
    (percent): those that Meta reports by its own names of the match keys, and those of our ledger
    at the same time by ours."""

    event_name: str
    score: float
    taken_at: datetime
    meta_coverage_percent: dict[str, float] = field(default_factory=dict)
    ledger_coverage_percent: dict[str, float] = field(default_factory=dict)


_REPORTED: LiteralString = """
select dimension, value, taken_at, detail -> 'meta_coverage_percent',
    detail -> 'ledger_coverage_percent'
from public.tracking_health_snapshots
where metric = %s and dimension is not null and value is not null and taken_at >= %s
order by taken_at, id
"""


def read_reported_scores(
    connection: psycopg.Connection[Any], since: datetime
) -> list[ReportedScore]:
    """The scores that Meta reported, oldest first."""
    rows = connection.execute(_REPORTED, (REPORTED_METRIC, since)).fetchall()
    return [
        ReportedScore(name, score, taken_at, of_meta or {}, of_ledger or {})
        for name, score, taken_at, of_meta, of_ledger in rows
    ]


@dataclass(frozen=True, slots=True)
class KeyFeedback:
    """What Meta says of the deduplication of one event name by one key (``event_id``,
    ``external_id``, ``fbp``), in percent: the pixel's events and the server's that carry the key,
    and the pixel's events with a server event under the same one. None: it does not say."""

    event_name: str
    key: str
    browser_percent: float | None = None
    server_percent: float | None = None
    covered_percent: float | None = None


_KEY_FEEDBACK: LiteralString = """
select s.dimension, k.key, (k.value ->> 'browser_percent')::float8,
    (k.value ->> 'server_percent')::float8, (k.value ->> 'covered_percent')::float8
from (
    select distinct on (dimension) dimension, detail
    from public.tracking_health_snapshots
    where metric = %s and dimension is not null and taken_at >= %s and taken_at < %s
    order by dimension, taken_at desc, id desc
) as s, jsonb_each(s.detail) as k
order by 1, 2
"""


def read_key_feedback(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[KeyFeedback]:
    """What Meta has said last within [since, until), by event name and key."""
    rows = connection.execute(_KEY_FEEDBACK, (DEDUPLICATION_METRIC, since, until)).fetchall()
    return [KeyFeedback(*row) for row in rows]
