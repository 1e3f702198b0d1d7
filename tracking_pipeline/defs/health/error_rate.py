"""The asset ``error_rate``: how many events fail, and how many of them are delivered after all."""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.checks import results_of, specs_of
from tracking_pipeline.defs.health.labels import FRESHNESS, GROUP, OWNERS
from tracking_pipeline.defs.health.verdict import limits, no_verdict
from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import HealthResource, TrackingResource
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.check import Reading
from tracking_pipeline.health.readings.queue import RecoveryReading, recovered_percent


@dg.asset(
    name="error_rate",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    freshness_policy=FRESHNESS,
    check_specs=specs_of("error_rate"),
    description="Share of the events of the last ERROR_RATE_WINDOW_HOURS that failed at first, in "
    "percent: distinct failed events among them and the ledger's conversions together; by "
    "destination of the same total. `recovery_rate_percent` is the share of the failed events of "
    "7 days that were delivered after all, `recovered_by_hand` how many of those took a human. A "
    "failure means that the database could not be used, and says what to do.",
)
def error_rate(tracking: TrackingResource, health: HealthResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    reading = health.read(tracking)
    return dg.MaterializeResult(
        metadata=error_metadata(reading), check_results=results_of("error_rate", reading)
    )


def error_metadata(reading: Reading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    rate, recovery = reading.readings.error_rate, reading.readings.recovery
    by_destination = {
        name: rate.percent_by_destination.get(name, 0.0) if rate.events else None
        for name in DESTINATIONS
    }
    return {
        **floats({"error_rate": rate.percent}),
        **limits(reading, "error_rate"),
        "failed": rate.failed,
        "events": rate.events,
        "window_hours": rate.window_hours,
        **table(
            "by_destination",
            [
                {
                    "destination": name,
                    "failed": rate.failed_by_destination.get(name, 0),
                    "percent": round(percent, 2),
                }
                for name, percent in by_destination.items()
                if percent is not None
            ],
        ),
        **table("recovery_by_age", _by_age(recovery)),
        **floats({f"{name}_error_rate": percent for name, percent in by_destination.items()}),
        **{f"{name}_failed": rate.failed_by_destination.get(name, 0) for name in DESTINATIONS},
        **floats({"recovery_rate_percent": recovery.percent}),
        "recovered": recovery.total.resolved,
        "recovered_by_hand": recovery.total.by_hand,
        **floats(
            {
                f"recovery_rate_{age.replace(' ', '_')}_percent": recovered_percent(counted)
                for age, counted in recovery.by_age.items()
            }
        ),
        **no_verdict(reading, "error_rate"),
    }


def _by_age(recovery: RecoveryReading) -> list[dict[str, Any]]:
    return [
        {
            "failed": age,
            "events": counted.failed,
            "delivered": counted.resolved,
            "by hand": counted.by_hand,
            "given up": counted.dead_letters,
        }
        for age, counted in recovery.by_age.items()
    ]
