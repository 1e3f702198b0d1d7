"""``ip_retention_job``: cuts IP addresses that are older than ``IP_RETENTION_DAYS``.

What is taken: ``client_ip`` of leads that were looked up and are older than that, and what is on
record about addresses themselves. The append-only ledger is not touched.

What fails a run: a database that cannot be used. What a second run does: the rest, or nothing.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, LONG_RUN
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.geo.retention import RetentionTotals, apply_ip_retention


@dg.op(
    description="Shortens the IP addresses of enriched leads to their network "
    "(IP_RETENTION=truncate) or removes them, and deletes cached locations. Fails if "
    "the database cannot be used; addresses shortened until then stay so.",
    out=dg.Out(description="What was shortened or removed."),
)
def cut_old_addresses(
    context: dg.OpExecutionContext, tracking: TrackingResource
) -> RetentionTotals:
    with tracking.open() as installation:
        settings = installation.settings
        totals = apply_ip_retention(
            installation.database.url, settings.ip_retention_days, settings.ip_retention
        )
    context.log.info(
        f"{totals.leads_cut} leads older than {settings.ip_retention_days} days cut "
        f"({settings.ip_retention}), {totals.addresses_forgotten} addresses forgotten"
    )
    context.add_output_metadata(retention_metadata(totals))
    return totals


def retention_metadata(totals: RetentionTotals) -> dict[str, Any]:
    """The totals as typed metadata."""
    return {
        "leads_cut": totals.leads_cut,
        "addresses_forgotten": totals.addresses_forgotten,
        "seconds": dg.MetadataValue.float(round(totals.seconds, 3)),
        "done": totals.done,
    }


@dg.job(
    description="Shortens or removes the IP addresses of enriched leads that are older than "
    "IP_RETENTION_DAYS. If a run fails, the database could not be used, and addresses "
    "are kept longer than promised until a run succeeds.",
    tags={GROUP_TAG: "retention", **AGAIN_FROM_THE_START, **LONG_RUN, "dagster/max_runtime": "900"},
)
def ip_retention_job() -> None:
    cut_old_addresses()


ip_retention_schedule = dg.ScheduleDefinition(
    name="ip_retention_schedule",
    job=ip_retention_job,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Shortens or removes IP addresses older than IP_RETENTION_DAYS once a day.",
)
