"""``threshold_breach_sensor``: a breach becomes an alert within a minute, and a stall is noticed.

It looks; the check it launches reads again, records, and steps the alerts. The stall of the checks
themselves is raised here directly, because no check would.
"""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from tracking_pipeline.defs.health.check import check_tracking_health_job, checked_on_an_edge
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import WINDOW_SECONDS, is_under_way, present_window
from tracking_pipeline.health.alerts.evaluation import Trigger, evaluate_quickly, find_triggers
from tracking_pipeline.health.alerts.heartbeat import Heartbeat, watch_heartbeat
from tracking_pipeline.health.alerts.rules import AlertState
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.health.metrics import METRICS, AlertType, Metric, alert_types
from tracking_pipeline.health.readings.readings import read_quickly
from tracking_pipeline.health.thresholds import ThresholdResult
from tracking_pipeline.store.alerts import read_alert_states
from tracking_pipeline.store.database import connect
from tracking_pipeline.wiring.health import health_config

# A check that was launched for a trigger and did not take it away (it failed, or it reads
# otherwise) is launched again after this many windows, not every time.
PATIENCE_WINDOWS = 10


@dg.sensor(
    job=check_tracking_health_job,
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at the queue, the error rate, dead letters, paused destinations and "
    "geolocation providers, and launches a health check when one of them crosses a "
    "threshold or recovers. Also raises the alert pipeline_stalled when there has "
    "been no check for three intervals. If a tick fails, the database could not be "
    "reached; the schedule still checks every 15 minutes.",
)
def threshold_breach_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        health = health_config(installation.settings)
        heartbeat = watch_heartbeat(connection, health)
        results = evaluate_quickly(read_quickly(connection, health), health.thresholds)
        stored = read_alert_states(connection)
        window = present_window(connection)
    states: dict[AlertType, AlertState] = {
        name: AlertState.from_json(stored.get(name, {})) for name in alert_types()
    }
    triggers = find_triggers(states, results)
    found = in_numbers(results, heartbeat)
    if not triggers:
        return dg.SensorResult(skip_reason=found, cursor="")
    named = ", ".join(f"{trigger} of {name}" for name, trigger in triggers.items())
    if is_under_way(context.instance, check_tracking_health_job.name):
        return dg.SkipReason(f"{named}: {found}; a check is under way")
    if not is_time_to_launch(context.cursor, triggers, window):
        return dg.SkipReason(f"{named}: {found}; a check was launched for it")
    context.log.info(f"{named}: {found}")
    request = dg.RunRequest(
        run_key=f"edge:{window}",
        asset_selection=checked_on_an_edge(context.instance),
        tags={"tracking/edge": named},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor_of(triggers, window))


def in_numbers(results: Mapping[Metric, ThresholdResult], heartbeat: Heartbeat) -> str:
    """The skip reason: "3 waiting, error rate 0.4 %, ...; last check 4 min ago"."""
    words = [
        METRICS[metric].quick.format(value=result.value)
        for metric, result in results.items()
        if result.value is not None
    ]
    since = heartbeat.seconds_since_check
    ago = None if since is None else duration(timedelta(seconds=since))
    checked = "no check yet" if ago is None else f"last check {ago} ago"
    stalled = ": stalled" if heartbeat.is_stalled else ""
    return f"{', '.join(words)}; {checked}{stalled}"


def cursor_of(triggers: Mapping[AlertType, Trigger], window: int) -> str:
    """What the sensor remembers of a launch: the triggers it was for, and when."""
    return f"{_key(triggers)}@{window}"


def is_time_to_launch(
    cursor: str | None, triggers: Mapping[AlertType, Trigger], window: int
) -> bool:
    """Whether no check was launched for these triggers, or so long ago that it has failed."""
    key, _, launched = (cursor or "").rpartition("@")
    return key != _key(triggers) or window - int(launched) >= PATIENCE_WINDOWS


def _key(triggers: Mapping[AlertType, Trigger]) -> str:
    return ",".join(sorted(f"{name}:{trigger}" for name, trigger in triggers.items()))
