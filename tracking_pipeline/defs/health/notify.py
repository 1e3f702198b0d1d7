"""``send_notifications_job``: tells the channels of ``ALERT_CHANNELS`` what the outbox owes them.

What fails a run: a database that cannot be reached, a channel whose URL cannot be used (after all
the others were told). A channel that is down does not: its messages wait, with growing pauses, and
the run's metadata says so. Without ``ALERT_CHANNELS`` alerts are recorded and shown, not sent.

What a second run does: the same thing, safely at the same time; a message under way is leased. A
run that is killed may send its last message twice, and loses none.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.tags import AGAIN_FROM_THE_START, FIRST_IN_QUEUE, GROUP_TAG
from tracking_pipeline.health.notifications.notify import NotifyTotals, deliver_notifications
from tracking_pipeline.wiring.health import channels_from


@dg.op(
    description="Sends each channel what waits for it, as one message, all channels at once. A "
    "channel that fails is tried again after 1, 2, 4, ... minutes, an hour at most. Fails when the "
    "database cannot be used, or when an entry of ALERT_CHANNELS is no URL that Apprise can use: "
    "the failure says which one."
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
    description="Sends alerts that were recorded and not yet told to the channels of "
    "ALERT_CHANNELS. The sensor alert_notification_sensor launches it; launching it by hand does "
    "no harm. A failed run names what to correct.",
    tags={
        GROUP_TAG: "notify",
        **AGAIN_FROM_THE_START,
        **FIRST_IN_QUEUE,
        "dagster/max_runtime": "300",
    },
)
def send_notifications_job() -> None:
    send_notifications()
