"""``queue_growth_sensor``: due events are sent soon after they are due, and a queue that grows is
looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import dagster as dg

from tracking_pipeline.defs.delivery.retry import retry_failed_events_job
from tracking_pipeline.defs.health.check import check_tracking_health_job, checked_on_an_edge
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import WINDOW_SECONDS, is_under_way, number, present_window
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.store.accepted_events import read_accepted_backlog
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.health_readings import count_waiting
from tracking_pipeline.store.health_snapshots import read_last_value
from tracking_pipeline.store.queue_counts import Backlog, read_backlog
from tracking_pipeline.wiring.health import health_config

METRIC = "queue_depth"


@dg.sensor(
    jobs=[retry_failed_events_job, check_tracking_health_job],
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a retry run when due events wait for a destination that can take them "
    "(accepted ones, which wait for their first attempt, are always due), and a health check when "
    "the queue has grown much since the last one. A failed tick means that the database could not "
    "be reached; the schedules still retry every 5 minutes and check every 15.",
)
def queue_growth_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        accepted = read_accepted_backlog(connection, DESTINATIONS)
        backlog = with_accepted(read_backlog(connection, DESTINATIONS), accepted)
        states = read_destination_states(connection)
        waiting, at_last_check = count_waiting(connection), read_last_value(connection, METRIC)
        window = present_window(connection)
        missing = installation.missing_settings()
        least = health_config(installation.settings).thresholds[METRIC].warning or 0.0
    sendable = [each for each in backlog if can_take(each.destination, states, missing)]
    due = sum(each.due for each in sendable)
    requests, words = [], []
    if due == 0:
        words.append(why_nothing_is_due(backlog, sendable))
    elif is_under_way(context.instance, retry_failed_events_job.name):
        words.append(f"{number(due)} due; a retry run is under way")
    else:
        words.append(f"{number(due)} due")
        requests.append(dg.RunRequest(f"due:{window}", job_name=retry_failed_events_job.name))
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


def with_accepted(backlog: Sequence[Backlog], accepted: Mapping[str, int]) -> list[Backlog]:
    """The backlog, with the events that wait for their first attempt among those that are due."""
    return [replace(each, due=each.due + accepted.get(each.destination, 0)) for each in backlog]


def can_take(
    destination: str, states: dict[str, DestinationState], missing: Mapping[str, str]
) -> bool:
    """Whether a run could send to the destination now, or may probe it. ``missing`` names those
    that are not configured.
    """
    state = states.get(destination, DestinationState(destination))
    return (
        destination not in missing and state.throttled_seconds <= 0 and state.probe_in_seconds <= 0
    )


def why_nothing_is_due(backlog: Sequence[Backlog], sendable: Sequence[Backlog]) -> str:
    """The skip reason, in numbers: "0 due, 14 waiting, next in 4 min"."""
    words = [f"0 due, {number(sum(each.not_due for each in backlog))} waiting"]
    waits = [each.next_due_seconds for each in sendable if each.next_due_seconds is not None]
    if waits:
        words.append(f"next in {duration(timedelta(seconds=min(waits)))}")
    held = sum(each.due for each in backlog) - sum(each.due for each in sendable)
    if held:
        words.append(f"{number(held)} held back: destination paused, throttled or not configured")
    return ", ".join(words)
