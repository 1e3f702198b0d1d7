"""What is read for one page: a handful of statements, each bounded by an index or a cap.

What the last check has counted is taken from its record. What changes from minute to minute, and
after a click, is read live.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tracking_pipeline.geo.coverage import WINDOW_DAYS
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.readings.accounting import AccountingReading, read_lately
from tracking_pipeline.health.view.status import DestinationStatus, read_destinations
from tracking_pipeline.health.view.summary import HealthSummary, read_summary
from tracking_pipeline.store.alerts import AlertRow, read_resolved_alerts
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.dead_letters import Group, read_groups, read_offers
from tracking_pipeline.store.geo_coverage import has_places_from
from tracking_pipeline.store.health_snapshots import Point, read_course
from tracking_pipeline.web.page.dead_letters import MOST_DEAD_LETTERS, DeadLetterFilter
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline.wiring.installation import Installation

COURSE_DAYS = 30
COURSE_STEP_HOURS = 6
ENDED_ALERTS = 10

# `geo_source` of places from DB-IP's files, whose licence asks for a link where they are shown.
_DB_IP = "mmdb dbip"


@dataclass(frozen=True, slots=True)
class PageReading:
    """All of one moment. ``dead_letters`` are those that the filter matches, of at most
    :data:`MOST_DEAD_LETTERS`; ``offers`` those of pauses that are over."""

    summary: HealthSummary
    ended_alerts: Sequence[AlertRow]
    course: Sequence[Point]
    destinations: dict[str, DestinationStatus]
    dead_letters: Sequence[Group]
    offers: Sequence[Group]
    shows_db_ip: bool
    accounting: AccountingReading
    config: HealthConfig


def read_page(
    connection: psycopg.Connection[Any], installation: Installation, chosen: DeadLetterFilter
) -> PageReading:
    """Reads it. ``chosen`` narrows the dead letters that are shown."""
    with one_moment(connection) as now:
        config = health_config(installation.settings)
        summary = read_summary(connection, now, config)
        return PageReading(
            summary=summary,
            ended_alerts=read_resolved_alerts(connection, ENDED_ALERTS),
            course=read_course(
                connection, "emq_score", days=COURSE_DAYS, step_hours=COURSE_STEP_HOURS
            ),
            destinations=read_destinations(connection, installation.missing_settings()),
            dead_letters=read_groups(connection, chosen.to_query(now), most=MOST_DEAD_LETTERS),
            offers=read_offers(connection),
            accounting=read_lately(connection, config, now),
            config=config,
            shows_db_ip=bool(summary.detail("geo_coverage").get("by_source", {}).get("mmdb"))
            and has_places_from(connection, WINDOW_DAYS, _DB_IP),
        )
