"""What runs at fixed times. Every job is safe to run twice, so a missed or doubled tick harms
nothing.
"""

import dagster as dg

from tracking_pipeline.jobs.active import is_under_way
from tracking_pipeline.jobs.retry import retry_failed_events_job


@dg.schedule(
    job=retry_failed_events_job,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Retries due failed events every 5 minutes, also when the sensor is off. "
    "Skips while a retry run is under way.",
)
def retry_failed_events_schedule(
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest | dg.SkipReason:
    if is_under_way(context.instance, retry_failed_events_job.name):
        return dg.SkipReason("a retry run is under way")
    return dg.RunRequest()


default_schedules = [retry_failed_events_schedule]
