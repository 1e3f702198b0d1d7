"""``weekly_digest_job``: owes the channels the digest of the week, and writes it as a page.

``alert_notification_sensor`` sends what is owed. Each channel is owed the digest of a week once,
whatever runs twice: two daemons, a retry, a launch by hand. What fails a run: a database that
cannot be used, a folder that cannot be written.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline.wiring.installation import Installation


@dg.op(
    description="Creates the digest of the last seven days from the records of health checks: "
    "what was delivered, what retries saved, what that was worth, and what to do "
    "next. Writes it as a page and queues it for the channels in ALERT_CHANNELS, each "
    "once a week. Fails if the database cannot be used or the page cannot be written, "
    "and says which."
)
def make_weekly_digest(context: dg.OpExecutionContext, tracking: TrackingResource) -> None:
    with tracking.open() as installation:
        metadata = _make(installation)
    context.log.info(f"{metadata['channels_owed']} channels are owed the digest")
    context.add_output_metadata(metadata)


def _make(installation: Installation) -> dict[str, Any]:
    # pandas takes a second to import; every process of Dagster loads this module.
    from tracking_pipeline.health.view.report_pages import (  # noqa: PLC0415
        ReportFileError,
        reports_folder,
        write_weekly,
    )
    from tracking_pipeline.health.view.weekly import (  # noqa: PLC0415
        owe_digest,
        read_weekly_digest,
    )

    settings = installation.settings
    config = health_config(settings)
    asks_meta = MetaAccount.configured(settings) is not None
    digest = read_weekly_digest(installation.database, config, asks_meta=asks_meta)
    try:
        page = write_weekly(digest, folder=reports_folder(settings.home))
    except ReportFileError as error:
        raise dg.Failure(description=str(error)) from None
    return {
        "digest": dg.MetadataValue.text(f"{digest.title}\n\n{digest.body}"),
        "page": dg.MetadataValue.path(Path(page)),
        "week": digest.week,
        "channels_owed": owe_digest(installation.database, digest, list(config.channels)),
    }


@dg.job(
    description="Sends the weekly digest to the channels in ALERT_CHANNELS, and writes it as a "
    "page. Launching it by hand is harmless: a channel gets each week's digest once. "
    "If a run fails, its error says what to correct.",
    tags={GROUP_TAG: "weekly_digest", **AGAIN_FROM_THE_START, "dagster/max_runtime": "300"},
)
def weekly_digest_job() -> None:
    make_weekly_digest()


@dg.schedule(
    job=weekly_digest_job,
    cron_schedule="0 7 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Creates the weekly digest on Mondays at 07:00 UTC. Skips while WEEKLY_DIGEST is "
    "off, which is the default.",
)
def weekly_digest_schedule(tracking: TrackingResource) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation:
        if not installation.settings.weekly_digest:
            return dg.SkipReason("WEEKLY_DIGEST is off")
    return dg.RunRequest()
