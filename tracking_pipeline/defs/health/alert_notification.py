"""``alert_notification_sensor``: what the outbox owes is told."""

from datetime import timedelta

import dagster as dg

from tracking_pipeline.defs.health.notify import send_notifications_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import WINDOW_SECONDS, is_under_way, present_window
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.store.alert_notifications import Outbox, read_outbox
from tracking_pipeline.store.database import connect
from tracking_pipeline.wiring.health import channels_from


@dg.sensor(
    job=send_notifications_job,
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a run that sends alerts to the channels of ALERT_CHANNELS when one waits "
    "to be sent. A failed tick means that the database could not be reached: alerts are told late, "
    "and none is lost.",
)
def alert_notification_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        channels = channels_from(installation.settings)
        outbox = read_outbox(connection, [channel.name for channel in channels])
        window = present_window(connection)
    if outbox.due == 0:
        return dg.SkipReason(why_nothing_is_sent(outbox))
    if is_under_way(context.instance, send_notifications_job.name):
        return dg.SkipReason(f"{outbox.due} to send; a run is under way")
    context.log.info(f"{outbox.due} to send")
    return dg.RunRequest(run_key=f"notify:{window}")


def why_nothing_is_sent(outbox: Outbox) -> str:
    """The skip reason, in numbers: "0 to send, 2 waiting, next in 4 min"."""
    words = [f"0 to send, {outbox.waiting} waiting"]
    if outbox.next_due_seconds is not None:
        words.append(f"next in {duration(timedelta(seconds=outbox.next_due_seconds))}")
    return ", ".join(words)
