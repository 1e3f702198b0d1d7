"""The verbs of health: ``check``, ``heal`` and ``status``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tracking_pipeline.cli.output import Json, Rehearsal, show
from tracking_pipeline.cli.run import run_check, run_heal
from tracking_pipeline.console.health import show_check, show_heal
from tracking_pipeline.console.status import show_status
from tracking_pipeline.defs.instance.runs import PastRun, last_runs, open_instance
from tracking_pipeline.health.view.status import read_status
from tracking_pipeline.settings import read_settings
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline.wiring.installation import Installation, open_installation


def check(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Check tracking's health: one run of check_tracking_health_job. A breach is a result."""
    show(as_json, run_check(rehearsal), show_check)


def heal(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """One pass of the loop: retry, enrich, check, in that order."""
    show(as_json, run_heal(rehearsal, quiet=as_json), show_heal)


def status(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Show what needs a human: health, destinations, queue, dead letters, alerts, last runs."""
    settings = read_settings()
    with (
        open_installation(settings, rehearsal=rehearsal or None) as installation,
        open_instance(settings) as instance,
    ):
        found = status_json(installation, last_runs(instance))
    show(as_json, found, show_status)


def status_json(installation: Installation, runs: Sequence[PastRun]) -> dict[str, Any]:
    """The JSON of the status. ``runs`` come from Dagster's own storage."""
    status = read_status(
        installation.database,
        health_config(installation.settings),
        missing=installation.missing_settings(),
        missing_geo=installation.missing_geo_sources(),
    )
    return {**status.as_json(), "last_runs": [asdict(run) for run in runs]}
