"""``queue_growth_sensor``: due events are sent soon after they are due, and a queue that grows is
looked at.
"""

import dagster as dg

from tracking_pipeline.defs.delivery.backlog import (
    LAUNCHED_BY_ANOTHER,
    read_due_events,
    runs_called_for,
    why_nothing_is_due,
)
from tracking_pipeline.defs.delivery.retry import retry_failed_events_job
from tracking_pipeline.defs.health.check import check_tracking_health_job, checked_on_an_edge
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import (
    WINDOW_SECONDS,
    count_under_way,
    is_under_way,
    number,
    present_window,
)
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.health_readings import count_waiting
from tracking_pipeline.store.health_snapshots import read_last_value
from tracking_pipeline.store.launches import take_places
from tracking_pipeline.wiring.health import health_config

METRIC = "queue_depth"


@dg.sensor(
    jobs=[retry_failed_events_job, check_tracking_health_job],
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches retry runs when due events wait for a destination that accepts events "
    "(accepted events, which wait for their first attempt, are always due): one, or "
    "up to RETRY_WORKERS at once for a long queue. Launches a health check when the "
    "queue has grown a lot since the last one. If a tick fails, the database could "
    "not be reached; the schedules still retry every 5 minutes and check every 15.",
)
def queue_growth_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        due = read_due_events(installation, connection)
        waiting, at_last_check = count_waiting(connection), read_last_value(connection, METRIC)
        window = present_window(connection)
        workers = installation.settings.retry_workers
        least = health_config(installation.settings).thresholds[METRIC].warning or 0.0
        retry = retry_failed_events_job.name
        under_way = count_under_way(context.instance, retry) if due.count else 0
        called_for = range(under_way, runs_called_for(due.count, workers))
        places = take_places(connection, retry, called_for, by=queue_growth_sensor.name)
    requests = [dg.RunRequest(f"due:{window}:{place}", job_name=retry) for place in places]
    words = [f"{number(due.count)} due" if due.count else why_nothing_is_due(due)]
    if under_way:
        words.append(
            "a retry run is under way"
            if under_way == 1
            else f"{under_way} retry runs are under way"
        )
    if called_for and not places:
        words.append(LAUNCHED_BY_ANOTHER)
    if has_grown(waiting, at_last_check, least=least):
        words.append(f"grown from {at_last_check:.0f} to {waiting} since the last check")
        if not is_under_way(context.instance, check_tracking_health_job.name):
            check = check_tracking_health_job.name
            wanted = checked_on_an_edge(context.instance)
            requests.append(
                dg.RunRequest(f"growth:{window}", job_name=check, asset_selection=wanted)
            )
    if not requests:
        return dg.SkipReason("; ".join(words))
    context.log.info("; ".join(words))
    return dg.SensorResult(run_requests=requests)


def has_grown(waiting: int, at_last_check: float | None, *, least: float) -> bool:
    """Whether the queue has grown by half since the last check, and by more than ``least``: what
    the alerts and the plots say of it is out of date. A first check is left to the schedule."""
    if at_last_check is None:
        return False
    return waiting - at_last_check > max(least, at_last_check / 2)
