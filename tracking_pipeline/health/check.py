"""One health check, in two halves, so that assets can show each reading between them.

    take_reading: roll up -> read -> judge        record_reading: record and alert -> recount

- The readings are of one moment of the database. What they mean is recorded in one transaction:
  snapshots, alerts, the states of the alerts' machines, and the messages that are owed. A check
  that is killed before its commit has changed nothing but the roll-up, which goes on where it was.
- Two checks at once are safe: they take turns at the roll-up and at the alerts, and each writes its
  own snapshots.
- The recount of the last days (``health/readings/rollup.py``) comes last, once a day, so that no
  alert waits for it.
- What fails a check: a database that cannot be used. A breach is a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tracking_pipeline.health.alerts.alerting import open_book
from tracking_pipeline.health.alerts.judgement import Judgement, judge_readings
from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC, AlertType
from tracking_pipeline.health.alerts.thresholds import Metric, Verdict
from tracking_pipeline.health.notifications.dead_letter_digest import tell_dead_letters
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.all import HealthReadings, read_health
from tracking_pipeline.health.readings.rollup import (
    TIME_BUDGET_SECONDS,
    RollUp,
    recount_recent,
    roll_up,
)
from tracking_pipeline.health.readings.snapshots import snapshots_of
from tracking_pipeline.store.alerts import OpenAlert, read_open_alerts
from tracking_pipeline.store.database import DatabaseError, connect
from tracking_pipeline.store.health_snapshots import read_metrics_seen, write_snapshots


@dataclass(frozen=True, slots=True)
class Reading:
    """What a check read, and what it means by the ``policy``."""

    policy: HealthPolicy
    rolled_up: RollUp
    readings: HealthReadings
    judged: Mapping[Metric, Judgement]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a check made of its readings. ``alerts_created`` and ``alerts_resolved`` are those of
    this check, ``active_alerts`` all that are open now."""

    check_id: UUID
    judged: Mapping[Metric, Judgement]
    alerts_created: tuple[AlertType, ...]
    alerts_resolved: tuple[AlertType, ...]
    active_alerts: tuple[OpenAlert, ...]

    @property
    def verdicts(self) -> dict[Metric, Verdict]:
        return {metric: each.verdict for metric, each in self.judged.items()}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One whole check."""

    rolled_up: RollUp
    readings: HealthReadings
    recorded: Recorded


def take_reading(
    database_url: str,
    policy: HealthPolicy,
    *,
    roll_up_budget_seconds: float = TIME_BUDGET_SECONDS,
) -> Reading:
    """The first half of a check: rolls up, reads and judges.

    The first check of a long history counts for ``roll_up_budget_seconds`` and leaves the rest to
    the next ones; until then there is no score. Raises :class:`DatabaseError` when the database
    cannot be reached or fails.
    """
    with _connected(database_url) as connection:
        rolled_up = roll_up(connection, policy.counting, time_budget_seconds=roll_up_budget_seconds)
        readings = read_health(connection, policy, caught_up=rolled_up.caught_up)
        seen_before = read_metrics_seen(connection, ("emq_score",))
        return Reading(policy, rolled_up, readings, judge_readings(readings, policy, seen_before))


def record_reading(database_url: str, reading: Reading, *, run_id: str | None = None) -> Recorded:
    """The second half: records the reading, steps the alerts, and recounts. ``run_id`` is the
    Dagster run that it is part of. Raises as the first half does."""
    with _connected(database_url) as connection:
        try:
            recorded = record(connection, reading, run_id=run_id)
        except Exception:
            # What cannot be recorded may be a count that only a recount puts right.
            recount_recent(connection, reading.policy.counting)
            raise
        recount_recent(connection, reading.policy.counting)
    return recorded


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            # The message may quote the row that it is about.
            raise DatabaseError(
                f"the database failed during the health check (SQLSTATE {error.sqlstate or 'none'})"
                ": nothing is lost, the next check goes on where this one was"
            ) from None


def record(
    connection: psycopg.Connection[Any], reading: Reading, *, run_id: str | None = None
) -> Recorded:
    """Writes the snapshots of a reading and steps the alerts, in one transaction."""
    check_id = uuid4()
    policy, readings, judged = reading.policy, reading.readings, reading.judged
    with connection.transaction():
        book = open_book(connection, policy)
        judged = judge_readings(
            readings, policy, read_metrics_seen(connection, tuple(policy.thresholds))
        )
        write_snapshots(connection, check_id, snapshots_of(readings, judged, policy), run_id=run_id)
        for metric, judgement in judged.items():
            book.step(ALERT_OF_METRIC[metric], judgement, readings.taken_at)
        tell_dead_letters(book, readings.taken_at)
        return Recorded(
            check_id=check_id,
            judged=judged,
            alerts_created=tuple(book.created),
            alerts_resolved=tuple(book.resolved),
            active_alerts=tuple(read_open_alerts(connection)),
        )
