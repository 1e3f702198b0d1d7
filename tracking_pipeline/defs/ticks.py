"""What the ticks of schedules and sensors share: whether a run is under way, which window of time
it is, and counts in words.

Every job is safe to run twice, so a missed or doubled tick harms nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg

from tracking_pipeline.defs.instance.heartbeat import end_lost_runs
from tracking_pipeline.store.database import read_now
from tracking_pipeline.store.queue_counts import BACKLOG_CAP

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

# A drain ends long before. What has been executing for longer is an operator's own, or hangs, or
# was killed where there are no heartbeats to tell; waiting for that would stop the loop, and
# another drain beside it is safe.
COUNTS_FOR = timedelta(minutes=10)

# More than the queue lets run at once.
_MOST_LOOKED_AT = 100

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def is_under_way(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether a run of the job waits to be executed or is executed, for no longer than ten minutes.
    One whose process is gone is ended first, or does not count where it is only missed."""
    return count_under_way(instance, job_name) > 0


def count_under_way(instance: dg.DagsterInstance, job_name: str) -> int:
    """How many such runs of the job there are. A run that waits counts however long it has done so:
    it will do its work, and no other is needed."""
    if not _runs(instance, job_name):
        return 0
    missed = set(end_lost_runs(instance).missed)
    return sum(run_id not in missed for run_id in _runs(instance, job_name))


def _runs(instance: dg.DagsterInstance, job_name: str) -> list[str]:
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=_UNDER_WAY), limit=_MOST_LOOKED_AT
    )
    since = datetime.now(timezone.utc) - COUNTS_FOR
    return [
        record.dagster_run.run_id
        for record in records
        if record.start_time is None or record.start_time >= since.timestamp()
    ]


def every(
    cron_schedule: str,
    job: dg.JobDefinition | UnresolvedAssetJobDefinition,
    *,
    name: str,
    description: str,
) -> dg.ScheduleDefinition:
    """A schedule in UTC that launches ``job`` unless a run of it is under way, and is on by
    default."""

    @dg.schedule(
        job=job,
        cron_schedule=cron_schedule,
        name=name,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{description} Skips while a run is under way.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if is_under_way(context.instance, job.name):
            return dg.SkipReason(f"a run of {job.name} is under way")
        return dg.RunRequest()

    return tick


def number(count: int) -> str:
    """A count that may have stopped at its cap: "10000+"."""
    return f"{count}+" if count >= BACKLOG_CAP else str(count)


# Two ticks inside one window launch one run; the next window may launch again.
WINDOW_SECONDS = 30


def present_window(connection: psycopg.Connection[Any], seconds: int = WINDOW_SECONDS) -> int:
    """The number of the present window."""
    return int(read_now(connection).timestamp()) // seconds
