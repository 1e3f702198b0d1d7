"""``threshold_breach_sensor``: a breach becomes an alert within a minute, and a stall is noticed.

It looks; the check it launches reads again, records, and steps the alerts. The stall of the checks
themselves is raised here directly, because no check would.
"""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg

from tracking_pipeline.defs.active import is_under_way
from tracking_pipeline.defs.health.check import CHECKED, check_tracking_health_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.windows import WINDOW_SECONDS, present_window
from tracking_pipeline.health.alerts.edges import Edge, find_edges
from tracking_pipeline.health.alerts.heartbeat import Heartbeat, watch_heartbeat
from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC, AlertState, AlertType
from tracking_pipeline.health.alerts.thresholds import Metric, Verdict
from tracking_pipeline.health.policy import policy_from
from tracking_pipeline.health.readings.quick_look import look_quickly
from tracking_pipeline.health.words import duration
from tracking_pipeline.store.alerts import read_alert_states
from tracking_pipeline.store.database import connect

# A check that was launched for an edge and did not take it away (it failed, or it reads otherwise)
# is launched again after this many windows, not every time.
PATIENCE_WINDOWS = 10
_UNITS: dict[Metric, str] = {
    "queue_depth": "{:.0f} waiting",
    "error_rate": "error rate {:.1f} %",
    "dead_letters": "{:.0f} new dead letters",
    "paused_destinations": "{:.0f} paused",
    "geo_providers_down": "{:.0f} sources of places down",
}


@dg.sensor(
    job=check_tracking_health_job,
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at the queue, the error rate, dead letters, paused destinations and sources "
    "of places, and launches a health check when one of them crosses a threshold or comes back. "
    "Also raises the alert pipeline_stalled when no check has come for three intervals. A failed "
    "tick means that the database could not be reached; the schedule still checks every 15 "
    "minutes.",
)
def threshold_breach_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.SensorResult | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        policy = policy_from(installation.settings)
        heartbeat = watch_heartbeat(connection, policy)
        verdicts = look_quickly(connection, policy)
        stored = read_alert_states(connection)
        window = present_window(connection)
    states: dict[AlertType, AlertState] = {
        name: AlertState.from_json(stored.get(name, {})) for name in ALERT_OF_METRIC.values()
    }
    edges = find_edges(states, verdicts)
    found = in_numbers(verdicts, heartbeat)
    if not edges:
        return dg.SensorResult(skip_reason=found, cursor="")
    named = ", ".join(f"{edge} of {name}" for name, edge in edges.items())
    if is_under_way(context.instance, check_tracking_health_job.name):
        return dg.SkipReason(f"{named}: {found}; a check is under way")
    if not is_time_to_launch(context.cursor, edges, window):
        return dg.SkipReason(f"{named}: {found}; a check was launched for it")
    context.log.info(f"{named}: {found}")
    request = dg.RunRequest(
        run_key=f"edge:{window}", asset_selection=CHECKED, tags={"tracking/edge": named}
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor_of(edges, window))


def in_numbers(verdicts: Mapping[Metric, Verdict], heartbeat: Heartbeat) -> str:
    """The skip reason: "3 waiting, error rate 0.4 %, ...; last check 4 min ago"."""
    words = [
        words.format(verdicts[metric].value)
        for metric, words in _UNITS.items()
        if verdicts[metric].value is not None
    ]
    since = heartbeat.seconds_since_check
    ago = None if since is None else duration(timedelta(seconds=since))
    checked = "no check yet" if ago is None else f"last check {ago} ago"
    stalled = ": stalled" if heartbeat.is_stalled else ""
    return f"{', '.join(words)}; {checked}{stalled}"


def cursor_of(edges: Mapping[AlertType, Edge], window: int) -> str:
    """What the sensor remembers of a launch: the edges it was for, and when."""
    return f"{_key(edges)}@{window}"


def is_time_to_launch(cursor: str | None, edges: Mapping[AlertType, Edge], window: int) -> bool:
    """Whether no check was launched for these edges, or so long ago that it has failed."""
    key, _, launched = (cursor or "").rpartition("@")
    return key != _key(edges) or window - int(launched) >= PATIENCE_WINDOWS


def _key(edges: Mapping[AlertType, Edge]) -> str:
    return ",".join(sorted(f"{name}:{edge}" for name, edge in edges.items()))
