"""``maintenance_job``: deletes what is old enough, so that the databases stay as large as they are.

What is deleted: runs of Dagster that ended more than ``RUN_RETENTION_DAYS`` ago, with their events
(failed ones three times as long ago, for whoever looks into them); health snapshots older than
``SNAPSHOT_RETENTION_DAYS``; attempts of settled events, and what Google said of its requests, older
than ``ATTEMPT_RETENTION_DAYS``; counts by hour older than ``ROLLUP_RETENTION_DAYS``; messages of
alerts that ended, older than ``NOTIFICATION_RETENTION_DAYS``. Alerts, the attempts of what waits or
may be replayed, and the last state of every asset stay; a site's own tables are its own.

What fails a run: a database that cannot be used. What a second run does: it finds less.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import psycopg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, LONG_RUN
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.table_growth import (
    ATTEMPTS,
    GOOGLE_REQUESTS,
    NOTIFICATIONS,
    ROLL_UPS,
    SNAPSHOTS,
    Ageing,
    prune,
)

FAILED_RUNS_KEPT = 3
# Of the tables, and again of Dagster's runs.
TIME_BUDGET_SECONDS = 500.0
_PAGE = 100


@dataclass(frozen=True)
class PruneTotals:
    """How many rows of each kind were deleted. ``done`` is False where the time was over before
    the work: the next run goes on."""

    deleted: dict[str, int]
    done: bool

    def as_json(self) -> dict[str, Any]:
        """The command's JSON."""
        return {"success": True, "deleted": self.deleted, "done": self.done}


def kept_days(settings: Settings) -> dict[str, tuple[int, tuple[Ageing, ...]]]:
    """For how many days what is kept, by the name of its count."""
    return {
        "snapshots": (settings.snapshot_retention_days, (SNAPSHOTS,)),
        "attempts": (settings.attempt_retention_days, (ATTEMPTS,)),
        "google_requests": (settings.attempt_retention_days, (GOOGLE_REQUESTS,)),
        "rollup_rows": (settings.rollup_retention_days, ROLL_UPS),
        "notifications": (settings.notification_retention_days, (NOTIFICATIONS,)),
    }


def prune_tables(
    connection: psycopg.Connection[Any], settings: Settings, *, deadline: float
) -> PruneTotals:
    """Deletes what is old enough of our own tables, until ``deadline`` (monotonic)."""
    deleted, done = {}, True
    for name, (days, tables) in kept_days(settings).items():
        steps = [
            prune(connection, table, older_than_days=days, deadline=deadline) for table in tables
        ]
        deleted[name] = sum(step.deleted for step in steps)
        done = done and all(step.done for step in steps)
    return PruneTotals(deleted, done)


def prune_runs(
    instance: dg.DagsterInstance, *, older_than_days: int, now: datetime, deadline: float
) -> int:
    """Deletes the runs that ended so long ago, with their events. ``deadline`` (monotonic) bounds
    the time; what it leaves is old tomorrow as well. Returns how many."""
    old = timedelta(days=older_than_days)
    ended_well = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
    return sum(
        _prune(instance, dg.RunsFilter(statuses=statuses, updated_before=before), deadline)
        for statuses, before in (
            (ended_well, now - old),
            ([dg.DagsterRunStatus.FAILURE], now - FAILED_RUNS_KEPT * old),
        )
    )


def _prune(instance: dg.DagsterInstance, which: dg.RunsFilter, deadline: float) -> int:
    deleted = 0
    while runs := instance.get_runs(which, limit=_PAGE):
        for run in runs:
            if time.monotonic() >= deadline:
                return deleted
            instance.delete_run(run.run_id)
            deleted += 1
    return deleted


@dg.op(
    description="Deletes old Dagster runs and old rows of the pipeline's own tables, in small "
    "steps, for at most 15 minutes. Fails if a database cannot be used; nothing is "
    "lost, and the next run continues.",
    out=dg.Out(description="What was deleted."),
)
def prune_history(context: dg.OpExecutionContext, tracking: TrackingResource) -> PruneTotals:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        settings = installation.settings
        try:
            tables = prune_tables(
                connection, settings, deadline=time.monotonic() + TIME_BUDGET_SECONDS
            )
        except psycopg.Error as error:
            raise dg.Failure(
                f"the database failed (SQLSTATE {error.sqlstate or 'none'}): the next run goes on"
            ) from None
    deadline = time.monotonic() + TIME_BUDGET_SECONDS
    runs = prune_runs(
        context.instance,
        older_than_days=settings.run_retention_days,
        now=datetime.now(timezone.utc),
        deadline=deadline,
    )
    totals = PruneTotals(
        {"runs": runs, **tables.deleted}, tables.done and time.monotonic() < deadline
    )
    context.log.info(f"deleted: {', '.join(f'{n} {name}' for name, n in totals.deleted.items())}")
    context.add_output_metadata(
        {
            **{f"{name}_deleted": count for name, count in totals.deleted.items()},
            "run_retention_days": settings.run_retention_days,
            "snapshot_retention_days": settings.snapshot_retention_days,
            "attempt_retention_days": settings.attempt_retention_days,
            "rollup_retention_days": settings.rollup_retention_days,
            "notification_retention_days": settings.notification_retention_days,
            "done": totals.done,
        }
    )
    return totals


@dg.job(
    description="Deletes old data: runs (RUN_RETENTION_DAYS), health snapshots "
    "(SNAPSHOT_RETENTION_DAYS), attempts of settled events (ATTEMPT_RETENTION_DAYS), "
    "counts by hour (ROLLUP_RETENTION_DAYS), messages of ended alerts "
    "(NOTIFICATION_RETENTION_DAYS). maintenance_schedule launches it once a day; "
    "launching it by hand is harmless.",
    tags={
        GROUP_TAG: "maintenance",
        **AGAIN_FROM_THE_START,
        **LONG_RUN,
        "dagster/max_runtime": "1200",
    },
)
def maintenance_job() -> None:
    prune_history()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_schedule",
    job=maintenance_job,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes old runs and old rows of the pipeline's own tables once a day.",
)
