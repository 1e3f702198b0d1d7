"""``check_destinations_job``: asks each destination whether events would get in, and sends none.

What fails a run: a database that cannot be used, a setting that cannot be read. A destination that
refuses or cannot be reached does not: it is a result, which ``status`` shows until the next check.
What a second run does: the same, once more.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, GROUP_TAG, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import every
from tracking_pipeline.delivery.check_destinations import DestinationChecks, check_destinations
from tracking_pipeline.delivery.destinations.registry import DestinationOrAll
from tracking_pipeline.delivery.engine.destination_check import soonest
from tracking_pipeline.health.formatting import moment
from tracking_pipeline.interruption import run_interruptibly


class CheckDestinationsConfig(dg.Config):
    """Whom to ask. Untouched, it asks all."""

    destination: DestinationOrAll = Field(
        default="all", description="Only this destination, or all of them."
    )


@dg.op(
    name="check_destinations",
    description="Asks each destination, without sending an event, whether its token, account and "
    "URL are right, and when its token or API version expires. Fails if the database "
    "cannot be used; the error says what to do.",
)
def ask_destinations(
    context: dg.OpExecutionContext, config: CheckDestinationsConfig, tracking: TrackingResource
) -> DestinationChecks:
    only = () if config.destination == "all" else (config.destination,)
    with tracking.open() as installation, installation.destinations() as destinations:
        checks = run_interruptibly(
            check_destinations(installation.database.url, destinations, only=only)
        )
    for name, each in checks.by_destination.items():
        tell = context.log.info if each.state in ("ok", "not_configured") else context.log.warning
        tell(f"{name}: {each.state.replace('_', ' ')}: {each.detail}")
    context.add_output_metadata(checks_metadata(checks))
    return checks


def checks_metadata(checks: DestinationChecks) -> dict[str, Any]:
    """The states as typed metadata, and tables of what was said and of what ends."""
    results = [
        {
            "destination": name,
            "state": each.state,
            "detail": each.detail,
            "failure_code": each.failure_code or "",
            "duration_ms": each.duration_ms,
        }
        for name, each in checks.by_destination.items()
    ]
    endings = [
        {
            "destination": name,
            "what": each.what,
            "at": moment(each.at),
            "days_left": round(each.days_left, 1),
        }
        for name, each in soonest(checks.by_destination)
    ]
    return {
        **table("results", results),
        **table("expires", endings),
        "success": checks.success,
        **{f"{name}_state": each.state for name, each in checks.by_destination.items()},
    }


@dg.job(
    description="Asks each destination whether it would accept events, without sending one: "
    "whether the token is valid, the account is right, the container runs, the ledger "
    "can be written, and until when. If a run fails, the database could not be used. "
    "Safe to launch at any time.",
    config=dg.RunConfig(ops={"check_destinations": CheckDestinationsConfig()}),
    tags={GROUP_TAG: "destinations", **AGAIN_FROM_THE_START, "dagster/max_runtime": "300"},
)
def check_destinations_job() -> None:
    ask_destinations()


check_destinations_schedule = every(
    "10 5 * * *",
    check_destinations_job,
    name="check_destinations_schedule",
    description="Asks each destination once a day whether it would accept events, and when its "
    "token or API version expires.",
)
