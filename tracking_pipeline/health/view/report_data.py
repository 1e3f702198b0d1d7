"""What a health report rests on, read from what is on record: how tracking stands, the days before,
alerts, Meta's own scores, and the leads' places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from tracking_pipeline.geo.coverage import GeoCoverage, read_geo_coverage
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import METRICS
from tracking_pipeline.health.readings.accounting import AccountingReading, read_lately
from tracking_pipeline.health.readings.rollup import full_hour
from tracking_pipeline.health.view.summary import HealthSummary, read_summary
from tracking_pipeline.store.alerts import AlertRow, read_alerts_since
from tracking_pipeline.store.database import Database, DatabaseError, connect, one_moment
from tracking_pipeline.store.health_history import (
    REPORTED_METRIC,
    ReportedScore,
    read_breach_to_alert_seconds,
    read_reported_scores,
)
from tracking_pipeline.store.health_snapshots import Taken, read_series
from tracking_pipeline.store.match_key_rollup import Counts, read_counts

HISTORY_DAYS = 14
# Meta's scores move slowly and come once a day.
REPORTED_DAYS = 90


@dataclass(frozen=True, slots=True)
class ReportData:
    """All of one moment of the database.

    ``counts``: the events of the score's window by event name and match keys, as far as they are
    rolled up. ``alerts``: open ones first, then those of the last days, the newest first.
    ``asks_meta``: whether Meta's own scores can be read.
    """

    summary: HealthSummary
    database: str
    rehearsal: bool
    config: HealthConfig
    geo: GeoCoverage
    asks_meta: bool = False
    counts: Counts = field(default_factory=dict)
    alerts: Sequence[AlertRow] = ()
    history: Sequence[Taken] = ()
    reported: Sequence[ReportedScore] = ()
    breach_to_alert_seconds: Sequence[float] = ()
    accounting: AccountingReading | None = None

    @property
    def now(self) -> datetime:
        return self.summary.now

    @property
    def history_begins(self) -> datetime:
        return self.now - timedelta(days=HISTORY_DAYS)


def read_report_data(database: Database, config: HealthConfig, *, asks_meta: bool) -> ReportData:
    """Reads what is on record in the database. :class:`DatabaseError` when it fails."""
    with connect(database.url) as connection:
        try:
            with one_moment(connection) as now:
                begins = now - timedelta(days=HISTORY_DAYS)
                window = full_hour(now - timedelta(days=config.emq_window_days))
                reported_since = now - timedelta(days=REPORTED_DAYS)
                return ReportData(
                    summary=read_summary(connection, now, config),
                    database=database.label,
                    rehearsal=database.rehearsal,
                    config=config,
                    geo=read_geo_coverage(connection),
                    asks_meta=asks_meta,
                    counts=read_counts(connection, window, now),
                    alerts=read_alerts_since(connection, begins),
                    history=read_series(connection, (*METRICS, REPORTED_METRIC), begins),
                    reported=read_reported_scores(connection, reported_since),
                    accounting=read_lately(connection, config, now),
                    breach_to_alert_seconds=read_breach_to_alert_seconds(connection, begins),
                )
        except psycopg.Error as error:
            raise DatabaseError(
                f"the database failed while the report was read (SQLSTATE "
                f"{error.sqlstate or 'none'}): materialize it again"
            ) from None
