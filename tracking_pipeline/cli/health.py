"""The verbs of health: ``check``, ``heal`` and ``status``."""

from __future__ import annotations

from tracking_pipeline.cli.output import Json, Rehearsal, show
from tracking_pipeline.cli.run import run_check, run_heal
from tracking_pipeline.console.health import show_check, show_heal
from tracking_pipeline.console.status import show_status
from tracking_pipeline.defs.instance.runs import last_runs, open_instance
from tracking_pipeline.settings import read_settings
from tracking_pipeline.status import read_status
from tracking_pipeline.wiring.installation import open_installation


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
        found = read_status(installation, last_runs(instance)).as_json()
    show(as_json, found, show_status)
