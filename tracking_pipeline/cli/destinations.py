"""The verb ``test-destinations``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli.output import Json, Rehearsal, out, show, state_text
from tracking_pipeline.delivery.destinations.registry import DestinationName

_STYLES = {"warning": "yellow", "critical": "red"}


def ask(
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only this destination.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Ask each destination whether events would get in, and send none: one run of
    check_destinations_job. Exit status 1 where one that is configured does not let them in."""
    from tracking_pipeline.cli.run import run_ops

    config = {"check_destinations": {"destination": destination or "all"}}
    result = run_ops("check_destinations_job", config, rehearsal)
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
