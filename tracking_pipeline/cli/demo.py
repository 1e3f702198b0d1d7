"""The verb ``demo``: the whole loop once, on sample data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.delivery import show_retry
from tracking_pipeline.cli.health import show_check
from tracking_pipeline.cli.output import Json, out, show
from tracking_pipeline.cli.places import show_coverage, show_enrich
from tracking_pipeline.cli.status import last_runs, show_queue, show_runs, status_json

if TYPE_CHECKING:
    from tracking_pipeline.wiring.installation import Installation

# All sample leads came within two weeks.
SAMPLE_DAYS = 15


def demo(as_json: Json = False) -> None:
    """Run the loop once with sample events against the sandbox, in the rehearsal database."""
    with loading():
        from tracking_pipeline.cli.run import run_heal
    from tracking_pipeline.geo.coverage import read_geo_coverage
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    with open_installation(settings, rehearsal=True) as installation:
        load_sample_data(installation)
        healed = run_heal(rehearsal=True, quiet=as_json)
        with connect(installation.database.url) as connection:
            coverage = asdict(read_geo_coverage(connection, SAMPLE_DAYS))
        found = status_json(installation, last_runs(settings))
    show(as_json, {**healed, "geo_coverage": coverage, "status": found}, show_demo)


def show_demo(found: dict[str, Any]) -> None:
    """The JSON of the demo as tables."""
    show_retry(found["retry"])
    out.print()
    show_enrich(found["enrich"])
    show_coverage(found["geo_coverage"])
    out.print()
    show_queue(found["status"])
    show_runs(found["status"]["last_runs"])
    out.print()
    show_check(found["check"])
    out.print()
    out.print("See it in the Dagster UI: tracking-pipeline dev (in a checkout: make dev)")


def load_sample_data(installation: Installation) -> None:
    """Puts the sample people and events into a rehearsal database."""
    from tracking_pipeline.sandbox.sample import load_sample
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.wiring.installation import sandbox_journal

    with connect(installation.database.url) as connection:
        load_sample(connection, sandbox_journal(installation.settings.home))
