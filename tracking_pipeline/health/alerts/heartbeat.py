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
    """``seconds_since_check`` is None where no check has ever run: then it is stalled only where
    somebody has waited for the first one for long enough, ``waited_seconds``."""

    seconds_since_check: float | None
    waited_seconds: float = 0.0

    @property
    def silent_seconds(self) -> float:
        """For how long there has been no check, as far as is known."""
        return self.waited_seconds if self.seconds_since_check is None else self.seconds_since_check

    @property
    def missed_checks(self) -> int:
        """How many checks should have come since."""
        return int(self.silent_seconds // CHECK_INTERVAL_SECONDS)

    @property
    def is_stalled(self) -> bool:
        return self.missed_checks >= MISSED_CHECKS_STALLED


def read_heartbeat(
    connection: psycopg.Connection[Any], *, waited_seconds: float = 0.0
) -> Heartbeat:
    """When the last check was. One look at the end of an index. ``waited_seconds``: for how
    long the caller has looked."""
    return Heartbeat(read_seconds_since_check(connection), waited_seconds)


def is_stalled(connection: psycopg.Connection[Any]) -> bool:
    """Whether no check has come for three intervals."""
    return read_heartbeat(connection).is_stalled


def watch_heartbeat(
    connection: psycopg.Connection[Any], config: HealthConfig, *, waited_seconds: float = 0.0
) -> Heartbeat:
    """Looks, and raises ``pipeline_stalled`` with its message when no check has come for three
    intervals. While all is well it only reads."""
    heartbeat = read_heartbeat(connection, waited_seconds=waited_seconds)
    if not heartbeat.is_stalled:
        return heartbeat
    with connection.transaction():
        book = open_book(connection, config)
        # A check may have come while this waited for the lock.
        heartbeat = read_heartbeat(connection, waited_seconds=waited_seconds)
        if heartbeat.is_stalled:
            missed = Measured(heartbeat.missed_checks)
            result = evaluate(config.thresholds["missed_checks"], missed)
            began_at = book.now - timedelta(seconds=heartbeat.silent_seconds)
            book.step("pipeline_stalled", Evaluation(result, began_at=began_at), book.now)
    return heartbeat
