"""What holds of a run that a broker carries to a worker, whatever the broker does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from tracking_pipeline.defs.instance import celery_runs
from tracking_pipeline.defs.instance import heartbeat as run_heartbeat
from tracking_pipeline.defs.instance.celery_runs import TrackingRunLauncher, execute_run
from tracking_pipeline.defs.instance.heartbeat import claim, heartbeat
from tracking_pipeline.defs.instance.runs import open_instance
from tracking_pipeline.defs.maintenance.lost_runs import lost_runs_sensor
from tracking_pipeline.settings import project_folder, read_settings
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until

CELERY = project_folder() / "deploy" / "celery"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@dg.op
def say() -> None:
    """Does nothing."""


@dg.job
def said_job() -> None:
    say()


def said() -> dg.JobDefinition:
    """For Dagster, which loads a job by the name of a function."""
    return said_job


@pytest.fixture
def instance(
    storage_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    with open_instance(read_settings()) as opened:
        monkeypatch.setattr(dg.DagsterInstance, "get", lambda: _Kept(opened))
        yield opened


class _Kept:
    """The task closes the instance that it opens."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def __enter__(self) -> dg.DagsterInstance:
        return self._instance

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> TrackingRunLauncher:
    return launcher_on(instance, "memory://")


def launcher_on(instance: dg.DagsterInstance, broker: str) -> TrackingRunLauncher:
    made = TrackingRunLauncher("dagster", broker=broker)
    made.register_instance(instance)
    return made


def launched(instance: dg.DagsterInstance, launcher: TrackingRunLauncher) -> str:
    """A run that was sent to the workers; its id."""
    run = instance.create_run_for_job(
        said_job,
        status=dg.DagsterRunStatus.STARTING,
        job_code_origin=dg.reconstructable(said).get_python_origin(),
    )
    launcher._send(run, times=1)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def messages(launcher: TrackingRunLauncher) -> list[str]:
    """The runs of the messages that wait in the broker."""
    found: list[str] = []
    with launcher.celery.connection_for_read() as connection:
        queue = connection.SimpleQueue("dagster")
        while queue.qsize():
            message = queue.get(block=False)
            found.append(message.headers["id"])
            message.ack()
    return found


def told(instance: dg.DagsterInstance, run_id: str) -> str:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return " ".join(entry.get_dagster_event().message or "" for entry in entries)


def test_a_run_whose_message_comes_twice_is_executed_once(
    instance: dg.DagsterInstance, launcher: TrackingRunLauncher
) -> None:
    run_id = launched(instance, launcher)
    assert messages(launcher) == [run_id]
    assert execute_run(run_id) == "executed"
    assert status(instance, run_id) is dg.DagsterRunStatus.SUCCESS
    assert execute_run(run_id) == "not waiting any more"
    claimed = launched(instance, launcher)
    assert claim(instance, claimed)
    assert execute_run(claimed) == "claimed by another"
    assert not claim(instance, claimed)


def test_a_run_that_the_broker_has_lost_is_sent_again_until_it_is_executed(
    instance: dg.DagsterInstance,
    launcher: TrackingRunLauncher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = launched(instance, launcher)
    messages(launcher)  # as a FLUSHALL does
    monkeypatch.setattr(type(instance), "run_launcher", launcher)
    sensor: Any = lost_runs_sensor
    words = sensor(dg.build_sensor_context(instance)).skip_message
    assert "0 waiting runs sent again" in words
    monkeypatch.setattr(celery_runs, "SEND_AGAIN_AFTER", timedelta(0))
    words = sensor(dg.build_sensor_context(instance)).skip_message
    assert "1 waiting runs sent again" in words
    assert messages(launcher) == [run_id]
    assert "time 2" in told(instance, run_id)
    assert execute_run(run_id) == "executed"
    assert launcher.send_waiting_runs_again() == []


def test_a_broker_that_is_away_fails_no_run(instance: dg.DagsterInstance) -> None:
    launcher = launcher_on(instance, NOBODY_LISTENS)
    run_id = launched(instance, launcher)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTING
    assert "The broker cannot be reached" in told(instance, run_id)


@pytest.mark.parametrize("broker", ["memory://", NOBODY_LISTENS])
def test_a_run_that_is_stopped_while_it_waits_is_never_executed(
    instance: dg.DagsterInstance, broker: str
) -> None:
    launcher = launcher_on(instance, broker)
    run_id = launched(instance, launcher)
    assert launcher.terminate(run_id)
    assert status(instance, run_id) is dg.DagsterRunStatus.CANCELED
    assert execute_run(run_id) == "not waiting any more"
    assert not launcher.terminate(run_id)


def test_a_run_that_is_stopped_while_it_is_executed_is_stopped_without_the_broker(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launcher_on(instance, NOBODY_LISTENS)
    run_id = launched(instance, launcher)
    monkeypatch.setattr(run_heartbeat, "BEAT_SECONDS", 0.05)
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))
    try:
        with heartbeat(instance, run_id, stops_itself=True):
            assert launcher.terminate(run_id)
            wait_until(lambda: stopped)
    finally:
        signal.signal(signal.SIGINT, before)
    assert status(instance, run_id) is dg.DagsterRunStatus.CANCELING


def test_a_run_that_the_worker_cannot_load_fails_and_says_so(
    instance: dg.DagsterInstance, launcher: TrackingRunLauncher
) -> None:
    run_id = instance.create_run_for_job(said_job, status=dg.DagsterRunStatus.STARTING).run_id
    assert execute_run(run_id) == "could not be loaded"
    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_the_instance_of_deploy_celery_is_the_projects_with_another_launcher(
    storage_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://")
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    reference = InstanceRef.from_dir(str(tmp_path), config_dir=str(CELERY))
    with dg.DagsterInstance.from_ref(reference) as opened:
        assert isinstance(opened.run_launcher, TrackingRunLauncher)
    own = yaml.safe_load((project_folder() / "dagster.yaml").read_text())
    celery = yaml.safe_load((CELERY / "dagster.yaml").read_text())
    different = {key for key in own.keys() | celery.keys() if own.get(key) != celery.get(key)}
    assert different == {"run_launcher", "concurrency", "run_monitoring"}
