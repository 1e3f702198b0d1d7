"""Runs the Dagster jobs outside Dagster's own processes, and reads what ran.

The command line runs the same jobs as the UI, on the same instance, so each of its runs stands in
the UI beside the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from tracking_pipeline.defs.instance.heartbeat import end_lost_runs, heartbeat
from tracking_pipeline.defs.instance.storage import kept_connections
from tracking_pipeline.defs.resources import TrackingResource, surroundings
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.postgres.folder import EmbeddedPostgresError
from tracking_pipeline.settings import Settings, SettingsError, dagster_home
from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.wiring.run_storage import instance_file


class RunError(ExplainedError):
    """A run could not finish. One line: what failed, and what to do."""


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this project: that of ``DAGSTER_HOME`` where it is set, else the one
    that ``dagster.yaml`` beside ``workspace.yaml`` describes.
    """
    with ExitStack() as stack:
        try:
            instance = stack.enter_context(_instance(settings))
            stack.enter_context(kept_connections(instance))
        except (SettingsError, EmbeddedPostgresError):
            raise
        except Exception as error:  # of many libraries, and some with the password in their words
            raise RunError(
                f"Dagster's storage cannot be opened ({type(error).__name__}): check "
                "DAGSTER_POSTGRES_URL and its server, and DAGSTER_HOME"
            ) from None
        yield instance


def _instance(settings: Settings) -> dg.DagsterInstance:
    if dagster_home() is not None:
        return dg.DagsterInstance.get()
    folder = instance_file().parent
    base = settings.home / "dagster"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{settings.home} cannot be used ({error.strerror}): set TRACKING_HOME to a folder that"
            " you own and can write"
        ) from None
    reference = InstanceRef.from_dir(str(base), config_dir=str(folder))
    return dg.DagsterInstance.from_ref(reference)


# ``workspace.yaml`` names the location and the module.
_CODE_LOCATION = RemoteRepositoryOrigin(
    ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(module_name="tracking_pipeline.definitions"), "tracking_pipeline"
    ),
    "__repository__",
)
# The first lists the run with its job in the UI. Who asked for the run was told that it failed: the
# daemon does not execute it again by itself.
_TAGS = {".dagster/repository": _CODE_LOCATION.get_label(), "dagster/max_retries": "0"}


Job = dg.JobDefinition | UnresolvedAssetJobDefinition


def run_job(
    instance: dg.DagsterInstance,
    job: Job | str,
    ops: Mapping[str, Any],
    *,
    resources: Mapping[str, object],
    assets: Sequence[dg.AssetKey] = (),
    run_id: str | None = None,
    trigger: str = "command line",
) -> dg.ExecuteInProcessResult:
    """Runs a job, itself or by its name, in this process and returns its result. ``ops`` is the run
    configuration of its ops; ``assets`` narrows an asset job to these, ``trigger`` says in the UI
    who asked.

    Raises :class:`RunError` when it did not finish.
    """
    resolved = resolve_job(job, resources)
    run_id = run_id or str(uuid4())
    # Where no daemon runs, those who come next are the only ones to look.
    end_lost_runs(instance)
    with heartbeat(instance, run_id), _noting_origin(instance, resolved.name, resources):
        result = resolved.execute_in_process(
            run_config={
                "ops": dict(ops),
                # The run's log is kept in the instance; a terminal shows its result.
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            instance=instance,
            raise_on_error=False,
            asset_selection=list(assets) or None,
            run_id=run_id,
            tags={"tracking/trigger": trigger, **_TAGS},
        )
    if not result.success:
        if _was_interrupted(result):
            raise KeyboardInterrupt
        raise RunError(_why(result))
    return result


def resolve_job(job: Job | str, resources: Mapping[str, object]) -> dg.JobDefinition:
    """The job with its resources. One that is not asked for by its name is loaded without the other
    definitions: one of ops alone, one of assets with the assets of health, which are all."""
    if isinstance(job, str):
        # Everything that can be loaded.
        from tracking_pipeline.definitions import build_defs  # noqa: PLC0415

        return build_defs(resources).resolve_job_def(job)
    own = dg.Definitions(jobs=[job])
    if isinstance(job, UnresolvedAssetJobDefinition):
        from tracking_pipeline.defs import health  # noqa: PLC0415

        assets = dg.load_assets_from_package_module(health)
        checks = dg.load_asset_checks_from_package_module(health)
        own = dg.Definitions(jobs=[job], assets=assets, asset_checks=checks)
    return dg.Definitions.merge(own, surroundings(resources)).resolve_job_def(job.name)


@contextmanager
def _noting_origin(
    instance: dg.DagsterInstance, job_name: str, resources: Mapping[str, object]
) -> Iterator[None]:
    """What is executed in this process is noted as a run of the code location: by itself Dagster
    keeps the job's name alone, and its UI cannot execute the run again. A rehearsal that was asked
    for stays what it is: executed again, it would serve the database that the UI serves."""
    tracking = resources.get("tracking")
    if isinstance(tracking, TrackingResource) and tracking.rehearsal == "yes":
        yield
        return
    created = instance.create_run_for_job
    origin = _CODE_LOCATION.get_job_origin(job_name)
    instance.create_run_for_job = partial(created, remote_job_origin=origin)  # type: ignore[method-assign]
    try:
        yield
    finally:
        instance.create_run_for_job = created  # type: ignore[method-assign]


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    errors = (event.step_failure_data.error for event in result.all_events if event.is_step_failure)
    return any(error and error.cls_name == "DagsterExecutionInterruptedError" for error in errors)


def _why(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            if data.error is not None:
                return (
                    f"{event.step_key} failed ({data.error.cls_name}): see run {result.run_id} in "
                    "the Dagster UI"
                )
        if event.is_run_failure and event.job_failure_data.error is not None:
            name = event.job_failure_data.error.cls_name
            return f"run {result.run_id} failed ({name}): see it in the Dagster UI"
    return f"run {result.run_id} did not finish: see it in the Dagster UI"


def last_runs(instance: dg.DagsterInstance, *, limit: int) -> list[PastRun]:
    """The newest runs first."""
    return [_past(record) for record in instance.get_run_records(limit=limit)]


def find_run(instance: dg.DagsterInstance, run_id: str) -> PastRun | None:
    """The run of that id, whoever ran it."""
    record = instance.get_run_record_by_id(run_id)
    return None if record is None else _past(record)


def mark_cut_off(instance: dg.DagsterInstance, run_id: str, why: str) -> None:
    """Notes that a run of this process will not come to its end."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, why)


def _past(record: dg.RunRecord) -> PastRun:
    run = record.dagster_run
    return PastRun.of(
        run.run_id, run.job_name, run.status.value, record.start_time, record.end_time
    )
