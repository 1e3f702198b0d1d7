"""``send_notifications_job``: tells the channels of ``ALERT_CHANNELS`` what the outbox owes them.

What fails a run: a database that cannot be reached, a channel whose URL cannot be used (after all
the others were told). A channel that is down does not: its messages wait, with growing pauses, and
the run's metadata says so. Without ``ALERT_CHANNELS`` alerts are recorded and shown, not sent.

What a second run does: the same thing, safely at the same time; a message under way is leased. A
run that is killed may send its last message twice, and loses none.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, FIRST_IN_QUEUE, GROUP_TAG, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import WINDOW_SECONDS, is_under_way, present_window
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.health.notifications.notify import NotifyTotals, deliver_notifications
from tracking_pipeline.store.alert_notifications import Outbox, read_outbox
from tracking_pipeline.store.database import connect
from tracking_pipeline.wiring.health import channels_from


@dg.op(
    description="Sends each channel its waiting alerts as one message, to all channels in "
    "parallel. A channel that fails is retried after 1, 2, 4, ... minutes, at most an "
    "hour. Fails if the database cannot be used, or if Apprise cannot use an entry of "
    "ALERT_CHANNELS; the error says which one."
)
def send_notifications(context: dg.OpExecutionContext, tracking: TrackingResource) -> NotifyTotals:
    with tracking.open() as installation:
        channels = channels_from(installation.settings)
        totals = deliver_notifications(installation.database, channels)
    for name, each in totals.by_channel.items():
        context.log.info(f"{name}: {each.sent} sent, {each.failed} failed {each.error}".rstrip())
    if totals.unusable:
        raise dg.Failure(
            description="; ".join(totals.unusable),
            metadata=notify_metadata(totals),
            allow_retries=False,
        )
    context.add_output_metadata(notify_metadata(totals))
    return totals


def notify_metadata(totals: NotifyTotals) -> dict[str, Any]:
    """The totals as typed metadata: every number under its own name, and a table of channels."""
    channels = [
        {"channel": name, "sent": each.sent, "failed": each.failed, "error": each.error}
        for name, each in totals.by_channel.items()
    ]
    return {
        **table("by_channel", channels),
        "sent": totals.sent,
        "failed": totals.failed,
        "closed": totals.closed,
        "waiting": totals.waiting,
        "seconds": dg.MetadataValue.float(round(totals.seconds, 3)),
    }


@dg.job(
    description="Sends alerts that are recorded but not yet sent to the channels in "
    "ALERT_CHANNELS. The sensor alert_notification_sensor launches it; launching it "
    "by hand is harmless. If a run fails, its error says what to correct.",
    tags={
        GROUP_TAG: "notify",
        **AGAIN_FROM_THE_START,
        **FIRST_IN_QUEUE,
        "dagster/max_runtime": "300",
    },
)
def send_notifications_job() -> None:
    send_notifications()


@dg.sensor(
    job=send_notifications_job,
    minimum_interval_seconds=WINDOW_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches a run that sends alerts to the channels in ALERT_CHANNELS when one is "
    "waiting. If a tick fails, the database could not be reached: messages are late, "
    "but none is lost.",
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
