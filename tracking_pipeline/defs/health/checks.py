"""The asset checks that mirror the alerts: what one reading means, beside the asset that shows it.

They are results of the assets' own steps, so they judge the reading that the asset shows. An alert
may start later than its check fails, and end later than it passes: that is what ALERT_AFTER_CHECKS
and ALERT_CLEAR_AFTER_CHECKS are for.

A check fails when its metric is beyond a threshold, with WARN or ERROR as the threshold is the
warning or the critical one. Without data it passes and says so.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.geo.coverage import Suspicion, read_geo_coverage, read_suspicion
from tracking_pipeline.health.alerts.evaluation import Evaluation
from tracking_pipeline.health.alerts.messages import AlertFacts, reading_message
from tracking_pipeline.health.check import CheckReading
from tracking_pipeline.health.metrics import METRICS, AlertSpec, CheckSpec, Metric
from tracking_pipeline.store.database import connect


def specs_of(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of an asset."""
    return [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description)
        for _, check, _ in _checks_of(asset)
    ]


def results_of(asset: str, reading: CheckReading) -> list[dg.AssetCheckResult]:
    """What the checks of an asset say of a reading."""
    return [_result(*each, reading) for each in _checks_of(asset)]


def _checks_of(asset: str) -> list[tuple[Metric, CheckSpec, AlertSpec]]:
    return [
        (spec.name, spec.check, spec.alert)
        for spec in METRICS.values()
        if spec.check and spec.alert and spec.check.asset == asset
    ]


def _result(
    metric: Metric, check: CheckSpec, alert: AlertSpec, reading: CheckReading
) -> dg.AssetCheckResult:
    evaluation = reading.evaluations[metric]
    result, limits = evaluation.result, reading.config.thresholds[metric]
    numbers = {"value": result.value, "warning": limits.warning, "critical": limits.critical}
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.float(round(float(number), 3))
        for name, number in numbers.items()
        if number is not None
    }
    critical = result.level == "critical"
    return dg.AssetCheckResult(
        asset_key=check.asset,
        check_name=check.name,
        passed=result.level in ("ok", "no_data"),
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=_in_words(alert, evaluation, reading),
        metadata={**metadata, "level": result.level},
    )


def _in_words(alert: AlertSpec, evaluation: Evaluation, reading: CheckReading) -> str:
    result = evaluation.result
    if result.level == "no_data":
        return f"No verdict: {result.detail}."
    if result.level == "ok":
        return "As it should be."
    return reading_message(
        AlertFacts(
            alert_type=alert.type,
            severity=result.level,
            value=result.value,
            threshold=result.threshold,
            since=reading.readings.taken_at,
            causes=evaluation.causes,
        )
    )


# The checks of ``geo_coverage`` that say what no number says: that leads come without an address,
# that their addresses are a server's, that look-ups lag behind.


@dg.asset_check(
    asset="geo_coverage",
    description="Do leads have an IP address to look up? If not (fewer than a tenth do), store "
    "the visitor's address in leads.client_ip, or in client_ip_address of the "
    "user_data of an event with the lead's lead_id.",
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
    description="Are the IP addresses those of visitors? One address behind a fifth of the leads "
    "(a twentieth of thousands), ten behind over half, or many that belong to data "
    "centres, mean that the site stores its own server's or load balancer's address: "
    "take the visitor's from X-Forwarded-For, then recheck. Until then leads get the "
    "location of a server.",
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
    description="Are leads looked up within an hour? The others wait for a geolocation source "
    "that is down, out of quota or not configured: `tracking-pipeline status` says "
    "which, and what to do.",
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
