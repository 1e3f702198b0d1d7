"""Whether health checks still come: for whoever looks, and never part of a check.

A check that does not run cannot say so. So a sensor, ``serve`` and ``status`` look at when the last
one was, and raise the alert ``pipeline_stalled``. The next checks end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from tracking_pipeline.health.alerts.alerting import open_book
from tracking_pipeline.health.alerts.evaluation import Evaluation
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import MISSED_CHECKS_STALLED, Measured
from tracking_pipeline.health.thresholds import evaluate
from tracking_pipeline.store.health_snapshots import read_seconds_since_check

CHECK_INTERVAL_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``seconds_since_check`` is None where no check has ever run: an installation that has not
    begun is not stalled."""

    seconds_since_check: float | None

    @property
    def missed_checks(self) -> int:
        """How many checks should have come since."""
        return int((self.seconds_since_check or 0.0) // CHECK_INTERVAL_SECONDS)

    @property
    def is_stalled(self) -> bool:
        return self.missed_checks >= MISSED_CHECKS_STALLED


def read_heartbeat(connection: psycopg.Connection[Any]) -> Heartbeat:
    """When the last check was. One look at the end of an index."""
    return Heartbeat(read_seconds_since_check(connection))


def is_stalled(connection: psycopg.Connection[Any]) -> bool:
    """Whether no check has come for three intervals."""
    return read_heartbeat(connection).is_stalled


def watch_heartbeat(connection: psycopg.Connection[Any], config: HealthConfig) -> Heartbeat:
    """Looks, and raises ``pipeline_stalled`` with its message when no check has come for three
    intervals. While all is well it only reads."""
    heartbeat = read_heartbeat(connection)
    if not heartbeat.is_stalled:
        return heartbeat
    with connection.transaction():
        book = open_book(connection, config)
        # A check may have come while this waited for the lock.
        heartbeat = read_heartbeat(connection)
        if heartbeat.is_stalled:
            missed = Measured(heartbeat.missed_checks)
            result = evaluate(config.thresholds["missed_checks"], missed)
            last_check = book.now - timedelta(seconds=heartbeat.seconds_since_check or 0.0)
            book.step("pipeline_stalled", Evaluation(result, began_at=last_check), book.now)
    return heartbeat
