"""The verbs of delivery: ``retry`` and ``replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import dagster as dg
import typer

from tracking_pipeline.cli.output import Json, Rehearsal, show
from tracking_pipeline.cli.run import run_ops, run_retry
from tracking_pipeline.console.delivery import show_replay, show_retry
from tracking_pipeline.console.terminal import err
from tracking_pipeline.defs.delivery.replay import ReplayConfig, replay_dead_letters_job
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.replay.totals import CANARIES

# What became of an event that the run found; of a failed one, or of one at its first attempt.
_NUMBERS_OF_ONE_EVENT = (
    *("processed", "throttled", "paused", "withheld", "postponed"),
    *("accepted_delivered", "accepted_waiting"),
)


def retry(  # noqa: PLR0917  typer calls it by name
    all_events: Annotated[
        bool, typer.Option("--all", help="Also take events that are not due yet.")
    ] = False,
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only this destination's events.")
    ] = None,
    event_id: Annotated[
        UUID | None, typer.Option(help="Only this event, by its id or its row's; need not be due.")
    ] = None,
    time_budget: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds after which no more is claimed.")
    ] = 240,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Send failed events to their destinations again: one run of retry_failed_events_job."""
    totals = run_retry(
        {
            "destination": destination or "all",
            "event_id": str(event_id) if event_id else "",
            "selection": "all" if all_events else "due",
            "time_budget_seconds": time_budget,
            "dry_run": dry_run,
        },
        rehearsal=rehearsal,
        quiet=as_json,
    )
    show(as_json, totals, show_retry)
    if event_id and not any(totals[name] for name in _NUMBERS_OF_ONE_EVENT):
        err.print(f"No waiting event has the id {event_id}, or another worker holds it.")


def replay(  # noqa: PLR0917  typer calls it by name
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only this destination's dead letters.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Only those whose reason has this in it.")] = "",
    exact: Annotated[bool, typer.Option("--exact", help="--reason is the whole reason.")] = False,
    error_code: Annotated[str, typer.Option(help="Only those with this error code.")] = "",
    event_name: Annotated[str, typer.Option(help="Only events of this name.")] = "",
    since: Annotated[
        str, typer.Option(help="Only those that died at this time or later: ISO 8601.")
    ] = "",
    until: Annotated[str, typer.Option(help="Only those that died before this time.")] = "",
    ids: Annotated[
        list[UUID] | None, typer.Option("--id", help="Only this row or event; may be repeated.")
    ] = None,
    after_pause: Annotated[
        bool, typer.Option("--after-pause", help="Only those of a pause that is over.")
    ] = False,
    repair: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Rules that mend each payload first."),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=0, help="Events a minute for each destination; 0: below live.")
    ] = 0,
    canary: Annotated[
        int, typer.Option(min=0, help="So many of each larger group are sent first; 0: none.")
    ] = CANARIES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count and forecast.")] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back in the queue: one run of replay_dead_letters_job."""
    rules = repair.read_text(errors="replace") if repair else ""
    if repair and not rules.strip():
        raise typer.BadParameter(f"--repair: there is no rule in {repair}")
    config = ReplayConfig(
        destination=destination or "all",
        reason=reason,
        reason_match="exact" if exact else "contains",
        error_code=error_code,
        event_name=event_name,
        since=since,
        until=until,
        ids=[str(each) for each in ids or []],
        after_pause=after_pause,
        repair=rules,
        events_per_minute=rate,
        canary=canary,
        dry_run=dry_run,
    )
    try:
        config.request()
    except dg.Failure as error:
        raise typer.BadParameter(error.description or "") from None
    ops = {"replay_dead_letters": config.model_dump()}
    result = run_ops(replay_dead_letters_job.name, ops, rehearsal)
    totals = result.output_for_node("replay_dead_letters").as_json()
    show(as_json, {**totals, "run_id": result.run_id}, show_replay)
