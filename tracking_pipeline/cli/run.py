"""Runs the Dagster jobs of the verbs in this process; their totals as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.output import progress_bar
from tracking_pipeline.defs.instance.runs import Job, open_instance, run_job
from tracking_pipeline.defs.resources import DrainProgress, TrackingResource
from tracking_pipeline.settings import dagster_home, read_settings
from tracking_pipeline.wiring.installation import embedded_is_made, open_installation

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tracking_pipeline.delivery.engine.totals import RetryTotals

# What has left the queue for good or for now, as far as it is counted while a run goes on.
_SETTLED = ("processed", "withheld", "postponed", "accepted_delivered")


class ProgressBar(DrainProgress):
    """The progress of a drain as a bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, log: dg.DagsterLogManager, total: int) -> None:
        self._task = self._progress.add_task("sending", total=total)

    def report(self, log: dg.DagsterLogManager, totals: RetryTotals) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=sum(map(totals.total, _SETTLED)))


@contextmanager
def _opened_instance(rehearsal: bool, *, dry_run: bool) -> Iterator[dg.DagsterInstance]:
    """The instance that keeps the run. A dry run makes nothing: where there is no database it is
    told so, and where there is no storage for runs, its own is kept nowhere."""
    settings = read_settings()
    if dry_run:
        with open_installation(settings, rehearsal=rehearsal or None, creates=False):
            pass
        own = settings.dagster_postgres_url is None and dagster_home() is None
        if own and not embedded_is_made(settings.home):
            with dg.DagsterInstance.ephemeral() as nowhere:
                yield nowhere
            return
    with open_instance(settings) as instance:
        yield instance


def run_heal(rehearsal: bool, *, quiet: bool) -> dict[str, Any]:
    """A run of each job of the loop, in their order."""
    from tracking_pipeline.wiring.health import health_config

    health_config(read_settings())  # refused before the first run, not after two of three
    return {
        "success": True,
        "retry": run_retry({}, rehearsal=rehearsal, quiet=quiet),
        "enrich": run_enrich({}, rehearsal),
        "check": run_check(rehearsal),
    }


def run_retry(config: dict[str, Any], *, rehearsal: bool, quiet: bool) -> dict[str, Any]:
    """One run of the retry job in this process; its totals as JSON."""
    with loading():
        from tracking_pipeline.defs.delivery.retry import retry_failed_events_job

    dry_run = config.get("dry_run", False)
    with (
        _opened_instance(rehearsal, dry_run=dry_run) as instance,
        progress_bar(quiet=quiet) as progress,
    ):
        result = run_job(
            instance,
            retry_failed_events_job,
            {"plan_retry": {"config": config}},
            resources={
                "tracking": TrackingResource(rehearsal="yes" if rehearsal else "auto"),
                "progress": ProgressBar(progress),
            },
        )
    totals: dict[str, Any] = result.output_for_node("summarize_retry").as_json()
    return {**totals, "run_id": result.run_id}


def run_enrich(config: dict[str, Any], rehearsal: bool) -> dict[str, Any]:
    """One run of the enrichment job in this process; its totals as JSON."""
    with loading():
        from tracking_pipeline.defs.geo.enrich import enrich_leads_job

    result = run_ops(enrich_leads_job, {"enrich_leads": config}, rehearsal)
    totals: dict[str, Any] = result.output_for_node("enrich_leads").as_json()
    return {**totals, "run_id": result.run_id}


def run_check(rehearsal: bool) -> dict[str, Any]:
    """One run of the health check in this process; its answer as JSON."""
    with loading():
        # With pandas, which the step that draws the report would load.
        import tracking_pipeline.health.view.report_pages  # noqa: F401
        from tracking_pipeline.defs.health.check import answer_of, check_tracking_health_job
        from tracking_pipeline.wiring.health import health_config

    health_config(read_settings())  # a setting that cannot be used is wrong use, and no failed run
    return answer_of(run_ops(check_tracking_health_job, {}, rehearsal))


def run_prune(rehearsal: bool) -> dict[str, Any]:
    """One run of the maintenance job in this process; its totals as JSON."""
    with loading():
        from tracking_pipeline.defs.maintenance.prune import maintenance_job

    result = run_ops(maintenance_job, {}, rehearsal)
    totals: dict[str, Any] = result.output_for_node("prune_history").as_json()
    return {**totals, "run_id": result.run_id}


def run_ops(
    job: Job, config: dict[str, dict[str, Any]], rehearsal: bool
) -> dg.ExecuteInProcessResult:
    """One run of a job that needs no progress bar; ``config`` is that of its ops."""
    dry_run = any(each.get("dry_run", False) for each in config.values())
    with _opened_instance(rehearsal, dry_run=dry_run) as instance:
        return run_job(
            instance,
            job,
            {name: {"config": each} for name, each in config.items()},
            resources={"tracking": TrackingResource(rehearsal="yes" if rehearsal else "auto")},
        )
