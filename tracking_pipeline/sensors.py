"""What reacts. Each tick makes one bounded query and says numbers when it launches nothing."""

from collections.abc import Mapping, Sequence

import dagster as dg

from tracking_pipeline.delivery.events import DESTINATIONS
from tracking_pipeline.installation import Installation
from tracking_pipeline.jobs.active import is_under_way
from tracking_pipeline.jobs.retry import retry_failed_events_job
from tracking_pipeline.resources import TrackingResource
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.failed_events import BACKLOG_CAP, Backlog, read_backlog

# Two ticks inside one window launch one run; the next window may launch again.
WINDOW_SECONDS = 30


@dg.sensor(
    job=retry_failed_events_job,
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a retry run when due events wait for a destination that can take them. "
    "A failed tick means that the database could not be reached; the schedule still tries every "
    "5 minutes.",
)
def queue_growth_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation:
        backlog, states, window = _look(installation)
        missing = installation.missing_settings()
    sendable = [each for each in backlog if can_take(each.destination, states, missing)]
    due = sum(each.due for each in sendable)
    if due == 0:
        return dg.SkipReason(why_nothing_is_due(backlog, sendable))
    if is_under_way(context.instance, retry_failed_events_job.name):
        return dg.SkipReason(f"{_number(due)} due; a retry run is under way")
    context.log.info(f"{_number(due)} due")
    return dg.RunRequest(run_key=f"due:{window}")


def _look(
    installation: Installation,
) -> tuple[list[Backlog], dict[str, DestinationState], int]:
    """The backlog, the destinations' states, and the number of the present window."""
    with connect(installation.database.url) as connection:
        row = connection.execute("select extract(epoch from now())::bigint").fetchone()
        window = (row[0] if row else 0) // WINDOW_SECONDS
        return (
            read_backlog(connection, DESTINATIONS),
            read_destination_states(connection),
            window,
        )


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
    words = [f"0 due, {_number(sum(each.not_due for each in backlog))} waiting"]
    waits = [each.next_due_seconds for each in sendable if each.next_due_seconds is not None]
    if waits:
        words.append(f"next in {_span(min(waits))}")
    held = sum(each.due for each in backlog) - sum(each.due for each in sendable)
    if held:
        words.append(f"{_number(held)} held back: destination paused, throttled or not configured")
    return ", ".join(words)


def _number(count: int) -> str:
    return f"{count}+" if count >= BACKLOG_CAP else str(count)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


default_sensors = [queue_growth_sensor]
