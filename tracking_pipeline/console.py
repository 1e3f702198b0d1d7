"""What the command line shows to people: tables and progress bars. No decisions, no I/O but
printing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from tracking_pipeline.delivery.totals import RetryTotals
from tracking_pipeline.resources import DrainProgress

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_STATE_STYLES = {
    "ok": "green",
    "probing": "yellow",
    "throttled": "yellow",
    "paused": "red",
    "not_configured": "dim",
}


class ProgressBar(DrainProgress):
    """The progress of a drain as a bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, log: dg.DagsterLogManager, total: int) -> None:
        self._task = self._progress.add_task("sending", total=total)

    def report(self, log: dg.DagsterLogManager, totals: RetryTotals) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=totals.total("processed"))


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """A bar that goes when the work is done; nothing where ``quiet`` or without a terminal."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        yield progress


def show_retry(totals: Mapping[str, Any]) -> None:
    """The JSON of a retry run as tables."""
    table = Table(
        title="Retry run" + (" (dry run)" if totals["dry_run"] else ""), title_justify="left"
    )
    table.add_column("destination", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("resolved", "retrying", "dead letter", "left"):
        table.add_column(name, justify="right")
    for name, each in totals["by_destination"].items():
        table.add_row(
            name,
            _state(each["state"]),
            _count(each["resolved"], "green"),
            _count(each["failed"], "yellow"),
            _count(each["dead_lettered"], "red"),
            _count(each["waiting"]),
        )
    out.print(table)
    _show_details(totals["by_destination"])
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
    if totals["stale_settles"]:
        out.print(
            f"{totals['stale_settles']} outcomes came too late: another worker had taken over"
        )


def show_status(status: Mapping[str, Any]) -> None:
    """The JSON of the status as tables."""
    out.print(
        f"Database: {status['database']}"
        + (", served by the sandbox" if status["rehearsal"] else "")
    )
    table = Table(title="Destinations", title_justify="left")
    table.add_column("destination", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("due", "waiting", "oldest", "next try", "dead"):
        table.add_column(name, justify="right")
    for name, each in status["destinations"].items():
        table.add_row(
            name,
            _state(each["state"]),
            _count(each["due"]),
            _count(each["waiting"]),
            span(each["oldest_age_seconds"]),
            span(each["next_try_seconds"]),
            _count(each["dead_letters"], "red"),
        )
    out.print(table)
    _show_details(status["destinations"])
    for name, each in status["destinations"].items():
        if each["last_error"]:
            error = each["last_error"]
            when, outcome = error["at"][:16].replace("T", " "), error["outcome"]
            out.print(Text(f"  {name}: last error {when} ({outcome}) {error['message']}"))
    reasons = status["queue"]["dead_letters_by_reason"]
    if reasons:
        dead = Table(title="Dead letters", title_justify="left")
        dead.add_column("events", justify="right")
        dead.add_column("destination", no_wrap=True)
        dead.add_column("reason", overflow="fold")
        for each in reasons:
            dead.add_row(str(each["count"]), each["destination"], Text(each["reason"]))
        out.print(dead)
    for alert in status["alerts"]:
        style = "red" if alert["severity"] == "critical" else "yellow"
        out.print(Text(f"{alert['severity']}: {alert['message']}", style=style))
    if not status["alerts"]:
        out.print("No open alerts.")
    if status["last_runs"]:
        runs = Table(title="Last runs", title_justify="left")
        for name in ("run", "job", "status", "seconds"):
            runs.add_column(name)
        for run in status["last_runs"]:
            seconds = "" if run["seconds"] is None else f"{run['seconds']:.1f}"
            runs.add_row(run["run_id"][:8], run["job"], run["status"], seconds)
        out.print(runs)


def show_import(totals: Mapping[str, Any]) -> None:
    """The JSON of an import, and its problems by line."""
    out.print(
        f"{totals['imported']} imported, {totals['skipped']} there already, "
        f"{totals['rejected']} rejected"
    )
    for problem in totals["problems"]:
        out.print(Text(f"  line {problem['line']}: {problem['message']}", style="yellow"))
    if totals["rejected"] > len(totals["problems"]):
        out.print(f"  and {totals['rejected'] - len(totals['problems'])} more")
    if totals["ignored_columns"]:
        out.print(Text(f"ignored columns: {', '.join(totals['ignored_columns'])}"))


def span(seconds: float | None) -> str:
    """A length of time in its largest fitting unit."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show_details(destinations: Mapping[str, Any]) -> None:
    """What to know of each destination that is not simply working."""
    for name, each in destinations.items():
        if each["detail"]:
            out.print(Text(f"  {name}: {each['detail']}", style="yellow"))


def _state(state: str) -> Text:
    return Text(state.replace("_", " "), style=_STATE_STYLES.get(state, ""))


def _count(count: int, style: str = "") -> Text:
    return Text(str(count), style=style if count else "dim")
