"""The checks of ``geo_coverage`` that say what no number says: that leads come without an address,
that their addresses are a server's, that look-ups lag behind.
"""

import dagster as dg

from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.geo.address_quality import Suspicion, read_suspicion
from tracking_pipeline.geo.coverage import read_geo_coverage
from tracking_pipeline.store.database import connect


@dg.asset_check(
    asset="geo_coverage",
    description="Do leads come with an address to look up? Under a tenth do not: store the "
    "visitor's address in leads.client_ip, or in client_ip_address of the user_data of an event "
    "with the lead's lead_id.",
)
def leads_have_an_address(tracking: TrackingResource) -> dg.AssetCheckResult:
    suspicion = _suspicion(tracking)
    return dg.AssetCheckResult(
        passed=not suspicion.few_have_an_address,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "leads": suspicion.leads,
            "with_address": suspicion.with_address,
            **floats({"with_address_percent": suspicion.with_address_percent}, decimals=2),
        },
    )


@dg.asset_check(
    asset="geo_coverage",
    description="Are the addresses those of visitors? One address behind a fifth of the leads (a "
    "twentieth of thousands), ten behind over half, or many that belong to data centres, mean that "
    "the site stores its own server's or load balancer's address: take the visitor's from "
    "X-Forwarded-For, then recheck. Until then leads get the place of a machine.",
)
def addresses_are_visitors(tracking: TrackingResource) -> dg.AssetCheckResult:
    suspicion = _suspicion(tracking)
    shared = [
        {"address": each.masked, "leads": each.leads, "percent": each.percent}
        for each in suspicion.shared
    ]
    shares = {
        "hosting_percent": suspicion.hosting_percent,
        "private_percent": suspicion.private_percent,
    }
    return dg.AssetCheckResult(
        passed=not suspicion.looks_like_a_server,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            **table("behind_many_leads", shared),
            "with_address": suspicion.with_address,
            "shared_addresses": len(suspicion.shared),
            **floats(shares, decimals=2),
        },
    )


@dg.asset_check(
    asset="geo_coverage",
    description="Are leads looked up within an hour? Those that are not wait for a source of "
    "places that is down, used up or not configured: `tracking-pipeline status` says which, and "
    "what to do.",
)
def enrichment_keeps_up(tracking: TrackingResource) -> dg.AssetCheckResult:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        coverage = read_geo_coverage(connection)
        missing = installation.missing_geo_sources()
    return dg.AssetCheckResult(
        passed=coverage.waiting_for_hours == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "waiting": coverage.waiting,
            "waiting_for_hours": coverage.waiting_for_hours,
            **{f"{name}_not_configured": what_to_set for name, what_to_set in missing.items()},
        },
    )


def _suspicion(tracking: TrackingResource) -> Suspicion:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        return read_suspicion(connection)
