"""What runs at fixed times. Every job is safe to run twice, so a missed or doubled tick harms
nothing.
"""

import dagster as dg

from tracking_pipeline.destinations import meta_account
from tracking_pipeline.jobs.active import is_under_way
from tracking_pipeline.jobs.check import check_tracking_health_job
from tracking_pipeline.jobs.enrich import enrich_leads_job
from tracking_pipeline.jobs.geo_update import update_geo_database_job
from tracking_pipeline.jobs.maintenance import maintenance_job
from tracking_pipeline.jobs.reported_emq import read_meta_emq_job
from tracking_pipeline.jobs.retention import ip_retention_job
from tracking_pipeline.jobs.retry import retry_failed_events_job
from tracking_pipeline.resources import TrackingResource


def _unless_under_way(
    context: dg.ScheduleEvaluationContext, job_name: str
) -> dg.RunRequest | dg.SkipReason:
    if is_under_way(context.instance, job_name):
        return dg.SkipReason(f"a run of {job_name} is under way")
    return dg.RunRequest()


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
    return _unless_under_way(context, retry_failed_events_job.name)


@dg.schedule(
    job=check_tracking_health_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks tracking's health every 15 minutes. When three checks in a row do not "
    "come, threshold_breach_sensor raises the alert pipeline_stalled. Skips while a check is under "
    "way.",
)
def check_tracking_health_schedule(
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest | dg.SkipReason:
    return _unless_under_way(context, check_tracking_health_job.name)


@dg.schedule(
    job=enrich_leads_job,
    cron_schedule="*/10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks up leads without a place every 10 minutes: new ones, and those whose next "
    "look-up has its time. Skips while an enrichment run is under way.",
)
def enrich_leads_schedule(
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest | dg.SkipReason:
    return _unless_under_way(context, enrich_leads_job.name)


@dg.schedule(
    job=ip_retention_job,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Cuts IP addresses older than IP_RETENTION_DAYS once a day.",
)
def ip_retention_schedule() -> dg.RunRequest:
    return dg.RunRequest()


@dg.schedule(
    job=maintenance_job,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes old runs and old health snapshots once a day.",
)
def maintenance_schedule() -> dg.RunRequest:
    return dg.RunRequest()


@dg.schedule(
    job=update_geo_database_job,
    cron_schedule="0 4 4 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Brings the new DB-IP City Lite database on the fourth of each month. Off until "
    "you turn it on: it downloads about 60 MB from db-ip.com.",
)
def update_geo_database_schedule() -> dg.RunRequest:
    return dg.RunRequest()


@dg.schedule(
    job=read_meta_emq_job,
    cron_schedule="40 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reads the Event Match Quality that Meta reports once a day. Skips while Meta is "
    "not configured.",
)
def read_meta_emq_schedule(tracking: TrackingResource) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation:
        if installation.database.rehearsal:
            return dg.SkipReason("a rehearsal asks nobody")
        if meta_account(installation.settings) is None:
            return dg.SkipReason("META_DATASET_ID or META_ACCESS_TOKEN is not set")
    return dg.RunRequest()


default_schedules = [
    retry_failed_events_schedule,
    check_tracking_health_schedule,
    enrich_leads_schedule,
    ip_retention_schedule,
    maintenance_schedule,
    update_geo_database_schedule,
    read_meta_emq_schedule,
]
