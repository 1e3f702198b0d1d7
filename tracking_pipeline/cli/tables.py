"""The verbs that make the tables and fill them: ``migrate`` and ``import``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from tracking_pipeline.cli.output import Json, Rehearsal, out, progress_bar, show
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.importing.totals import Into


def migrate(as_json: Json = False) -> None:
    """Create the tables, or adopt those that exist. Additive; safe to run again."""
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.migrate import migrate as migrate_tables
    from tracking_pipeline.wiring.installation import (
        EMBEDDED_DATABASE,
        REHEARSAL_DATABASE,
        embedded_server,
    )

    settings = read_settings()
    if settings.tracking_database_url is not None:
        url = settings.tracking_database_url.get_secret_value()
        applied = migrate_tables(url, worker_role=settings.tracking_worker_role).applied
    else:
        with embedded_server(settings.home) as server:
            name = REHEARSAL_DATABASE if settings.tracking_rehearsal else EMBEDDED_DATABASE
            applied = migrate_tables(server.ensure_database(name)).applied
    show(as_json, {"success": True, "applied": applied}, show_applied)


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
    from tracking_pipeline.importing.service import import_file
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    with (
        open_installation(
            settings, rehearsal=rehearsal or settings.tracking_rehearsal or False
        ) as installation,
        progress_bar(quiet=as_json) as progress,
    ):
        bar = progress.add_task("importing", total=file.stat().st_size)
        totals = import_file(
            installation.database.url,
            file,
            into,
            destination=destination,
            progress=lambda read, total: progress.update(bar, completed=read, total=total),
        )
    show(as_json, {"success": True, **asdict(totals)}, show_import)


def show_applied(found: Mapping[str, Any]) -> None:
    """The JSON of a migration."""
    for step in found["applied"]:
        out.print(f"  {step}")
    out.print("The tables are ready." if found["applied"] else "Nothing to do.")


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
