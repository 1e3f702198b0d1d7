"""The assets of a health check: what it read, and what it made of it.

One step reads once and shows all of it: the assets of a run are of one moment, and one alone takes
a reading of its own. ``tracking_health_alerts`` is the check itself: it records the reading and
steps the alerts.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from tracking_pipeline.defs.health import numbers
from tracking_pipeline.defs.health.checks import results_of, specs_of
from tracking_pipeline.defs.instance.automation import read_automation
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.geo.coverage import WINDOW_DAYS
from tracking_pipeline.health.check import CheckReading, CheckResult, record_reading, take_reading
from tracking_pipeline.health.notifications.notify import ping
from tracking_pipeline.wiring.health import health_config

GROUP = "tracking_health"
OWNERS = ["team:growth"]
# A check comes every 15 minutes: one missed is worth a look, three are a stall.
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(minutes=31), fail_window=timedelta(minutes=46)
)

READINGS = ("emq_score", "queue_depth", "error_rate", "delivery_accounting", "geo_coverage")
ALERTS = "tracking_health_alerts"
_DESCRIPTIONS = {
    "emq_score": (
        "Estimate, 0 to 10, of Meta's Event Match Quality over the last EMQ_WINDOW_DAYS, from the "
        "match keys that the ledger's conversions carry; not calibrated on Meta's own score. "
        "`emq_trend` is the difference to the equal period before, `coverage_..._percent` the "
        "share of events with each match key, `next_best_key` the key that would raise the score "
        "most if every event had it. No conversions in the window: no score. If it fails, the "
        "database could not be used, and the error says what to do."
    ),
    "queue_depth": (
        "Failed events that wait for a retry: `queue_depth` of them, `due` now, the oldest since "
        "`oldest_age_seconds`; `growth_per_hour` against the checks of the last hour, below 0 "
        "while the queue shrinks. Dead letters are not retried automatically. Withheld events, "
        "which a person's refusal or the site's own rule holds back, are not failures. If it "
        "fails, the database could not be used, and the error says what to do."
    ),
    "error_rate": (
        "Share of the events of the last ERROR_RATE_WINDOW_HOURS that failed at first, in "
        "percent: distinct failed events among them and the ledger's conversions together; by "
        "destination of the same total. `recovery_rate_percent` is the share of failed events of "
        "the last 7 days that were delivered after all, `recovered_by_hand` how many of those "
        "needed a human. If it fails, the database could not be used, and the error says what to "
        "do."
    ),
    "delivery_accounting": (
        "Whether conversions arrived: for each destination, those of the last 7 days by what "
        "happened to them (delivered, assumed delivered if the site sends them itself, waiting, "
        "given up, withheld, never handed over), which add up to the ledger's conversions; a "
        "`difference` is what is not counted yet. `..._delivered_percent` is the delivered share "
        "of those that should have been. `tracking-pipeline accounting` shows reasons, event "
        "names, days and sample events. If it fails, the database could not be used, and the "
        "error says what to do."
    ),
    "geo_coverage": (
        f"Share of the leads of the last {WINDOW_DAYS} days that have a city, a state and a zip: "
        "`with_...` now, `before_...` from what people said themselves. Places raise Meta's "
        "Event Match Quality. Where `with_...` is hardly above `before_...`, look at the runs "
        "of enrich_leads_job and at the checks here."
    ),
    ALERTS: (
        "The health check: compares the readings with their thresholds, opens, updates and "
        "resolves the rows of tracking_health_alerts, and queues a message to ALERT_CHANNELS when "
        "an alert starts, gets worse or ends. `open_alerts` shows what needs attention; each "
        "message says what to do. Acknowledge, silence or resolve with resolve_alerts_job. If it "
        "fails, the database could not be used, and the error says what to do; the next check "
        "continues from there."
    ),
}


def _asset(description: str) -> dg.AssetOut:
    return dg.AssetOut(
        dagster_type=Any,
        is_required=False,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "postgres"},
        freshness_policy=FRESHNESS,
        description=description,
    )


@dg.multi_asset(
    name="tracking_health",
    can_subset=True,
    outs={name: _asset(description) for name, description in _DESCRIPTIONS.items()},
    internal_asset_deps={
        **{name: set() for name in READINGS},
        ALERTS: {dg.AssetKey(name) for name in READINGS},
    },
    check_specs=[spec for name in READINGS for spec in specs_of(name)],
    description="One health check. If it fails, the database could not be used, and the error "
    "says what to do.",
)
def tracking_health(
    context: dg.AssetExecutionContext, tracking: TrackingResource
) -> Iterator[dg.MaterializeResult[Any]]:
    selected = {key.to_user_string() for key in context.selected_asset_keys}
    checks = {
        (key.asset_key.to_user_string(), key.name) for key in context.selected_asset_check_keys
    }
    with tracking.open() as installation:
        url = installation.database.url
        reading = take_reading(
            url,
            health_config(installation.settings),
            automation=read_automation(context.instance),
        )
        for name in READINGS:
            if name in selected:
                yield dg.MaterializeResult(
                    asset_key=name,
                    metadata=_shown(name, reading),
                    check_results=[
                        result
                        for result in results_of(name, reading)
                        if (name, result.check_name) in checks
                    ],
                )
        if ALERTS in selected:
            yield _recorded(context, url, reading)
            switch = installation.settings.dead_mans_switch_url
            if switch is not None and not installation.database.rehearsal:
                ping(switch)


def _shown(asset: str, reading: CheckReading) -> dict[str, Any]:
    if asset == "geo_coverage":
        return numbers.coverage_metadata(reading.readings.geo)
    shown = {
        "emq_score": numbers.emq_metadata,
        "queue_depth": numbers.queue_metadata,
        "error_rate": numbers.error_metadata,
        "delivery_accounting": numbers.accounting_metadata,
    }
    return shown[asset](reading)


def _recorded(
    context: dg.AssetExecutionContext, url: str, reading: CheckReading
) -> dg.MaterializeResult[Any]:
    recorded = record_reading(url, reading, run_id=context.run.run_id)
    for alert in recorded.active_alerts:
        context.log.info(f"{alert.severity}: {alert.message}")
    result = CheckResult(reading.rolled_up, reading.readings, recorded)
    return dg.MaterializeResult(
        asset_key=ALERTS, value=result, metadata=numbers.alerts_metadata(result)
    )
