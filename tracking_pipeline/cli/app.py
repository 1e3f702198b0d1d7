"""All verbs, on one screen, in the order in which ``--help`` lists them."""

from __future__ import annotations

import typer

from tracking_pipeline.cli import (
    delivery,
    demo,
    destinations,
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
    help="Re-sends failed conversion events and keeps watch over tracking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    tables.migrate,
    delivery.retry,
    delivery.replay,
    explain.explain,
    places.enrich,
    health.check,
    health.heal,
    status.status,
    demo.demo,
    dev.dev,
    serve.serve,
):
    app.command()(verb)
app.command(name="test-destinations")(destinations.ask)
app.command(name="import")(tables.import_rows)
app.add_typer(places.geo, name="geo")
