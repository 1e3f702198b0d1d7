"""The verbs that make the tables, fill them and keep them small: ``migrate``, ``import`` and
``prune``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from rich.text import Text

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.output import (
    CommandError,
    Json,
    Rehearsal,
    err,
    out,
    progress_bar,
    replaceable,
    show,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.errors import WrongUseError
from tracking_pipeline.importing.records import Into

if TYPE_CHECKING:
    from tracking_pipeline.store.migrate import Target

_STANDARD_INPUT = Path("-")


def migrate(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Adopt tables with rows without asking.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create missing tables and adopt existing ones. Only adds, and is safe to repeat. On a
    terminal it asks before it adopts tables with rows."""
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.migrate import migrate as migrate_tables
    from tracking_pipeline.store.migrate import read_target
    from tracking_pipeline.wiring.installation import (
        EMBEDDED_DATABASE,
        REHEARSAL_DATABASE,
        embedded_server,
    )

    settings = read_settings()
    if settings.tracking_database_url is not None:
        url = settings.tracking_database_url.get_secret_value()
        _let_see(read_target(url), ask=not (yes or as_json))
        applied = migrate_tables(url, worker_role=settings.tracking_worker_role).applied
    else:
        with embedded_server(settings.home) as server:
            name = REHEARSAL_DATABASE if settings.tracking_rehearsal else EMBEDDED_DATABASE
            err.print(Text(f"Database: the embedded database {name}"))
            applied = migrate_tables(server.ensure_database(name)).applied
    show(as_json, {"success": True, "applied": applied}, show_applied)


def _let_see(target: Target, *, ask: bool) -> None:
    """Says which database is about to be changed, and asks where it is somebody else's."""
    err.print(Text(f"Database: {target.database}"))
    if not (ask and target.tables and sys.stdin.isatty() and err.is_terminal):
        return
    err.print(
        Text(
            f"{', '.join(target.tables)}: adopt, with the rows that are there? Columns, indexes and"
            " policies are added, nothing is removed. [y/N] "
        ),
        end="",
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("not adopted: nothing was changed")


def import_rows(  # noqa: PLR0917  options, which nobody passes by position
    file: Annotated[Path, typer.Argument(help="NDJSON or CSV; - is standard input.")],
    into: Annotated[Into, typer.Option(help="The table that receives the rows.")],
    destination: Annotated[
        DestinationName | None,
        typer.Option(help="For failed events whose rows name no destination."),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            callback=replaceable,
            help="Write rejected rows to this file, each with its reason: correct them and import "
            "it again.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be imported; write nothing.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Import your own rows. Bad rows are reported by line; good ones are kept."""
    from tracking_pipeline.importing.service import import_file
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.wiring.installation import open_installation

    if file != _STANDARD_INPUT and not file.exists():
        raise WrongUseError(f"{file} does not exist: name a file, or - for standard input")
    if file.is_dir():
        raise WrongUseError(f"{file} is a directory: name a file in it")
    if rejects is not None and file.exists() and rejects.exists() and rejects.samefile(file):
        raise WrongUseError("--rejects names the file that is imported: name another one")
    if destination is not None and into != "failed-events":
        raise WrongUseError(f"--destination is for failed events: leave it out for {into}")
    settings = read_settings()
    with (
        open_installation(
            settings, rehearsal=rehearsal or settings.tracking_rehearsal or False
        ) as installation,
        progress_bar(quiet=as_json) as progress,
    ):
        bar = progress.add_task("importing", total=None)
        totals = import_file(
            installation.database.url,
            _standard_input() if file == _STANDARD_INPUT else file,
            into,
            destination=destination,
            progress=lambda read, total: progress.update(bar, completed=read, total=total),
            dry_run=dry_run,
            rejects=rejects,
        )
    answer = {"success": True, "dry_run": dry_run, **totals.as_json()}
    show(as_json, answer, show_import)
    if rejects is not None and totals.rejected:
        err.print(f"The rejected rows are in {rejects}: correct them and import that file.")


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise WrongUseError("standard input is closed: name a file, or send one by a pipe")
    if sys.stdin.isatty():
        err.print("Reading rows from the terminal; Ctrl-D ends them.")
    return sys.stdin.buffer


def show_applied(found: Mapping[str, Any]) -> None:
    """The JSON of a migration."""
    for step in found["applied"]:
        out.print(f"  {step}")
    out.print("The tables are ready." if found["applied"] else "Nothing to do.")


def show_import(totals: Mapping[str, Any]) -> None:
    """The JSON of an import: counts, the reasons of what was rejected, and its problems by line."""
    kept = "would be imported" if totals["dry_run"] else "imported"
    out.print(
        f"{totals['imported']} {kept}, {totals['skipped']} there already, "
        f"{totals['rejected']} rejected"
    )
    for reason, count in totals["rejected_by_reason"].items():
        out.print(Text(f"  {count} x {reason}", style="yellow"))
    for problem in totals["problems"]:
        out.print(Text(f"  line {problem['line']}: {problem['message']}"), soft_wrap=True)
    if totals["rejected"] > len(totals["problems"]):
        out.print(f"  and {totals['rejected'] - len(totals['problems'])} more")
    if totals["ignored_columns"]:
        out.print(Text(f"ignored columns: {', '.join(totals['ignored_columns'])}"))


def prune(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Delete old rows: one run of maintenance_job, which the daemon starts every night."""
    with loading():
        from tracking_pipeline.cli.run import run_prune

    show(as_json, run_prune(rehearsal), show_pruned)


def show_pruned(found: Mapping[str, Any]) -> None:
    """The JSON of a pruning."""
    for name, count in found["deleted"].items():
        out.print(f"{count:>9,} {name.replace('_', ' ')} deleted")
    if not found["done"]:
        out.print("The time was over before the work: run it again for the rest.", style="yellow")
