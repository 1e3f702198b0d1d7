"""``retry_failed_events_job``: sends failed events to their destinations again.

What is taken: events of ``tracking_failed_events`` in status ``pending`` or ``retrying`` that are
due (``next_retry_at`` absent or past), not leased by another worker, and whose destination is
configured and neither paused nor throttled. Before them, in turns, events of
``tracking_accepted_events``, which the API took and nobody has sent yet.

What fails a run: a database that cannot be reached or stays away, tables that are not migrated, a
setting that cannot be read. Events that fail again, paused destinations and missing settings do
not: they are results, and the run's metadata tells them.

What a second run does: the same thing, safely at the same time. Events are claimed with a lease, so
no event is sent by two runs; a run that is told to stop (SIGINT, SIGTERM) hands back what it holds;
one that is killed loses nothing, and its events are due again when their lease ends, within a
minute: in smaller groups then, because one of them may have been what killed it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

import dagster as dg
import psycopg
from pydantic import Field

from tracking_pipeline.defs.delivery.backlog import (
    LAUNCHED_BY_ANOTHER,
    read_due_events,
    runs_called_for,
)
from tracking_pipeline.defs.metadata import (
    AGAIN_FROM_THE_START,
    DESTINATION_TAG,
    GROUP_TAG,
    LONG_RUN,
)
from tracking_pipeline.defs.resources import KEPT_IN_LOG, DrainProgress, TrackingResource
from tracking_pipeline.defs.ticks import count_under_way
from tracking_pipeline.delivery.destinations.registry import (
    DESTINATIONS,
    DestinationName,
    DestinationOrAll,
)
from tracking_pipeline.delivery.engine.retry import (
    TIME_BUDGET_SECONDS,
    RetryRequest,
    retry_failed_events,
)
from tracking_pipeline.delivery.engine.totals import NUMBERS, DestinationTotals, RetryTotals
from tracking_pipeline.delivery.failures import remedy_of
from tracking_pipeline.interruption import run_interruptibly
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.launches import take_places


class RetryConfig(dg.Config):
    """What to retry. Untouched, it retries everything that is due."""

    destination: DestinationOrAll = Field(
        default="all",
        description="Only this destination's events, or all.",
    )
    event_id: str = Field(
        default="",
        description="Only this event, by the UUID of its row or of the event itself, even if it "
        "is not due. Empty: all events.",
    )
    selection: Literal["due", "all"] = Field(
        default="due",
        description="`due`: events whose waiting time is over. `all`: also events that still "
        "wait. Neither sends to a throttled destination; `all` sends one probe to a "
        "paused one.",
    )
    time_budget_seconds: int = Field(
        default=TIME_BUDGET_SECONDS,
        description="The run claims no more events after this many seconds, 1 to 3600. The rest "
        "stays due for the next run.",
    )
    dry_run: bool = Field(
        default=False,
        description="Only count; send and change nothing.",
    )

    def request(self) -> RetryRequest:
        """The request of these values. Raises ``dagster.Failure`` where one is out of bounds: the
        launchpad itself does not check bounds."""
        if not 1 <= self.time_budget_seconds <= 3600:
            raise dg.Failure("time_budget_seconds must be 1 to 3600", allow_retries=False)
        try:
            event_id = UUID(self.event_id.strip()) if self.event_id.strip() else None
        except ValueError:
            raise dg.Failure(
                "event_id must be a uuid: the id of the row or of its event", allow_retries=False
            ) from None
        return RetryRequest(
            destinations=tuple(name for name in DESTINATIONS if self.destination in ("all", name)),
            all_events=self.selection == "all",
            event_id=event_id,
            time_budget_seconds=float(self.time_budget_seconds),
            dry_run=self.dry_run,
        )


@dataclass(frozen=True)
class RetryPlan:
    """A checked request and what the queue held for it when the run began."""

    request: RetryRequest
    found: dict[DestinationName, int]


@dg.op(
    description="Checks the run's configuration and counts the events that it would take. Fails "
    "if the database cannot be used; the error says what to do.",
    out=dg.Out(metadata=KEPT_IN_LOG),
)
def plan_retry(
    context: dg.OpExecutionContext, config: RetryConfig, tracking: TrackingResource
) -> RetryPlan:
    request = config.request()
    context.instance.add_run_tags(context.run_id, {DESTINATION_TAG: config.destination})
    with tracking.open() as installation, installation.destinations() as destinations:
        counted = asyncio.run(
            retry_failed_events(
                installation.database.url,
                destinations,
                RetryRequest(
                    destinations=request.destinations,
                    all_events=request.all_events,
                    event_id=request.event_id,
                    dry_run=True,
                ),
            )
        )
        context.log.info(f"serving {installation.database.label}")
    found = {
        name: totals.waiting + totals.accepted_waiting
        for name, totals in counted.by_destination.items()
    }
    idle = []
    for name, totals in counted.by_destination.items():
        if _is_idle(totals):
            idle.append(f"{name} ({totals.detail})")
            continue
        note = f" ({totals.state}: {totals.detail})" if totals.state == "not_configured" else ""
        context.log.info(f"{name}: {found[name]} to take{note}")
    if idle:
        context.log.info(f"not configured: {'; '.join(idle)}")
    context.add_output_metadata(
        {
            "to_take": sum(found.values()),
            **{f"{name}_to_take": count for name, count in found.items()},
        }
    )
    return RetryPlan(request, found)


@dg.op(
    description="Drains all destinations at once: claims due events, sends them, and settles each "
    "as resolved, withheld, waiting or dead letter. Ends when nothing is left or the "
    "time budget is used up. Safe to run several times at once, and to kill.",
    out=dg.Out(metadata=KEPT_IN_LOG),
)
def drain_failed_events(
    context: dg.OpExecutionContext,
    tracking: TrackingResource,
    progress: dg.ResourceParam[DrainProgress],
    plan: RetryPlan,
) -> RetryTotals:
    progress.begin(context.log, sum(plan.found.values()))
    with tracking.open() as installation, installation.destinations() as destinations:
        return run_interruptibly(
            retry_failed_events(
                installation.database.url,
                destinations,
                plan.request,
                run_id=context.run_id,
                progress=lambda totals: progress.report(context.log, totals),
            )
        )


@dg.op(
    description="Shows what the run did: numbers for each destination, the most frequent errors, "
    "why events were withheld, and which match keys had unusable values.",
    out=dg.Out(description="The run's totals."),
)
def summarize_retry(context: dg.OpExecutionContext, totals: RetryTotals) -> RetryTotals:
    for name, each in totals.by_destination.items():
        if _is_idle(each):  # the first step has told so
            continue
        note = "" if each.state == "ok" else f"; {each.state}: {each.detail}"
        if each.failure:
            note += f" ({each.failure}: {remedy_of(each.failure)})"
        if each.refused_later or each.requeued_later:
            note += (
                f"; of events delivered earlier {each.refused_later} refused afterwards, "
                f"{each.requeued_later} sent again"
            )
        if each.warned or each.unmatched:
            note += f"; delivered: {each.warned} with a warning, {each.unmatched} matched nobody"
        context.log.info(
            f"{name}: {each.resolved} resolved, {each.failed} failed, "
            f"{each.dead_lettered} dead-lettered, {each.withheld} withheld, "
            f"{each.postponed} postponed, {each.waiting} left; "
            f"{each.accepted_delivered} delivered at the first attempt, "
            f"{each.accepted_waiting} wait for it{note}"
        )
    context.add_output_metadata(totals_metadata(totals))
    return totals


def _is_idle(totals: DestinationTotals) -> bool:
    """Whether there is nothing to tell of a destination but what it lacks. A site sends to two or
    three of them, and each line of a run's log is a transaction of Dagster's storage."""
    return totals.state == "not_configured" and not any(getattr(totals, n) for n in NUMBERS)


# What fits side by side on the run page; every number stands below it under its own name.
_TABLE_COLUMNS = (
    *("state", "resolved", "failed", "dead_lettered", "withheld", "waiting", "requests"),
    *("detail", "failure"),
)


def totals_metadata(totals: RetryTotals) -> dict[str, Any]:
    """The totals as typed metadata: every number under its own name, and tables for people."""
    tables: dict[str, Any] = {
        "by_destination": _table(
            [
                {"destination": name, **{key: getattr(each, key) for key in _TABLE_COLUMNS}}
                for name, each in totals.by_destination.items()
            ]
        )
    }
    if totals.errors:
        tables["top_errors"] = _table([asdict(error) for error in totals.errors])
    if totals.withheld:
        tables["withheld_by_reason"] = _table([asdict(each) for each in totals.withheld])
    if totals.warned:
        tables["warned_by_kind"] = _table([asdict(each) for each in totals.warned])
    if totals.unmatched:
        tables["unmatched_by_reason"] = _table([asdict(each) for each in totals.unmatched])
    if totals.dropped:
        tables["dropped_match_keys"] = _table(
            [
                {"key": key, "reason": reason, "count": count}
                for (key, reason), count in sorted(totals.dropped.items())
            ]
        )
    if totals.unreadable:
        tables["unreadable_fields"] = _table(totals.unreadable_fields())
    return {
        # The tables first: the run page shows the first lines of a long message.
        **tables,
        **{name: totals.total(name) for name in NUMBERS},
        **{
            f"{name}_{number}": getattr(each, number)
            for name, each in totals.by_destination.items()
            for number in NUMBERS
        },
        "seconds": dg.MetadataValue.float(round(totals.seconds, 3)),
        "stopped_reason": totals.stopped_reason,
    }


def _table(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    columns = [
        dg.TableColumn(name, type="int" if isinstance(value, int) else "string")
        for name, value in rows[0].items()
    ]
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in rows], schema=dg.TableSchema(columns)
    )


@dg.job(
    description="Retries failed events. Launch it unchanged to retry everything that is due. If a "
    "run fails, the database could not be used, and its error says what to do. Events "
    "that fail again do not make the run fail; `summarize_retry` shows them.",
    config=dg.RunConfig(ops={"plan_retry": RetryConfig()}),
    tags={GROUP_TAG: "retry", **AGAIN_FROM_THE_START, **LONG_RUN, "dagster/max_runtime": "3900"},
)
def retry_failed_events_job() -> None:
    summarize_retry(drain_failed_events(plan_retry()))


@dg.schedule(
    job=retry_failed_events_job,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Retries due failed events every 5 minutes, also when the sensor is off: one run, "
    "or up to RETRY_WORKERS at once for a long queue. Skips while that many are "
    "running.",
)
def retry_failed_events_schedule(
    context: dg.ScheduleEvaluationContext, tracking: TrackingResource
) -> list[dg.RunRequest] | dg.SkipReason:
    under_way = count_under_way(context.instance, retry_failed_events_job.name)
    places = _places(tracking, under_way)
    if places:
        return [dg.RunRequest(f"retry:{place}") for place in places]
    return dg.SkipReason(
        f"{under_way} runs of {retry_failed_events_job.name} under way"
        if under_way
        else LAUNCHED_BY_ANOTHER
    )


def _places(tracking: TrackingResource, under_way: int) -> Sequence[int]:
    """Which runs are to be launched beside those under way; where that cannot be told, the first
    one: the run says why."""
    job_name = retry_failed_events_job.name
    try:
        with tracking.open() as installation, connect(installation.database.url) as connection:
            workers = installation.settings.retry_workers
            due = read_due_events(installation, connection).count if workers > 1 else 0
            called_for = max(1, runs_called_for(due, workers))
            to_come = range(under_way, called_for)
            return take_places(connection, job_name, to_come, by=retry_failed_events_schedule.name)
    except (dg.Failure, psycopg.Error):
        return range(under_way, 1)
