"""``backfill_destination_job``: hands a newly configured platform the conversions it never saw.

What is taken: conversions of the ledger within the window that no queue and no attempt of the
destination knows. Those that it would accept become waiting failed events that never failed, due
one after the other below the site's own rate; the retry runs send them.

What fails a run: a database that cannot be used, a destination that is not configured, a
configuration that cannot be read. Conversions that are withheld do not: they are counted by reason.

What a second run does: it finds what is unseen by then. Two at the same time share the work, and no
event is handed over twice.
"""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from tracking_pipeline.defs.launchpad import launchpad_moment, require
from tracking_pipeline.defs.metadata import (
    AGAIN_FROM_THE_START,
    DESTINATION_TAG,
    GROUP_TAG,
    LONG_RUN,
    table,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.delivery.backfill import (
    BackfillRequest,
    BackfillTotals,
)
from tracking_pipeline.delivery.backfill import (
    backfill_destination as backfill_service,
)
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName, spec_of
from tracking_pipeline.interruption import run_interruptibly
from tracking_pipeline.settings import Settings
from tracking_pipeline.wiring.health import conversion_rule_from

MOST_EVENTS_PER_MINUTE = 100_000


class BackfillConfig(dg.Config):
    """Who gets which conversions. Untouched, it counts and changes nothing."""

    dry_run: bool = Field(
        default=True,
        description="Count and forecast only. Set it to false to hand the conversions over.",
    )
    destination: DestinationName = Field(
        default=DESTINATIONS[0], description="The destination that receives the conversions."
    )
    since: str = Field(
        default="",
        description="Only conversions recorded at this time or later: ISO 8601, UTC unless it "
        "names a zone. Empty: as old as the destination accepts. At most "
        "ATTEMPT_RETENTION_DAYS ago, because older attempts are not recorded.",
    )
    until: str = Field(
        default="",
        description="Only conversions recorded before this time. Empty: until now.",
    )
    events_per_minute: int = Field(
        default=0,
        description="Events that become due per minute. 0: half the ledger's rate in the last "
        "hour, at least 10 and at most 600.",
    )

    def check(self) -> tuple[datetime | None, datetime | None]:
        """The two moments. Raises ``dagster.Failure`` with one line where a value cannot be
        used."""
        spec = spec_of(self.destination)
        require(not spec.is_store, f"{self.destination} is the ledger itself: choose a platform")
        require(
            0 <= self.events_per_minute <= MOST_EVENTS_PER_MINUTE,
            f"events_per_minute must be 0 to {MOST_EVENTS_PER_MINUTE}",
        )
        since, until = launchpad_moment("since", self.since), launchpad_moment("until", self.until)
        require(since is None or until is None or since < until, "since must be before until")
        return since, until

    def request(self, settings: Settings) -> BackfillRequest:
        """The request of these values; see :meth:`check`."""
        since, until = self.check()
        return BackfillRequest(
            destination=self.destination,
            conversions=conversion_rule_from(settings),
            since=since,
            until=until,
            age_limit=spec_of(self.destination).age_limit(dict(settings)),
            attempts_kept=timedelta(days=settings.attempt_retention_days),
            dry_run=self.dry_run,
            events_per_minute=float(self.events_per_minute) or None,
        )


@dg.op(
    description="Counts the conversions that the destination has never received, and how many "
    "would be withheld and why. Unless this is a dry run, those that the destination "
    "accepts enter its queue, spread over time. Fails if the database cannot be used, "
    "the destination is not configured or the configuration is invalid; the error "
    "says what to do.",
    out=dg.Out(description="The backfill's totals."),
)
def backfill_destination(
    context: dg.OpExecutionContext, config: BackfillConfig, tracking: TrackingResource
) -> BackfillTotals:
    config.check()
    context.instance.add_run_tags(context.run_id, {DESTINATION_TAG: config.destination})
    with tracking.open() as installation, installation.destinations() as destinations:
        request = config.request(installation.settings)
        totals = run_interruptibly(
            backfill_service(installation.database.url, destinations, request)
        )
    found = totals.as_json()
    done = "would be" if totals.dry_run else f"{totals.handed_over} were"
    context.log.info(
        f"{totals.destination}: {totals.matched} conversions never seen, {totals.taken} to hand "
        f"over ({done} handed over), {found['withheld']} withheld"
    )
    context.add_output_metadata(backfill_metadata(totals))
    return totals


def backfill_metadata(totals: BackfillTotals) -> dict[str, Any]:
    """The totals as typed metadata: every number under its own name, and a table for people."""
    found = totals.as_json()
    reasons = [
        {"reason": reason, "events": count} for reason, count in found["withheld_by_reason"].items()
    ]
    return {
        **table("withheld_by_reason", reasons),
        **{name: found[name] for name in ("matched", "would_hand_over", "handed_over", "withheld")},
        "events_per_minute": dg.MetadataValue.float(float(found["events_per_minute"])),
        "minutes": dg.MetadataValue.float(float(found["minutes"])),
        "seconds": dg.MetadataValue.float(float(found["seconds"])),
    }


@dg.job(
    description="Hands a newly configured destination the ledger's conversions that it has never "
    "received and still accepts. Launch it unchanged for a dry run, or with a "
    "destination's name to count for that one; then set dry_run to false. If a run "
    "fails, its error says what to correct.",
    config=dg.RunConfig(ops={"backfill_destination": BackfillConfig()}),
    tags={GROUP_TAG: "backfill", **AGAIN_FROM_THE_START, **LONG_RUN, "dagster/max_runtime": "3600"},
)
def backfill_destination_job() -> None:
    backfill_destination()
