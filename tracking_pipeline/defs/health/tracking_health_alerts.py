"""The asset ``tracking_health_alerts``: the check itself.

It records the run's reading and steps the alerts. Materialized with the readings, it records what
they show; alone, it takes a reading of its own.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.labels import FRESHNESS, GROUP, OWNERS
from tracking_pipeline.defs.metadata import table
from tracking_pipeline.defs.resources import HealthResource, TrackingResource
from tracking_pipeline.health.check import CheckResult, record_reading
from tracking_pipeline.health.metrics import alert_types
from tracking_pipeline.health.view.summary import system_status

READINGS = ["emq_score", "queue_depth", "error_rate", "geo_coverage"]


@dg.asset(
    name="tracking_health_alerts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    freshness_policy=FRESHNESS,
    deps=READINGS,
    description="The health check: compares the readings with their thresholds, opens, updates and "
    "resolves the rows of tracking_health_alerts, and owes a message to ALERT_CHANNELS when an "
    "alert starts, worsens or ends. `open_alerts` says what needs a human; what to do stands in "
    "each message. Acknowledge, silence or resolve with resolve_alerts_job. A failure means that "
    "the database could not be used, and says what to do; the next check goes on from there.",
)
def tracking_health_alerts(
    context: dg.AssetExecutionContext, tracking: TrackingResource, health: HealthResource
) -> dg.MaterializeResult[Any]:
    reading = health.read(tracking)
    with tracking.open() as installation:
        recorded = record_reading(installation.database.url, reading, run_id=context.run.run_id)
    for alert in recorded.active_alerts:
        context.log.info(f"{alert.severity}: {alert.message}")
    result = CheckResult(reading.rolled_up, reading.readings, recorded)
    return dg.MaterializeResult(value=result, metadata=alerts_metadata(result))


def alerts_metadata(result: CheckResult) -> dict[str, Any]:
    """What the check made of the alerts: every number under its own name, and the open ones."""
    recorded = result.recorded
    alerts = recorded.active_alerts
    system = system_status(alerts, recorded.levels)
    open_types = {alert.alert_type for alert in alerts}
    return {
        "status": system.status,
        "reason": system.reason,
        "open_alerts": len(alerts),
        "critical_alerts": sum(alert.severity == "critical" for alert in alerts),
        "warning_alerts": sum(alert.severity == "warning" for alert in alerts),
        "alerts_created": len(recorded.alerts_created),
        "alerts_resolved": len(recorded.alerts_resolved),
        **table("alerts", [{"alert": each.alert_type, "message": each.message} for each in alerts]),
        **{f"open_{name}": int(name in open_types) for name in alert_types()},
        "check_id": str(recorded.check_id),
        "checked_at": dg.MetadataValue.timestamp(result.readings.taken_at),
    }
