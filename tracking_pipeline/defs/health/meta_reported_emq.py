"""The asset ``meta_reported_emq``: the Event Match Quality that Meta itself reports, and how the
pixel's events meet the server's.

Each score is kept beside the coverage of our own ledger, so that the report can say how far our
estimate is off, and offer weights that fit better. It never fails for Meta's sake: without a token,
or while Meta does not answer, its metadata says so.
"""

from dataclasses import asdict
from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.assets import GROUP, OWNERS
from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, floats, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.health.readings.meta_reported import ReportedEmq, record_reported_emq
from tracking_pipeline.wiring.health import health_config


@dg.asset(
    name="meta_reported_emq",
    group_name=GROUP,
    kinds={"python", "postgres", "meta"},
    owners=OWNERS,
    description="The Event Match Quality that Meta reports for each event name, from its Dataset "
    "Quality API, stored next to the coverage of the ledger: tracking_health_report compares our "
    "estimate with it. Also how the pixel's events and the server's are de-duplicated "
    "(`deduplication`). Optional: it needs META_DATASET_ID and META_ACCESS_TOKEN. `state` says "
    "`not_configured` or `unavailable` if there is nothing to read, and `detail` what to do; "
    "nothing else depends on it. It fails only if the database cannot be used.",
)
def meta_reported_emq(
    context: dg.AssetExecutionContext, tracking: TrackingResource
) -> dg.MaterializeResult[Any]:
    with tracking.open() as installation:
        # A rehearsal has no dataset, and no real score may get into its tables.
        asks = not installation.database.rehearsal
        reported = record_reported_emq(
            installation.database.url,
            MetaAccount.configured(installation.settings) if asks else None,
            health_config(installation.settings),
            run_id=context.run.run_id,
        )
    if reported.detail:
        context.log.info(f"{reported.state}: {reported.detail}")
    return dg.MaterializeResult(metadata=reported_metadata(reported))


def reported_metadata(reported: ReportedEmq) -> dict[str, Any]:
    """The scores as typed metadata: each event name's score under its own name."""
    return {
        **table("by_event", _by_event(reported)),
        **table("deduplication", [asdict(each) for each in reported.deduplication]),
        "state": reported.state,
        "detail": reported.detail,
        "events": len(reported.events),
        **floats({f"reported_emq_{each.event_name}": each.score for each in reported.events}),
    }


def _by_event(reported: ReportedEmq) -> list[dict[str, Any]]:
    """Score and coverage by event name, with a column for every key that Meta names for any."""
    identifiers = dict.fromkeys(
        identifier for each in reported.events for identifier in each.coverage_percent
    )
    return [
        {
            "event": each.event_name,
            "score": each.score,
            **{key: round(each.coverage_percent.get(key, 0.0), 1) for key in identifiers},
        }
        for each in reported.events
    ]


# A job of its own, so that no health check waits for Meta.
read_meta_emq_job = dg.define_asset_job(
    "read_meta_emq_job",
    selection=["meta_reported_emq"],
    description="Reads the Event Match Quality that Meta reports, for the calibration in "
    "tracking_health_report. Needs META_DATASET_ID and META_ACCESS_TOKEN; without "
    "them, or if Meta does not answer, the run succeeds and its metadata says so. "
    "Safe to launch at any time.",
    tags={GROUP_TAG: "reported_emq", **AGAIN_FROM_THE_START, "dagster/max_runtime": "300"},
)


@dg.schedule(
    job=read_meta_emq_job,
    cron_schedule="40 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reads once a day the Event Match Quality that Meta reports. Skips while Meta is "
    "not configured.",
)
def read_meta_emq_schedule(tracking: TrackingResource) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation:
        if installation.database.rehearsal:
            return dg.SkipReason("a rehearsal asks nobody")
        if MetaAccount.configured(installation.settings) is None:
            return dg.SkipReason("META_DATASET_ID or META_ACCESS_TOKEN is not set")
    return dg.RunRequest()
