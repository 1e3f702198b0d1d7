"""``lost_runs_sensor``: a run whose process is gone is ended within two minutes."""

import dagster as dg

from tracking_pipeline.defs.instance.heartbeat import end_lost_runs


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone (killed, or its machine is), so that they hold up "
    "nothing: a run shows every 10 seconds that it lives, wherever it was started, and one that "
    "has been silent for a minute is marked as failed. It launches nothing. Off: retries wait for "
    "dead runs, up to ten minutes each.",
)
def lost_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    found = end_lost_runs(context.instance)
    for run_id in found.ended:
        context.log.warning(f"run {run_id} was ended: its process is gone")
    return dg.SkipReason(f"{len(found.ended)} lost runs ended, {len(found.missed)} silent")
