"""``new_leads_sensor``: a new lead gets its place soon after it came."""

import dagster as dg

from tracking_pipeline.defs.active import is_under_way
from tracking_pipeline.defs.geo.enrich import enrich_leads_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.leads import read_locate_backlog


@dg.sensor(
    job=enrich_leads_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches an enrichment run when a lead has arrived that nobody has looked up. "
    "Leads that are asked again later, or wait for a source of places, are left to the schedule. A "
    "failed tick means that the database could not be reached.",
)
def new_leads_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        backlog = read_locate_backlog(connection)
    found = f"{backlog.new} new, {backlog.waiting} waiting"
    newest = str(backlog.newest)
    if backlog.new == 0:
        return dg.SkipReason(found)
    if newest == context.cursor:
        return dg.SkipReason(f"{found}; a run was launched for them, the schedule asks again")
    if is_under_way(context.instance, enrich_leads_job.name):
        return dg.SkipReason(f"{found}; an enrichment run is under way")
    context.log.info(found)
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=newest)
