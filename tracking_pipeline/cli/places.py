"""The verbs of the leads' places: ``enrich`` and ``geo update``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.output import Json, Rehearsal, count_text, out, show


def enrich(
    limit: Annotated[
        int, typer.Option(min=0, help="Maximum number of leads, newest first; 0: all.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; query no online source.")
    ] = False,
    recheck_failed: Annotated[
        bool, typer.Option("--recheck-failed", help="Also leads whose lookup failed before.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Look up missing locations of leads: one run of enrich_leads_job."""
    with loading():
        from tracking_pipeline.cli.run import run_enrich

    config = {"limit": limit, "dry_run": dry_run, "recheck_failed": recheck_failed}
    show(as_json, run_enrich(config, rehearsal), show_enrich)


geo = typer.Typer(help="The local geolocation database.", no_args_is_help=True)


@geo.command()
def update(as_json: Json = False) -> None:
    """Download this month's DB-IP City Lite database, unless it is already there."""
    from tracking_pipeline.geo.download import download_client, update_geo_database
    from tracking_pipeline.geo.mmdb import database_file
    from tracking_pipeline.settings import read_settings

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


def show_enrich(totals: Mapping[str, Any]) -> None:
    """The JSON of an enrichment run."""
    table = Table(
        title="Enrichment run" + (" (dry run)" if totals["dry_run"] else ""), title_justify="left"
    )
    table.add_column("leads", no_wrap=True)
    table.add_column("", justify="right")
    table.add_row("examined", count_text(totals["examined"]))
    table.add_row("enriched", count_text(totals["enriched"]))
    for source, count in totals["by_source"].items():
        table.add_row(f"  from {source}", count_text(count))
    for words, name in (
        ("complete already", "complete"),
        ("without an address", "without_address"),
        ("waiting", "waiting"),
        ("refused by the table", "refused"),
    ):
        if totals[name]:
            table.add_row(words, count_text(totals[name]))
    for status, count in totals["by_status"].items():
        if status != "ok":
            table.add_row(f"  {status.replace('_', ' ')}", count_text(count))
    out.print(table)
    if totals["stopped_reason"] == "sources_busy":
        out.print("The online sources may not be asked just now: the rest is taken by later runs.")
    for provider, what_to_set in totals["missing"].items():
        out.print(Text(f"  {provider} is not configured: {what_to_set}", style="dim"))


def show_coverage(coverage: Mapping[str, Any]) -> None:
    """The JSON of the geo coverage: before enrichment and now."""
    if not coverage["leads"]:
        return
    table = Table(title=f"Locations of {coverage['leads']} new leads", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("as people entered", "now"):
        table.add_column(name, justify="right")
    for part in ("city", "state", "zip"):
        shares = (coverage[f"{when}_{part}_percent"] for when in ("before", "with"))
        table.add_row(part, *(f"{share:.0f} %" for share in shares))
    out.print(table)


def show_geo_update(found: Mapping[str, Any]) -> None:
    """The JSON of an update of the geo database."""
    done = "Brought" if found["downloaded"] else "There is no newer one than"
    out.print(f"{done} the database of {found['build_date']}: {found['path']}", soft_wrap=True)
    out.print("IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0.")
