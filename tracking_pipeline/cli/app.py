"""All verbs, on one screen, in the order in which ``--help`` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from tracking_pipeline.cli import (
    accounting,
    delivery,
    demo,
    dev,
    explain,
    health,
    places,
    serve,
    status,
    tables,
)

app = typer.Typer(
    name="tracking-pipeline",
    help="Retries failed conversion events and monitors tracking.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tracking-pipeline {version('tracking-pipeline')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


for verb in (
    tables.migrate,
    delivery.retry,
    delivery.replay,
    delivery.backfill,
    explain.explain,
    places.enrich,
    health.check,
    health.heal,
    status.status,
    accounting.accounting,
    health.digest,
    tables.prune,
    demo.demo,
    dev.dev,
    serve.serve,
):
    app.command()(verb)
app.command(name="test-destinations")(delivery.ask)
app.command(name="test-alerts")(health.try_channels)
app.command(name="import")(tables.import_rows)
app.add_typer(places.geo, name="geo")
