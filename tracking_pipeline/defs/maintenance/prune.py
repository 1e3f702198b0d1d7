"""``maintenance_job``: deletes what is old enough, so that the databases stay as large as they are.

What is deleted: runs of Dagster that ended more than ``RUN_RETENTION_DAYS`` ago, with their events
(failed ones three times as long ago, for whoever looks into them), and health snapshots older than
``SNAPSHOT_RETENTION_DAYS``. Alerts, attempts and the last state of every asset stay.

What fails a run: a database that cannot be used. What a second run does: it finds less.
"""

import time
from datetime import datetime, timedelta, timezone

import dagster as dg
import psycopg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, LONG_RUN
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.health_snapshots import prune_snapshots

FAILED_RUNS_KEPT = 3
TIME_BUDGET_SECONDS = 600.0
_PAGE = 100


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
    description="Deletes old runs of Dagster and old health snapshots, for ten minutes at most. "
    "Fails when a database cannot be used; nothing is lost, and the next run goes on."
)
def prune_history(context: dg.OpExecutionContext, tracking: TrackingResource) -> None:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        settings = installation.settings
        try:
            snapshots = prune_snapshots(
                connection, older_than_days=settings.snapshot_retention_days
            )
        except psycopg.Error as error:
            raise dg.Failure(
                f"the database failed (SQLSTATE {error.sqlstate or 'none'}): the next run goes on"
            ) from None
    runs = prune_runs(
        context.instance,
        older_than_days=settings.run_retention_days,
        now=datetime.now(timezone.utc),
        deadline=time.monotonic() + TIME_BUDGET_SECONDS,
    )
    context.log.info(f"{runs} runs and {snapshots} snapshots deleted")
    context.add_output_metadata(
        {
            "runs_deleted": runs,
            "snapshots_deleted": snapshots,
            "run_retention_days": settings.run_retention_days,
            "snapshot_retention_days": settings.snapshot_retention_days,
        }
    )


@dg.job(
    description="Deletes runs older than RUN_RETENTION_DAYS and health snapshots older than "
    "SNAPSHOT_RETENTION_DAYS. maintenance_schedule launches it once a day; launching it by hand "
    "does no harm.",
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
    description="Deletes old runs and old health snapshots once a day.",
)
