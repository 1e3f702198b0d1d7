"""The verbs of the leads' places: ``enrich`` and ``geo update``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer

from tracking_pipeline.cli.output import Json, Rehearsal, show
from tracking_pipeline.cli.run import run_enrich
from tracking_pipeline.console.places import show_enrich, show_geo_update
from tracking_pipeline.geo.download import database_file, download_client, update_geo_database
from tracking_pipeline.settings import read_settings


def enrich(
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many leads, the newest first. 0: all.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count, and ask nobody online.")
    ] = False,
    recheck_failed: Annotated[
        bool, typer.Option("--recheck-failed", help="Also leads that were looked up in vain.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Fill in the places of leads that came without: one run of enrich_leads_job."""
    config = {"limit": limit, "dry_run": dry_run, "recheck_failed": recheck_failed}
    show(as_json, run_enrich(config, rehearsal), show_enrich)


geo = typer.Typer(help="The local database of places.", no_args_is_help=True)


@geo.command()
def update(as_json: Json = False) -> None:
    """Bring this month's DB-IP City Lite database, unless it is there already."""
    folder = database_file(read_settings().home).parent
    with download_client() as client:
        found = update_geo_database(folder, client=client, today=datetime.now(timezone.utc).date())
    show(
        as_json,
        {
            "success": True,
            "path": str(found.path),
            "build_date": found.build_date.isoformat(),
            "downloaded": found.downloaded,
        },
        show_geo_update,
    )
