"""``update_geo_database_job``: brings this month's DB-IP City Lite file into ``TRACKING_HOME``.

What fails a run: a download that fails, or brings a file that does not serve; the file in place
goes on serving. What a second run does: nothing, until there is a newer file.
"""

from datetime import datetime, timezone

import dagster as dg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, LONG_RUN
from tracking_pipeline.geo.download import (
    GeoDownloadError,
    download_client,
    update_geo_database,
)
from tracking_pipeline.geo.mmdb import database_file
from tracking_pipeline.settings import SettingsError, read_settings


@dg.op(
    description="Downloads the file, tests it with lookups and puts it in place. Fails if the "
    "download fails; the error says what to do, and the existing file stays in use."
)
def update_database(context: dg.OpExecutionContext) -> None:
    try:
        folder = database_file(read_settings().home).parent
        with download_client() as client:
            today = datetime.now(timezone.utc).date()
            updated = update_geo_database(folder, client=client, today=today)
    except (GeoDownloadError, SettingsError) as error:
        raise dg.Failure(description=str(error)) from None
    context.add_output_metadata(
        {
            "path": dg.MetadataValue.path(str(updated.path)),
            "build_date": updated.build_date.isoformat(),
            "downloaded": updated.downloaded,
        }
    )


@dg.job(
    description="Downloads the newest DB-IP City Lite database (about 60 MB, CC BY 4.0), the "
    "local geolocation source, for the workers that share this machine's "
    "TRACKING_HOME. If a run fails, the existing file stays.",
    tags={
        GROUP_TAG: "geo_update",
        **AGAIN_FROM_THE_START,
        **LONG_RUN,
        "dagster/max_runtime": "1800",
    },
)
def update_geo_database_job() -> None:
    update_database()


update_geo_database_schedule = dg.ScheduleDefinition(
    name="update_geo_database_schedule",
    job=update_geo_database_job,
    cron_schedule="0 4 4 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Downloads the new DB-IP City Lite database on the fourth of each month. Off "
    "until you turn it on: it downloads about 60 MB from db-ip.com.",
)
