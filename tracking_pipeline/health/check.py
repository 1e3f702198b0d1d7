"""One health check, in two halves, so that assets can show each reading between them.

    take_reading: roll up -> read -> evaluate      record_reading: record and alert -> recount

- The readings are of one moment of the database. What they mean is recorded in one transaction:
  snapshots, alerts, the states of the alerts' machines, and the messages that are due. A check
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
from tracking_pipeline.health.alerts.evaluation import Evaluation, evaluate_readings
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import METRICS, AlertType, Level, Metric, alert_specs
from tracking_pipeline.health.readings.arrivals import account
from tracking_pipeline.health.readings.automation import AutomationReading
from tracking_pipeline.health.readings.readings import HealthReadings, read_health
from tracking_pipeline.health.readings.rollup import (
    TIME_BUDGET_SECONDS,
    RollUp,
    recount_recent,
    roll_up,
)
from tracking_pipeline.store.alerts import AlertRow, read_open_alerts
from tracking_pipeline.store.database import DatabaseError, connect
from tracking_pipeline.store.health_snapshots import Snapshot, write_snapshots
from tracking_pipeline.store.setting_changes import note_settings


@dataclass(frozen=True, slots=True)
class CheckReading:
    """What a check read, and what it means by the ``config``."""

    config: HealthConfig
    rolled_up: RollUp
    readings: HealthReadings
    evaluations: Mapping[Metric, Evaluation]


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """What a check made of its readings. ``alerts_created`` and ``alerts_resolved`` are those of
    this check, ``active_alerts`` all that are open now."""

    check_id: UUID
    evaluations: Mapping[Metric, Evaluation]
    alerts_created: tuple[AlertType, ...]
    alerts_resolved: tuple[AlertType, ...]
    active_alerts: tuple[AlertRow, ...]

    @property
    def levels(self) -> dict[Metric, Level]:
        return {metric: each.result.level for metric, each in self.evaluations.items()}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One whole check."""

    rolled_up: RollUp
    readings: HealthReadings
    recorded: CheckRecord


def take_reading(
    database_url: str,
    config: HealthConfig,
    *,
    roll_up_budget_seconds: float = TIME_BUDGET_SECONDS,
    automation: AutomationReading | None = None,
) -> CheckReading:
    """The first half of a check: rolls up, reads and evaluates.

    The first check of a long history counts for ``roll_up_budget_seconds`` and leaves the rest to
    the next ones; until then there is no score. ``automation`` is what Dagster knows of our
    schedules and sensors; None: nobody asked. Raises :class:`DatabaseError` when the database
    cannot be reached or fails.
    """
    with _connected(database_url) as connection:
        rolled_up = roll_up(connection, config.counting, time_budget_seconds=roll_up_budget_seconds)
        account(connection, config.accounting)
        note_settings(connection, config.setting_digests)
        readings = read_health(
            connection, config, caught_up=rolled_up.caught_up, automation=automation
        )
    return CheckReading(config, rolled_up, readings, evaluate_readings(readings, config.thresholds))


def record_reading(
    database_url: str, reading: CheckReading, *, run_id: str | None = None
) -> CheckRecord:
    """The second half: records the reading, steps the alerts, and recounts. ``run_id`` is the
    Dagster run that it is part of. Raises as the first half does."""
    with _connected(database_url) as connection:
        try:
            recorded = record(connection, reading, run_id=run_id)
        except Exception:
            # What cannot be recorded may be a count that only a recount puts right.
            recount_recent(connection, reading.config.counting)
            raise
        recount_recent(connection, reading.config.counting)
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
    connection: psycopg.Connection[Any], reading: CheckReading, *, run_id: str | None = None
) -> CheckRecord:
    """Writes the snapshots of a reading and steps the alerts, in one transaction."""
    check_id = uuid4()
    taken_at, evaluations = reading.readings.taken_at, reading.evaluations
    with connection.transaction():
        book = open_book(connection, reading.config)
        write_snapshots(connection, check_id, snapshots_of(reading), run_id=run_id)
        for spec, alert in alert_specs():
            book.step(alert.type, evaluations[spec.name], taken_at)
        book.tell_dead_letters(taken_at)
        book.tell_new_channels()
        return CheckRecord(
            check_id=check_id,
            evaluations=evaluations,
            alerts_created=tuple(book.created),
            alerts_resolved=tuple(book.resolved),
            active_alerts=tuple(read_open_alerts(connection)),
        )


def snapshots_of(reading: CheckReading) -> list[Snapshot]:
    """The rows of one check: one a metric, with its level, thresholds and whole reading where it
    has them, and one for each of its parts. Pure."""
    rows = []
    for spec in METRICS.values():
        measured = spec.read(reading.readings)
        thresholds = reading.config.thresholds.get(spec.name)
        if not spec.only_parts:
            rows.append(
                Snapshot(
                    metric=spec.name,
                    dimension=None,
                    value=measured.value,
                    state=reading.evaluations[spec.name].result.level if spec.alert else None,
                    warning=thresholds.warning if thresholds else None,
                    critical=thresholds.critical if thresholds else None,
                    detail=measured.detail,
                )
            )
        rows += [Snapshot(spec.name, part, value) for part, value in measured.parts.items()]
    return rows
