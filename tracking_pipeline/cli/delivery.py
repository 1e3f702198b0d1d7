"""The verbs of delivery: ``retry``, ``replay``, ``backfill`` and ``test-destinations``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.output import (
    Json,
    Rehearsal,
    count_text,
    err,
    out,
    show,
    state_text,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.replay import CANARIES

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
        UUID | None,
        typer.Option(help="Only this event, by its id or its row's id; even if not due."),
    ] = None,
    time_budget: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds after which no more events are claimed.")
    ] = 240,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; send nothing.")] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Send failed events to their destinations again: one run of retry_failed_events_job."""
    with loading():
        from tracking_pipeline.cli.run import run_retry

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
    reason: Annotated[str, typer.Option(help="Only those whose reason contains this text.")] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="Match the whole reason, not a part.")
    ] = False,
    error_code: Annotated[str, typer.Option(help="Only those with this error code.")] = "",
    event_name: Annotated[str, typer.Option(help="Only events with this name.")] = "",
    since: Annotated[
        str, typer.Option(help="Only those given up at this time or later (ISO 8601).")
    ] = "",
    until: Annotated[str, typer.Option(help="Only those given up before this time.")] = "",
    ids: Annotated[
        list[UUID] | None, typer.Option("--id", help="Only this row or event; repeatable.")
    ] = None,
    after_pause: Annotated[
        bool, typer.Option("--after-pause", help="Only those from a pause that has ended.")
    ] = False,
    with_waiting: Annotated[
        bool, typer.Option("--with-waiting", help="Also plan the events that wait for a retry.")
    ] = False,
    repair: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Rules that repair each payload before it is sent."
        ),
    ] = None,
    rate: Annotated[
        int, typer.Option(min=0, help="Events per minute and destination; 0: below the live rate.")
    ] = 0,
    canary: Annotated[
        int, typer.Option(min=0, help="Events of each larger group to send first; 0: none.")
    ] = CANARIES,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count and forecast; change nothing.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back in the queue: one run of replay_dead_letters_job."""
    with loading():
        import dagster as dg

        from tracking_pipeline.cli.run import run_ops
        from tracking_pipeline.defs.delivery.replay import ReplayConfig, replay_dead_letters_job

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
        with_waiting=with_waiting,
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
    result = run_ops(replay_dead_letters_job, ops, rehearsal)
    totals = result.output_for_node("replay_dead_letters").as_json()
    show(as_json, {**totals, "run_id": result.run_id}, show_replay)


def backfill(  # noqa: PLR0917  typer calls it by name
    destination: Annotated[
        DestinationName, typer.Option(help="The destination that receives them.")
    ],
    since: Annotated[
        str, typer.Option(help="Only conversions recorded at this time or later (ISO 8601).")
    ],
    until: Annotated[str, typer.Option(help="Only those recorded before this time.")] = "",
    rate: Annotated[
        int, typer.Option(min=0, help="Events per minute; 0: below the live rate.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count and forecast; change nothing.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Send a new destination the ledger's conversions: one run of backfill_destination_job."""
    with loading():
        import dagster as dg

        from tracking_pipeline.cli.run import run_ops
        from tracking_pipeline.defs.delivery.backfill import (
            BackfillConfig,
            backfill_destination_job,
        )

    config = BackfillConfig(
        destination=destination,
        since=since,
        until=until,
        events_per_minute=rate,
        dry_run=dry_run,
    )
    try:
        config.check()
    except dg.Failure as error:
        raise typer.BadParameter(error.description or "") from None
    ops = {"backfill_destination": config.model_dump()}
    result = run_ops(backfill_destination_job, ops, rehearsal)
    totals = result.output_for_node("backfill_destination").as_json()
    show(as_json, {**totals, "run_id": result.run_id}, show_backfill)


def show_backfill(totals: Mapping[str, Any]) -> None:
    """The JSON of a backfill in lines."""
    dry_run = totals["dry_run"]
    matched = f"{totals['matched']} conversions that {totals['destination']} has never seen"
    done = (
        f"{totals['would_hand_over']} would be handed over"
        if dry_run
        else f"{totals['handed_over']} handed over"
    )
    out.print(f"{matched}: {done}, {totals['withheld']} withheld.")
    for reason, count in totals["withheld_by_reason"].items():
        out.print(Text(f"  {count} withheld: {reason}"))
    if totals["would_hand_over"]:
        out.print(
            f"{totals['events_per_minute']:g} events a minute: the last one is due in "
            f"{totals['minutes']:g} minutes."
        )


def show_retry(totals: Mapping[str, Any]) -> None:
    """The JSON of a retry run as tables."""
    table = Table(
        title="Retry run" + (" (dry run)" if totals["dry_run"] else ""), title_justify="left"
    )
    table.add_column("destination", no_wrap=True)
    table.add_column("state", overflow="fold")
    for name in ("resolved", "retrying", "dead letter", "withheld", "left"):
        # On a narrow terminal a heading goes over two lines rather than being cut.
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    counts = ("resolved", "failed", "dead_lettered", "withheld", "waiting")
    for name, each in in_use(totals["by_destination"], counts).items():
        table.add_row(
            name,
            state_text(each["state"]),
            count_text(each["resolved"], "green"),
            count_text(each["failed"], "yellow"),
            count_text(each["dead_lettered"], "red"),
            count_text(each["withheld"]),
            count_text(each["waiting"]),
        )
    out.print(table)
    show_details(totals["by_destination"])
    if totals["refused_later"] or totals["requeued_later"]:
        out.print(
            f"Of events delivered by earlier runs, {totals['refused_later']} were refused "
            f"afterwards and given up, {totals['requeued_later']} are sent again."
        )
    if totals["top_errors"]:
        errors = Table(title="Why events were not delivered", title_justify="left")
        errors.add_column("events", justify="right")
        errors.add_column("destination", no_wrap=True)
        errors.add_column("outcome")
        errors.add_column("failure", overflow="fold")
        errors.add_column("reason", overflow="fold")
        for error in totals["top_errors"]:
            errors.add_row(
                str(error["count"]),
                error["destination"],
                error["outcome"],
                error["failure"],
                Text(error["reason"]),
            )
        out.print(errors)
    for each in totals["withheld_by_reason"]:
        line = f"  {each['destination']}: {each['count']} withheld: {each['reason']}"
        out.print(Text(line))
    for each in totals["warned_by_kind"]:
        line = (
            f"  {each['destination']}: {each['count']} delivered with a warning: {each['reason']}"
        )
        out.print(Text(line))
    for each in totals["unmatched_by_reason"]:
        line = (
            f"  {each['destination']}: {each['count']} delivered, matched nobody: {each['reason']}"
        )
        out.print(Text(line))
    if totals["postponed"]:
        out.print(f"{totals['postponed']} events wait for their own time, which is still to come.")
    if totals["stale_settles"]:
        out.print(
            f"{totals['stale_settles']} outcomes came too late: another worker had taken over"
        )


def show_replay(totals: Mapping[str, Any]) -> None:
    """The JSON of a replay as tables."""
    dry_run = totals["dry_run"]
    table = Table(title="Replay" + (" (dry run)" if dry_run else ""), title_justify="left")
    table.add_column("destination", no_wrap=True)
    table.add_column("reason", overflow="fold")
    columns = {"matched": "matched", "already_delivered": "delivered"}
    if dry_run:
        forecasts = ("sent", "waits", "withheld", "expired", "refused")
        columns |= {name: name for name in forecasts}
        columns["may_count_twice"] = "twice?"
    else:
        columns |= {"replayed": "replayed", "held_back": "held back", "gone": "gone"}
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for group in totals["groups"]:
        table.add_row(
            group["destination"],
            Text(group["reason"]),
            *(count_text(group[name]) for name in columns),
        )
    out.print(table)
    for each in totals["canaries"]:
        verdict = "held back" if each["holds_back"] else "goes on"
        out.print(
            Text(
                f"  canary of {each['destination']}, {each['reason']}: {each['delivered']} "
                f"delivered, {each['refused']} refused again, {each['withheld']} withheld, "
                f"{each['undecided']} open: {verdict}"
            )
        )
    for each in totals["repairs"]:
        out.print(Text(f"  rule {each['rule']}: {each['change']} ({each['events']} events)"))
    for each in totals["refusals"]:
        line = f"  {each['destination']} would refuse {each['events']}: {each['reason']}"
        out.print(Text(line, style="yellow"))
    for each in totals["withheld_by_reason"]:
        line = f"  {each['count']} to {each['destination']} would be withheld: {each['reason']}"
        out.print(Text(line))
    if totals["may_count_twice"]:
        out.print(
            f"{totals['may_count_twice']} events are older than the time in which a copy is "
            "recognised: those that their destination has already would count twice."
        )
    for each in totals["plan"]:
        _show_plan(each)
    if totals["matched"]:
        out.print(
            f"{totals['events_per_minute']:g} events a minute for each destination: "
            f"{totals['minutes']:g} minutes."
        )
    else:
        out.print("No dead letter matches.")


def _show_plan(plan: Mapping[str, Any]) -> None:
    """What the order of one destination's events brings."""
    from tracking_pipeline.delivery.worth import EventsWorth

    def told(name: str) -> str:
        worth = EventsWorth(**plan[f"worth_{name}"]).words
        number = f"{plan[name]} of {plan['events']}"
        return f"{number}, worth {worth}" if worth else number

    line = f"  {plan['destination']}, due in time: {told('in_time')}"
    if told("in_time") != told("in_time_oldest_first"):
        line += f" (with the oldest first: {told('in_time_oldest_first')})"
    out.print(Text(line))
    if plan["first"]:
        first = ", ".join(f"{each['event_name']} {each['event_id']}" for each in plan["first"][:3])
        out.print(Text(f"    first: {first}"))


def in_use(destinations: Mapping[str, Any], counts: Sequence[str]) -> Mapping[str, Any]:
    """Those that are configured or have a count: most sites send to two or three of them, and what
    the others lack is said by `show_details`. All of them where that leaves none."""
    used = {
        name: each
        for name, each in destinations.items()
        if each["state"] != "not_configured" or any(each[count] for count in counts)
    }
    return used or destinations


def show_details(destinations: Mapping[str, Any]) -> None:
    """What to know of each destination that is not simply working."""
    for name, each in destinations.items():
        if each["detail"]:
            state = "not configured: " if each["state"] == "not_configured" else ""
            out.print(Text(f"  {name}: {state}{each['detail']}", style="yellow"))
        if each["failure"]:
            out.print(Text(f"    {each['failure']}: {each['remedy'] or ''}", style="yellow"))


_STYLES = {"warning": "yellow", "critical": "red"}


def ask(
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only this destination.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Ask each destination whether it would accept events, without sending one: one run of
    check_destinations_job. Exit status 1 if a configured destination would not."""
    with loading():
        from tracking_pipeline.cli.run import run_ops
        from tracking_pipeline.defs.delivery.check_destinations import check_destinations_job

    config = {"check_destinations": {"destination": destination or "all"}}
    result = run_ops(check_destinations_job, config, rehearsal)
    found: dict[str, Any] = result.output_for_node("check_destinations").as_json()
    show(as_json, {**found, "run_id": result.run_id}, show_checks)
    if not found["success"]:
        raise typer.Exit(1)


def show_checks(found: Mapping[str, Any]) -> None:
    """The JSON of a check of all destinations."""
    table = Table(title="Destinations", title_justify="left")
    table.add_column("destination", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("says", overflow="fold")
    for each in found["results"]:
        code = f" ({each['failure_code']})" if each["failure_code"] else ""
        duration = str(each["duration_ms"]) if each["duration_ms"] else ""
        says = Text(f"{each['detail']}{code}")
        table.add_row(each["destination"], state_text(each["state"]), duration, says)
    out.print(table)
    for each in found["results"]:
        if each["remedy"]:
            out.print(Text(f"  {each['destination']}: {each['remedy']}"))
        show_endings(each)


def show_last_checks(destinations: Mapping[str, Mapping[str, Any]]) -> None:
    """What each destination said when it was asked last, where that needs a human."""
    for name, each in destinations.items():
        check = each["last_check"] or {"state": "ok", "expires": []}
        if check["state"] not in ("ok", "not_configured"):
            when = check["checked_at"][:16].replace("T", " ")
            words = f"  {name}: {check['state']} when asked at {when}: {check['detail']}"
            out.print(Text(words, style="red" if check["state"] == "refused" else "yellow"))
        show_endings({**check, "expires": [e for e in check["expires"] if e["level"] != "ok"]})


def show_endings(check: Mapping[str, Any]) -> None:
    """What ends of what the destination of this check needs, and when."""
    for each in check["expires"]:
        words = f"  {check['destination']}: {each['detail']}"
        out.print(Text(words, style=_STYLES.get(each["level"], "")))
