"""The asset ``queue_depth``: what waits to be sent again, and what was given up."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.checks import results_of, specs_of
from tracking_pipeline.defs.health.labels import FRESHNESS, GROUP, OWNERS
from tracking_pipeline.defs.health.verdict import limits
from tracking_pipeline.defs.metadata import floats, table
from tracking_pipeline.defs.resources import HealthResource, TrackingResource
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.check import Reading
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.store.queue_counts import Waiting


@dg.asset(
    name="queue_depth",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "postgres"},
    freshness_policy=FRESHNESS,
    check_specs=specs_of("queue_depth"),
    description="Failed events that wait to be sent again: `queue_depth` of them, `due` now, the "
    "oldest since `oldest_age_seconds`; `growth_per_hour` against the checks of the last hour, "
    "below 0 while the queue shrinks. Dead letters are those that are not tried again by "
    "themselves; withheld events, which a person's refusal or the site's own rule kept back, are "
    "no failures. A failure means that the database could not be used, and says what to do.",
)
def queue_depth(tracking: TrackingResource, health: HealthResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    reading = health.read(tracking)
    return dg.MaterializeResult(
        metadata=queue_metadata(reading), check_results=results_of("queue_depth", reading)
    )


def queue_metadata(reading: Reading) -> dict[str, Any]:
    """The reading as typed metadata: every number under its own name."""
    queue, dead = reading.readings.queue, reading.readings.dead_letters
    withheld = reading.readings.withheld
    by_destination: dict[str, Waiting] = {
        **{name: Waiting(name) for name in DESTINATIONS},
        **queue.by_destination,
    }
    return {
        "queue_depth": queue.waiting,
        **limits(reading, "queue_depth"),
        "due": queue.due,
        "leased": queue.leased,
        **floats(
            {
                "oldest_age_seconds": queue.oldest_age_seconds or 0.0,
                "growth_per_hour": queue.growth_per_hour,
            }
        ),
        "dead_letters": queue.dead_letters,
        "dead_letters_of_a_day": dead.events,
        **limits(reading, "dead_letters", "dead_letters_"),
        "withheld_of_a_day": withheld.last_day,
        "withheld_of_a_week": withheld.last_week,
        "paused_destinations": len(reading.readings.paused),
        **table("by_destination", [_row(each, reading) for each in by_destination.values()]),
        **table(
            "dead_letters_by_reason",
            [
                {"events": each.events, "destination": each.destination, "reason": each.reason}
                for each in queue.dead_letters_by_reason
            ],
        ),
        **table("withheld_by_reason", [asdict(each) for each in withheld.by_reason]),
        **{
            f"{name}_{number}": getattr(each, number)
            for name, each in by_destination.items()
            for number in ("waiting", "due", "dead_letters")
        },
        **floats(
            {
                f"{name}_oldest_age_seconds": each.oldest_age_seconds or 0.0
                for name, each in by_destination.items()
            }
        ),
    }


def _row(each: Waiting, reading: Reading) -> dict[str, Any]:
    age = each.oldest_age_seconds
    return {
        "destination": each.destination,
        "waiting": each.waiting,
        "due": each.due,
        "oldest": "" if age is None else duration(timedelta(seconds=age)),
        "dead letters": each.dead_letters,
        "paused": reading.readings.paused.get(each.destination, ""),
    }
