"""``replay_dead_letters_job``: puts dead letters back into the queue once their cause is cured.

What is taken: rows of ``tracking_failed_events`` in status ``dead_letter`` that the filters match,
are not leased, and whose event the same destination has not got from another row. They become
``pending`` with no retry spent, spread over time below the site's own rate; the retry runs send
them. ``replayed_at`` and ``replays`` keep the trace.

What fails a run: a database that cannot be used, a filter or repair rule that cannot be read.
Canaries that are refused again do not: their group is held back, and the metadata says so.

What a second run does: it finds what is a dead letter by then. Two at the same time share the work,
and no event goes back twice.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal
from uuid import UUID

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
from tracking_pipeline.defs.ticks import number, present_window
from tracking_pipeline.delivery.destinations.registry import DestinationOrAll
from tracking_pipeline.delivery.replay import CANARIES
from tracking_pipeline.delivery.replay.repair import RepairError, read_rules
from tracking_pipeline.delivery.replay.service import replay_dead_letters as replay_service
from tracking_pipeline.delivery.replay.totals import (
    NUMBERS,
    ReplayRequest,
    ReplayTotals,
)
from tracking_pipeline.interruption import run_interruptibly
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.dead_letters import DeadLetters, read_offers
from tracking_pipeline.wiring.destinations import planning_rule

MOST_IDS = 10_000
MOST_CANARIES = 100
MOST_EVENTS_PER_MINUTE = 100_000
_NO_TIME = datetime.min.replace(tzinfo=timezone.utc)


class ReplayConfig(dg.Config):
    """Which dead letters, and how. Untouched, it counts all of them and changes nothing."""

    dry_run: bool = Field(
        default=True,
        description="Count and forecast only. Set it to false to put the dead letters back.",
    )
    destination: DestinationOrAll = Field(
        default="all", description="Only this destination's dead letters, or all."
    )
    reason: str = Field(
        default="",
        description="Only those whose reason contains this text, such as `max_retries` or "
        "`expired`. Empty: any reason.",
    )
    reason_match: Literal["contains", "exact"] = Field(
        default="contains",
        description="Whether the reason contains the text, ignoring case, or equals it.",
    )
    error_code: str = Field(
        default="", description="Only those with this error code, such as `190`. Empty: any."
    )
    event_name: str = Field(
        default="", description="Only events with this name, such as `Lead`. Empty: any."
    )
    since: str = Field(
        default="",
        description="Only those that became dead letters at this time or later: ISO 8601, UTC "
        "unless it names a zone. Empty: no limit.",
    )
    until: str = Field(
        default="",
        description="Only those that became dead letters before this time. Empty: no limit.",
    )
    ids: list[str] = Field(
        default=[],
        description="Only these: ids of rows or of their events. Empty: any.",
    )
    after_pause: bool = Field(
        default=False,
        description="Only those caused by a pause of their destination that has ended.",
    )
    with_waiting: bool = Field(
        default=False,
        description="Also the events that wait for a retry: they keep their retries, and are "
        "scheduled among the dead letters.",
    )
    events_per_minute: int = Field(
        default=0,
        description="Events of each destination that become due per minute. 0: half the ledger's "
        "rate in the last hour, at least 10 and at most 600.",
    )
    canary: int = Field(
        default=CANARIES,
        description="Number of events to send first from each larger group of one destination and "
        "reason; the others follow unless these are refused again. 0: none.",
    )
    repair: str = Field(
        default="",
        description="Rules that change each payload before it is sent, as YAML or JSON: set, "
        "rename, drop, cast. A dry run shows what they would change. Empty: none. Put "
        "no personal data in them: the run shows its configuration.",
    )

    def request(self) -> ReplayRequest:
        """The request of these values. Raises ``dagster.Failure`` with one line where one cannot be
        used."""
        require(0 <= self.canary <= MOST_CANARIES, f"canary must be 0 to {MOST_CANARIES}")
        require(
            0 <= self.events_per_minute <= MOST_EVENTS_PER_MINUTE,
            f"events_per_minute must be 0 to {MOST_EVENTS_PER_MINUTE}",
        )
        require(len(self.ids) <= MOST_IDS, f"ids must be at most {MOST_IDS}")
        require(
            bool(self.reason) or self.reason_match != "exact",
            "reason: an exact match needs one",
        )
        try:
            rules = read_rules(self.repair)
        except RepairError as error:
            raise dg.Failure(f"repair: {error}", allow_retries=False) from None
        return ReplayRequest(
            letters=DeadLetters(
                destinations=() if self.destination == "all" else (self.destination,),
                reason=self.reason,
                exact_reason=self.reason_match == "exact",
                error_code=self.error_code,
                event_name=self.event_name,
                since=launchpad_moment("since", self.since),
                until=launchpad_moment("until", self.until),
                ids=tuple(_id(text) for text in self.ids),
                after_pause=self.after_pause,
                with_waiting=self.with_waiting,
            ),
            dry_run=self.dry_run,
            events_per_minute=float(self.events_per_minute) or None,
            canaries=self.canary,
            rules=rules,
        )


def _id(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise dg.Failure("ids must be uuids, of rows or of events", allow_retries=False) from None


@dg.op(
    description="Counts the dead letters that match, by destination and reason. A dry run "
    "forecasts what would happen to each, and what repair rules would change. "
    "Otherwise a few canaries are sent first, and the others go back into the queue "
    "unless the canaries are refused again. Fails if the database cannot be used or "
    "the configuration is invalid; the error says what to do.",
    out=dg.Out(description="The replay's totals."),
)
def replay_dead_letters(
    context: dg.OpExecutionContext, config: ReplayConfig, tracking: TrackingResource
) -> ReplayTotals:
    request = config.request()
    context.instance.add_run_tags(context.run_id, {DESTINATION_TAG: config.destination})
    with tracking.open() as installation, installation.destinations() as destinations:
        url = installation.database.url
        totals = run_interruptibly(
            replay_service(
                url,
                destinations,
                request,
                planning=planning_rule(installation.settings, url),
                run_id=context.run_id,
            )
        )
    _log(context.log, totals)
    context.add_output_metadata(replay_metadata(totals))
    return totals


def _log(log: dg.DagsterLogManager, totals: ReplayTotals) -> None:
    for each in totals.groups:
        done = (
            f"{each.sent} would be sent, {each.waits} would wait, {each.withheld} would be "
            f"withheld, {each.expired} are expired, {each.refused} would be refused"
            if totals.dry_run
            else f"{each.replayed} replayed, {each.held_back} held back"
        )
        log.info(
            f"{each.destination}, {each.reason}: {each.matched} matched, "
            f"{each.already_delivered} delivered already, {done}"
        )


def replay_metadata(totals: ReplayTotals) -> dict[str, Any]:
    """The totals as typed metadata: every number under its own name, and tables for people."""
    found = totals.as_json()
    return {
        # The tables first: the run page shows the first lines of a long message.
        **table("groups", found["groups"]),
        **table("canaries", found["canaries"]),
        **table("repairs", found["repairs"]),
        **table("plan", [_plan_row(each) for each in found["plan"]]),
        **table("refusals", found["refusals"]),
        **table("withheld_by_reason", found["withheld_by_reason"]),
        **{name: found[name] for name in NUMBERS},
        "events_per_minute": dg.MetadataValue.float(float(found["events_per_minute"])),
        "minutes": dg.MetadataValue.float(float(found["minutes"])),
        "seconds": dg.MetadataValue.float(float(found["seconds"])),
    }


def _plan_row(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of one destination without its sample, amounts as numbers."""
    worth = {
        name: plan[name]["amount"]
        for name in ("worth", "worth_in_time", "worth_in_time_oldest_first")
    }
    numbers = {name: plan[name] for name in ("events", "in_time", "in_time_oldest_first")}
    return {
        "destination": plan["destination"],
        **numbers,
        **worth,
        "currency": plan["worth"]["currency"],
    }


@dg.job(
    description="Puts dead letters back into the queue after their cause is fixed. Launch it "
    "unchanged for a dry run, which counts them by reason and forecasts what would "
    "happen to them. Then narrow it down with the filters and set dry_run to false. "
    "If a run fails, its error says what to correct.",
    config=dg.RunConfig(ops={"replay_dead_letters": ReplayConfig()}),
    tags={GROUP_TAG: "replay", **AGAIN_FROM_THE_START, **LONG_RUN, "dagster/max_runtime": "3600"},
)
def replay_dead_letters_job() -> None:
    replay_dead_letters()


# A pause that keeps coming back does not replay its dead letters each time.
REPLAY_WINDOW_SECONDS = 3600


@dg.sensor(
    job=replay_dead_letters_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for dead letters whose destination was paused and accepts events again. "
    "With REPLAY_AFTER_PAUSE, it launches a replay of them, at most once an hour; "
    "without, it only says how many there are. If a tick fails, the database could "
    "not be reached.",
)
def replay_after_pause_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        offers = read_offers(connection)
        window = present_window(connection, REPLAY_WINDOW_SECONDS)
        by_itself = installation.settings.replay_after_pause
    count = sum(group.matched - group.delivered for group in offers)
    if count == 0:
        return dg.SkipReason("0 dead letters of a pause that is over")
    destinations = ", ".join(sorted({group.destination for group in offers}))
    found = f"{number(count)} dead letters of a pause that is over ({destinations})"
    if not by_itself:
        return dg.SkipReason(
            f"{found}: launch replay_dead_letters_job with after_pause, or set REPLAY_AFTER_PAUSE"
        )
    context.log.info(found)
    config = ReplayConfig(dry_run=False, after_pause=True)
    return dg.RunRequest(
        run_key=f"after_pause:{window}",
        run_config=dg.RunConfig(ops={"replay_dead_letters": config}),
    )
