"""The command line ``tracking-pipeline``. Thin: each verb calls one service and shows what it gave.

Every verb takes ``--json``: one JSON object on standard output, everything else on standard error.
Exit status: 0 done, 1 the work failed, 2 wrong use.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import orjson
import typer

from tracking_pipeline import console
from tracking_pipeline.delivery.events import DestinationName
from tracking_pipeline.importing import ImportFileError, Into, import_file
from tracking_pipeline.installation import (
    Installation,
    embedded_server,
    open_installation,
    sandbox_journal,
)
from tracking_pipeline.jobs.retry import retry_failed_events_job
from tracking_pipeline.resources import EXPLAINED_ERRORS, TrackingResource
from tracking_pipeline.runs import INSTANCE_FILE, RunError, last_runs, open_instance, run_job
from tracking_pipeline.settings import (
    WORKSPACE_FILE,
    Settings,
    SettingsError,
    project_folder,
    read_settings,
)
from tracking_pipeline.status import read_status
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.migrate import migrate as migrate_tables

app = typer.Typer(
    name="tracking-pipeline",
    help="Re-sends failed conversion events and keeps watch over tracking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Rehearsal = Annotated[
    bool,
    typer.Option("--rehearsal", help="Use the embedded rehearsal database and the sandbox."),
]


class CommandError(Exception):
    """A verb could not do its work, in one line."""


@app.command()
def migrate(as_json: Json = False) -> None:
    """Create the tables, or adopt those that exist. Additive; safe to run again."""
    settings = read_settings()
    if settings.tracking_database_url is not None:
        url = settings.tracking_database_url.get_secret_value()
        applied = migrate_tables(url, worker_role=settings.tracking_worker_role).applied
    else:
        with embedded_server(settings.home) as server:
            name = "tracking_rehearsal" if settings.tracking_rehearsal else "tracking"
            applied = migrate_tables(server.ensure_database(name)).applied
    _show(as_json, {"success": True, "applied": applied}, _show_applied)


@app.command()
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
    totals = _retry(
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
    _show(as_json, totals, console.show_retry)
    if event_id and not any(totals[name] for name in ("processed", "throttled", "paused")):
        console.err.print(f"No waiting event has the id {event_id}, or another worker holds it.")


@app.command()
def status(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Show what needs a human: destinations, queue, dead letters, alerts, last runs."""
    settings = read_settings()
    with (
        open_installation(settings, rehearsal=rehearsal or None) as installation,
        open_instance(settings) as instance,
    ):
        found = read_status(installation, last_runs(instance)).as_json()
    _show(as_json, found, console.show_status)


@app.command(name="import")
def import_rows(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="NDJSON or CSV.")
    ],
    into: Annotated[Into, typer.Option(help="What the rows are.")],
    destination: Annotated[
        DestinationName | None,
        typer.Option(help="For failed events whose rows name none."),
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Import rows of your own. Bad rows are told by line; good ones are kept."""
    settings = read_settings()
    with (
        open_installation(
            settings, rehearsal=rehearsal or settings.tracking_rehearsal or False
        ) as installation,
        console.progress_bar(quiet=as_json) as progress,
    ):
        bar = progress.add_task("importing", total=file.stat().st_size)
        totals = import_file(
            installation.database.url,
            file,
            into,
            destination=destination,
            progress=lambda read, total: progress.update(bar, completed=read, total=total),
        )
    _show(as_json, {"success": True, **asdict(totals)}, console.show_import)


@app.command()
def demo(as_json: Json = False) -> None:
    """Show the loop once, on sample events and the sandbox, in the rehearsal database."""
    settings = read_settings()
    with open_installation(settings, rehearsal=True) as installation:
        _load_sample(installation)
        totals = _retry({}, rehearsal=True, quiet=as_json)
        with open_instance(settings) as instance:
            found = read_status(installation, last_runs(instance)).as_json()
    _show(as_json, {"success": True, "retry": totals, "status": found}, _show_demo)


@app.command()
def dev(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 3000,
) -> None:
    """Start everything and keep the Dagster UI up. With nothing configured: a rehearsal."""
    settings = read_settings()
    folder = project_folder()
    if not (folder / WORKSPACE_FILE).is_file():
        raise SettingsError(f"{WORKSPACE_FILE} cannot be found: run this in the project's folder")
    _refuse_taken_port(host, port)
    environment = dict(os.environ)
    rehearsal = settings.nothing_configured if settings.tracking_rehearsal is None else None
    with open_installation(settings, rehearsal=rehearsal or None) as installation:
        if installation.database.rehearsal:
            environment["TRACKING_REHEARSAL"] = "true"
            if _is_empty(installation):
                _load_sample(installation)
        console.err.print(f"Serving {installation.database.label}.")
        if installation.database.rehearsal:
            console.err.print("Rehearsal: sample events, and a sandbox in the destinations' place.")
        console.err.print(f"The Dagster UI comes up at http://{host}:{port} (Ctrl-C ends it).")
        if not os.access(folder, os.W_OK):
            environment.setdefault("DAGSTER_HOME", str(_dagster_home(settings, folder)))
        command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev"]
        command += ["-w", WORKSPACE_FILE, "-h", host, "-p", str(port)]
        raise typer.Exit(_run_until_interrupted(command, folder, environment))


def _retry(config: dict[str, Any], *, rehearsal: bool, quiet: bool) -> dict[str, Any]:
    """One run of the retry job in this process; its totals as JSON."""
    settings = read_settings()
    with open_instance(settings) as instance, console.progress_bar(quiet=quiet) as progress:
        result = run_job(
            instance,
            retry_failed_events_job.name,
            {"plan_retry": {"config": config}},
            resources={
                "tracking": TrackingResource(rehearsal="yes" if rehearsal else "auto"),
                "progress": console.ProgressBar(progress),
            },
        )
    totals: dict[str, Any] = result.output_for_node("summarize_retry").as_json()
    return {**totals, "run_id": result.run_id}


def _load_sample(installation: Installation) -> None:
    # Only a rehearsal needs the sandbox behind this import.
    from tracking_pipeline.sandbox.sample import load_sample  # noqa: PLC0415

    with connect(installation.database.url) as connection:
        load_sample(connection, sandbox_journal(installation.settings.home))


def _dagster_home(settings: Settings, folder: Path) -> Path:
    """A folder for Dagster's files under TRACKING_HOME, with this project's ``dagster.yaml``: else
    Dagster makes a temporary one in the project, which is read-only here.
    """
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / INSTANCE_FILE).write_bytes((folder / INSTANCE_FILE).read_bytes())
    return home


def _is_empty(installation: Installation) -> bool:
    with connect(installation.database.url) as connection:
        row = connection.execute("select from tracking_failed_events limit 1").fetchone()
        return row is None


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from None


def _run_until_interrupted(command: list[str], folder: Path, environment: dict[str, str]) -> int:
    """Runs the child until it ends; hands it our interrupts, and waits for it to tidy up."""
    # A handled signal is the default again in the child; an ignored one (this process was started
    # in the background of a script) would be ignored there, and Dagster would never stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(command, cwd=folder, env=environment)  # noqa: S603

    def pass_on(number: int, frame: object) -> None:
        child.send_signal(signal.SIGINT)

    # The terminal's Ctrl-C reaches the child by itself; a second one would cut its tidying short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    code = child.wait()
    return 0 if code in (0, -signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT) else 1


def _show(as_json: bool, found: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        show(found)


def _show_applied(found: dict[str, Any]) -> None:
    for step in found["applied"]:
        console.out.print(f"  {step}")
    console.out.print("The tables are ready." if found["applied"] else "Nothing to do.")


def _show_demo(found: dict[str, Any]) -> None:
    console.show_retry(found["retry"])
    console.out.print()
    console.show_status(found["status"])
    console.out.print()
    console.out.print("See it in the Dagster UI: make dev")


def main() -> NoReturn:
    """The entry point: every error becomes one line and an exit status."""
    as_json = "--json" in sys.argv
    try:
        app()
        sys.exit(0)
    except KeyboardInterrupt:
        _fail("interrupted; nothing is lost, what was claimed is due again", 130, as_json=as_json)
    except SettingsError as error:
        _fail(str(error), 2, as_json=as_json)
    except (*EXPLAINED_ERRORS, ImportFileError, RunError, CommandError) as error:
        _fail(str(error), 1, as_json=as_json)
    except Exception as error:
        if os.environ.get("TRACKING_DEBUG"):
            raise
        _fail(
            f"{type(error).__name__}, which should not happen: set TRACKING_DEBUG=1 to see where",
            1,
            as_json=as_json,
        )


def _fail(message: str, status: int, *, as_json: bool) -> NoReturn:
    console.err.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({"success": False, "error": message}) + b"\n")
        sys.stdout.buffer.flush()
    sys.exit(status)
