"""The asset ``geo_coverage``: which share of the new leads has a place, and what stands in the way.

Its numbers are read from the leads themselves, so it may be materialized at any time. The checks in
this file say what no number says: that leads come without an address, that their addresses are a
server's, that look-ups lag behind.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.checks import results_of, specs_of
from tracking_pipeline.defs.health.labels import FRESHNESS, GROUP, OWNERS
from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import HealthResource, TrackingResource
from tracking_pipeline.geo.coverage import WINDOW_DAYS, GeoCoverage, read_geo_coverage
from tracking_pipeline.geo.suspicion import Suspicion, read_suspicion
from tracking_pipeline.store.database import connect

SOURCES = ("user", "session", "mmdb", "ip_api", "ipinfo")
_SHARES = tuple(
    f"{when}_{part}_percent" for when in ("with", "before") for part in ("city", "state", "zip")
)


@dg.asset(
    name="geo_coverage",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    freshness_policy=FRESHNESS,
    check_specs=specs_of("geo_coverage"),
    description=f"Share of the leads of the last {WINDOW_DAYS} days that have a city, a state and "
    "a zip: `with_...` now, `before_...` from what people said themselves. Places raise Meta's "
    "Event Match Quality. Where `with_...` is hardly above `before_...`, look at the runs of "
    "enrich_leads_job and at the checks here.",
)
def geo_coverage(tracking: TrackingResource, health: HealthResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    reading = health.read(tracking)
    return dg.MaterializeResult(
        metadata=coverage_metadata(reading.readings.geo),
        check_results=results_of("geo_coverage", reading),
    )


def coverage_metadata(coverage: GeoCoverage) -> dict[str, Any]:
    """The coverage as typed metadata: every number under its own name. Without leads there are no
    shares to plot."""
    sources = [{"source": source, "leads": count} for source, count in coverage.by_source.items()]
    shares = {name: getattr(coverage, name) for name in ("complete_percent", *_SHARES)}
    return {
        **table("by_source", sources),
        "leads": coverage.leads,
        "waiting": coverage.waiting,
        **floats(shares, decimals=2),
        **{f"from_{source}": coverage.by_source.get(source, 0) for source in SOURCES},
    }


@dg.asset_check(
    asset=geo_coverage,
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
    asset=geo_coverage,
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
    asset=geo_coverage,
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


default_checks = [leads_have_an_address, addresses_are_visitors, enrichment_keeps_up]
