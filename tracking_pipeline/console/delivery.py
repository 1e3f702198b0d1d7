"""Retry runs and replays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tracking_pipeline.console.terminal import out
from tracking_pipeline.console.words import count_text, state_text


def show_retry(totals: Mapping[str, Any]) -> None:
    """The JSON of a retry run as tables."""
    table = Table(
        title="Retry run" + (" (dry run)" if totals["dry_run"] else ""), title_justify="left"
    )
    table.add_column("destination", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("resolved", "retrying", "dead letter", "withheld", "left"):
        table.add_column(name, justify="right")
    for name, each in totals["by_destination"].items():
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
        errors.add_column("reason", overflow="fold")
        for error in totals["top_errors"]:
            errors.add_row(
                str(error["count"]), error["destination"], error["outcome"], Text(error["reason"])
            )
        out.print(errors)
    for each in totals["withheld_by_reason"]:
        line = f"  {each['destination']}: {each['count']} withheld: {each['reason']}"
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
            f"{totals['may_count_twice']} events are older than the 48 hours in which Meta sees a "
            "copy: those it has already would count twice."
        )
    if totals["matched"]:
        out.print(
            f"{totals['events_per_minute']:g} events a minute for each destination: "
            f"{totals['minutes']:g} minutes."
        )
    else:
        out.print("No dead letter matches.")


def show_details(destinations: Mapping[str, Any]) -> None:
    """What to know of each destination that is not simply working."""
    for name, each in destinations.items():
        if each["detail"]:
            out.print(Text(f"  {name}: {each['detail']}", style="yellow"))
