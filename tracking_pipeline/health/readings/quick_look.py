"""What can be judged every 30 seconds: the readings that cost little however long the tables are.

The EMQ score is not among them. It is a mean over days, which no half minute moves, and counting
the newest events for it is the roll-up's work.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tracking_pipeline.health.alerts.thresholds import Metric, Verdict, judge
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.all import read_geo_down, read_paused
from tracking_pipeline.health.readings.events import read_error_rate
from tracking_pipeline.health.readings.queue import read_dead_letters
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.health_readings import count_waiting


def look_quickly(
    connection: psycopg.Connection[Any], policy: HealthPolicy
) -> dict[Metric, Verdict]:
    """The verdicts of the metrics that are quick to read, as a check would give them."""
    limits = policy.thresholds
    with one_moment(connection) as now:
        error_rate = read_error_rate(connection, policy, now)
        return {
            "queue_depth": judge(limits["queue_depth"], count_waiting(connection)),
            "error_rate": judge(limits["error_rate"], error_rate.percent, error_rate.events),
            "dead_letters": judge(
                limits["dead_letters"], read_dead_letters(connection, now).events
            ),
            "paused_destinations": judge(
                limits["paused_destinations"], len(read_paused(connection))
            ),
            "geo_providers_down": judge(
                limits["geo_providers_down"], len(read_geo_down(connection))
            ),
        }
