"""The verb ``status``: what needs a human."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.delivery import in_use, show_details, show_last_checks
from tracking_pipeline.cli.health import show_alerts, show_standing, show_undelivered
from tracking_pipeline.cli.output import (
    Json,
    Rehearsal,
    count_text,
    out,
    show,
    span,
    state_text,
)

if TYPE_CHECKING:
    from tracking_pipeline.settings import Settings
    from tracking_pipeline.store.dagster_runs import PastRun
    from tracking_pipeline.wiring.installation import Installation


def status(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Show what needs attention: health, destinations, queue, dead letters, alerts, last runs."""
    with loading():
        from tracking_pipeline.settings import read_settings
        from tracking_pipeline.wiring.installation import NothingHereError, open_installation

    settings = read_settings()
    try:
        with open_installation(settings, rehearsal=rehearsal or None, creates=False) as opened:
            found = status_json(opened, last_runs(settings))
    except NothingHereError as error:
        nothing: dict[str, Any] = {"destinations": {}, "queue": {}, "alerts": [], "last_runs": []}
        show(as_json, {"message": str(error), **nothing}, lambda found: out.print(found["message"]))
    else:
        show(as_json, found, show_status)


def status_json(installation: Installation, runs: Sequence[PastRun]) -> dict[str, Any]:
    """The JSON of the status. ``runs`` come from Dagster's own storage."""
    with loading():
        from tracking_pipeline.health.view.status import read_status
        from tracking_pipeline.wiring.health import health_config

    status = read_status(
        installation.database,
        health_config(installation.settings),
        missing=installation.missing_settings(),
        missing_geo=installation.missing_geo_sources(),
    )
    return {**status.as_json(), "last_runs": [asdict(run) for run in runs]}


def last_runs(settings: Settings, *, limit: int = 5) -> list[PastRun]:
    """The newest runs of Dagster's instance first. Where it keeps them in our storage they are read
    there, because Dagster's import takes a second; any other storage is opened by Dagster."""
    from tracking_pipeline.store.dagster_runs import read_past_runs
    from tracking_pipeline.store.database import POOL_ANSWER_SECONDS, connect
    from tracking_pipeline.wiring.installation import embedded_is_made
    from tracking_pipeline.wiring.run_storage import (
        instance_file,
        keeps_runs_in_our_storage,
        run_storage_url,
    )

    if keeps_runs_in_our_storage(instance_file()):
        if settings.dagster_postgres_url is None and not embedded_is_made(settings.home):
            return []
        with connect(run_storage_url(settings), answer_seconds=POOL_ANSWER_SECONDS) as connection:
            return read_past_runs(connection, limit=limit)

    from tracking_pipeline.defs.instance import runs

    with runs.open_instance(settings) as instance:
        return runs.last_runs(instance, limit=limit)


def show_status(status: Mapping[str, Any]) -> None:
    """The JSON of the status as tables."""
    show_queue(status)
    show_alerts(status["alerts"])
    show_undelivered(status["undelivered_alerts"])
    show_standing(status["health"])
    show_runs(status["last_runs"])


def show_queue(status: Mapping[str, Any]) -> None:
    """The part of the status that is about delivery: destinations, queue, dead letters, places."""
    out.print(
        f"Database: {status['database']}"
        + (", served by the sandbox" if status["rehearsal"] else "")
    )
    table = Table(title="Destinations", title_justify="left")
    table.add_column("destination", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("due", "waiting", "oldest", "next try", "dead"):
        table.add_column(name, justify="right")
    counts = ("due", "waiting", "dead_letters", "first_attempts")
    for name, each in in_use(status["destinations"], counts).items():
        table.add_row(
            name,
            state_text(each["state"]),
            count_text(each["due"]),
            count_text(each["waiting"]),
            span(each["oldest_age_seconds"]),
            span(each["next_try_seconds"]),
            count_text(each["dead_letters"], "red"),
        )
    out.print(table)
    show_details(status["destinations"])
    for name, each in status["destinations"].items():
        if each["first_attempts"]:
            count = each["first_attempts"]
            out.print(f"  {name}: {count} events taken in wait for their first attempt")
    _show_last_errors(status["destinations"])
    show_last_checks(status["destinations"])
    if unclaimable := status["queue"]["unclaimable"]:
        out.print(
            Text(
                f"  {unclaimable} rows of tracking_failed_events have no status, or wait for no "
                "destination: nothing sends them until both are set",
                style="yellow",
            )
        )
    if advice := status["queue"]["vacuum_advice"]:
        out.print(Text(f"  {advice}", style="yellow"))
    _show_geo(status["geo"])
    reasons = status["queue"]["dead_letters_by_reason"]
    if reasons:
        dead = Table(title="Dead letters", title_justify="left")
        dead.add_column("events", justify="right")
        dead.add_column("destination", no_wrap=True)
        dead.add_column("failure", overflow="fold")
        dead.add_column("reason", overflow="fold")
        for each in reasons:
            failure = each["failure"] or ""
            dead.add_row(str(each["count"]), each["destination"], failure, Text(each["reason"]))
        out.print(dead)
    show_lately("Withheld", status["withheld"]["by_reason"])
    show_lately("Delivered with a warning", status["warned_by_kind"])
    show_lately("Delivered, matched nobody", status["unmatched_by_reason"])
    for each in status["queue"]["replayable_after_pause"]:
        out.print(
            Text(
                f"{each['destination']} takes events again: {each['count']} dead letters of its "
                f"pause ({each['reason']}) can go back: tracking-pipeline replay --after-pause"
            )
        )
    for each in status["queue"]["saved_by_longer_horizon"]:
        out.print(
            Text(
                f"{each['detail']}. They can go back: tracking-pipeline replay "
                f"--destination {each['destination']} --exact --reason max_retries"
            )
        )


def _show_last_errors(destinations: Mapping[str, Any]) -> None:
    """The newest failure of each destination, and what the platform said of it."""
    for name, each in destinations.items():
        error = each["last_error"]
        if not error:
            continue
        when, outcome = error["at"][:16].replace("T", " "), error["outcome"]
        failure = error["failure"] or ""
        words = " ".join(filter(None, (failure, error["message"])))
        out.print(Text(f"  {name}: last error {when} ({outcome}) {words}"))
        for said in ("platform_message", "field_path", "trace_id"):
            if error[said]:
                out.print(Text(f"    {said.replace('_', ' ')}: {error[said]}", style="dim"))


def show_lately(title: str, by_reason: Sequence[Mapping[str, Any]]) -> None:
    """How many events there were within a day and within a week, and why."""
    if not by_reason:
        return
    table = Table(title=title, title_justify="left")
    table.add_column("24 h", justify="right")
    table.add_column("7 days", justify="right")
    table.add_column("destination", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for each in by_reason:
        counts = (str(each["last_day"]), str(each["last_week"]))
        table.add_row(*counts, each["destination"], Text(each["reason"]))
    out.print(table)


def show_runs(last_runs: Sequence[Mapping[str, Any]]) -> None:
    """The last runs, the newest first."""
    if not last_runs:
        return
    runs = Table(title="Last runs", title_justify="left")
    for name in ("run", "job", "status", "seconds"):
        runs.add_column(name)
    for run in last_runs:
        seconds = "" if run["seconds"] is None else f"{run['seconds']:.1f}"
        runs.add_row(run["run_id"][:8], run["job"], run["status"], seconds)
    out.print(runs)


def _show_geo(geo: Mapping[str, Any]) -> None:
    """What to know of the leads' places, where something is to be done."""
    from tracking_pipeline.store.leads import BACKLOG_CAP

    if geo["new"] or geo["waiting"]:
        # Only the newest are counted; those beyond may be either.
        more = " or more" if geo["new"] + geo["waiting"] >= BACKLOG_CAP else ""
        new, waiting = (f"{geo[name]}{more if geo[name] else ''}" for name in ("new", "waiting"))
        out.print(f"Leads without a location: {new} new, {waiting} waiting.")
        # Only who waits wants to know who could be asked.
        for provider, what_to_set in geo["missing"].items():
            out.print(Text(f"  {provider}: {what_to_set}", style="dim"))
    if geo["warning"]:
        out.print(Text(f"  {geo['warning']}", style="yellow"))
