"""The asset ``meta_reported_emq``: the Event Match Quality that Meta itself reports.

Each score is kept beside the coverage of our own ledger, so that the report can say how far our
estimate is off, and offer weights that fit better. It never fails for Meta's sake: without a token,
or while Meta does not answer, its metadata says so.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.assets.labels import GROUP, OWNERS
from tracking_pipeline.destinations import meta_account
from tracking_pipeline.health.emq.reported import ReportedEmq, record_reported_emq
from tracking_pipeline.health.policy import policy_from
from tracking_pipeline.metadata import floats, table
from tracking_pipeline.resources import TrackingResource


@dg.asset(
    name="meta_reported_emq",
    group_name=GROUP,
    kinds={"python", "postgres", "meta"},
    owners=OWNERS,
    description="The Event Match Quality that Meta reports for each event name, from its Dataset "
    "Quality API, kept beside the coverage of the ledger: tracking_health_report compares our "
    "estimate with it. Optional: it needs META_DATASET_ID and META_ACCESS_TOKEN. `state` says "
    "`not_configured` or `unavailable` where there is nothing to read, and `detail` what to do; "
    "nothing else depends on it. It fails only when the database cannot be used.",
)
def meta_reported_emq(
    context: dg.AssetExecutionContext, tracking: TrackingResource
) -> dg.MaterializeResult[Any]:
    with tracking.open() as installation:
        # A rehearsal has no dataset, and no real score may get into its tables.
        asks = not installation.database.rehearsal
        reported = record_reported_emq(
            installation.database.url,
            meta_account(installation.settings) if asks else None,
            policy_from(installation.settings),
            run_id=context.run.run_id,
        )
    if reported.detail:
        context.log.info(f"{reported.state}: {reported.detail}")
    return dg.MaterializeResult(metadata=reported_metadata(reported))


def reported_metadata(reported: ReportedEmq) -> dict[str, Any]:
    """The scores as typed metadata: each event name's score under its own name."""
    return {
        **table("by_event", _by_event(reported)),
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


default_assets = [meta_reported_emq]
