"""The verbs that make the tables and fill them: ``migrate`` and ``import``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tracking_pipeline.cli.output import Json, Rehearsal, show
from tracking_pipeline.console.tables import show_applied, show_import
from tracking_pipeline.console.terminal import progress_bar
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.importing import Into, import_file
from tracking_pipeline.settings import read_settings
from tracking_pipeline.store.migrate import migrate as migrate_tables
from tracking_pipeline.wiring.installation import (
    EMBEDDED_DATABASE,
    REHEARSAL_DATABASE,
    embedded_server,
    open_installation,
)


def migrate(as_json: Json = False) -> None:
    """Create the tables, or adopt those that exist. Additive; safe to run again."""
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
