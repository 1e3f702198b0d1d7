"""What a health report rests on, read from what is on record: the last check, the days before it,
alerts, Meta's own scores, and the leads' places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.geo.coverage import GeoCoverage, read_geo_coverage
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import METRICS
from tracking_pipeline.health.readings.rollup import full_hour
from tracking_pipeline.store.alerts import Alert, read_alerts_since
from tracking_pipeline.store.database import Database, DatabaseError, connect, one_moment
from tracking_pipeline.store.health_history import (
    REPORTED_METRIC,
    RecordedCheck,
    ReportedScore,
    read_breach_to_alert_seconds,
    read_last_check,
    read_reported_scores,
)
from tracking_pipeline.store.health_snapshots import Snapshot, Taken, read_series
from tracking_pipeline.store.match_key_rollup import Counts, read_counts

HISTORY_DAYS = 14
# Meta's scores move slowly and come once a day.
REPORTED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of one moment of the database, ``now``.

    ``counts``: the events of the score's window by event name and match keys, as far as they are
    rolled up. ``episodes``: open alerts first, then those of the last days, the newest first.
    ``asks_meta``: whether Meta's own scores can be read.
    """

    now: datetime
    database: str
    rehearsal: bool
    config: HealthConfig
    geo: GeoCoverage
    asks_meta: bool = False
    check: RecordedCheck | None = None
    counts: Counts = field(default_factory=dict)
    episodes: Sequence[Alert] = ()
    history: Sequence[Taken] = ()
    reported: Sequence[ReportedScore] = ()
    breach_to_alert_seconds: Sequence[float] = ()

    @property
    def checked_at(self) -> datetime | None:
        return self.check.taken_at if self.check else None

    @property
    def seconds_since_check(self) -> float | None:
        return (self.now - self.check.taken_at).total_seconds() if self.check else None

    @property
    def history_begins(self) -> datetime:
        return self.now - timedelta(days=HISTORY_DAYS)

    @property
    def open_episodes(self) -> list[Alert]:
        """The critical ones first, then the oldest."""
        found = [each for each in self.episodes if each.resolved_at is None]
        return sorted(found, key=lambda each: (each.severity != "critical", each.created_at))

    def snapshot(self, metric: str, dimension: str | None = None) -> Snapshot | None:
        """One number of the last check."""
        snapshots = self.check.snapshots if self.check else []
        found = (s for s in snapshots if s.metric == metric and s.dimension == dimension)
        return next(found, None)

    def value(self, metric: str, dimension: str | None = None) -> float | None:
        """The value of one number of the last check."""
        found = self.snapshot(metric, dimension)
        return found.value if found else None

    def parts(self, metric: str) -> dict[str, float | None]:
        """The values of the parts of a metric at the last check, by dimension."""
        snapshots = self.check.snapshots if self.check else []
        return {s.dimension: s.value for s in snapshots if s.metric == metric and s.dimension}

    def detail(self, metric: str) -> Mapping[str, Any]:
        """What else the last check recorded of a metric; empty where it recorded nothing."""
        found = self.snapshot(metric)
        return (found.detail if found else None) or {}


def read_evidence(database: Database, config: HealthConfig, *, asks_meta: bool) -> Evidence:
    """Reads what is on record in the database. :class:`DatabaseError` when it fails."""
    with connect(database.url) as connection:
        try:
            with one_moment(connection) as now:
                return _read(connection, database, config, now, asks_meta=asks_meta)
        except psycopg.Error as error:
            raise DatabaseError(
                f"the database failed while the report was read (SQLSTATE "
                f"{error.sqlstate or 'none'}): materialize it again"
            ) from None


def _read(
    connection: psycopg.Connection[Any],
    database: Database,
    config: HealthConfig,
    now: datetime,
    *,
    asks_meta: bool,
) -> Evidence:
    begins = now - timedelta(days=HISTORY_DAYS)
    since = full_hour(now - timedelta(days=config.emq_window_days))
    return Evidence(
        now=now,
        database=database.label,
        rehearsal=database.rehearsal,
        config=config,
        geo=read_geo_coverage(connection),
        asks_meta=asks_meta,
        check=read_last_check(connection, METRICS),
        counts=read_counts(connection, since, now),
        episodes=read_alerts_since(connection, begins),
        history=read_series(connection, (*METRICS, REPORTED_METRIC), begins),
        reported=read_reported_scores(connection, now - timedelta(days=REPORTED_DAYS)),
        breach_to_alert_seconds=read_breach_to_alert_seconds(connection, begins),
    )
