"""A run whose process is gone is found out and ended; one that is slow or waits is left alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from tracking_pipeline.defs.delivery.retry import retry_failed_events_job
from tracking_pipeline.defs.instance import heartbeat as run_heartbeat
from tracking_pipeline.defs.instance.heartbeat import LostRuns, end_lost_runs, heartbeat
from tracking_pipeline.defs.instance.runs import open_instance
from tracking_pipeline.defs.maintenance.lost_runs import lost_runs_sensor
from tracking_pipeline.defs.ticks import is_under_way
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.settings import read_settings
from tracking_pipeline_tests.dagster_instance import fresh_instance
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.dev_process import CHECKOUT, COMMAND, running_dev
from tracking_pipeline_tests.servers import reachable_folder

RETRY = retry_failed_events_job.name


@pytest.fixture
def instance(
    storage_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    with open_instance(read_settings()) as opened:
        yield opened


@dataclass(frozen=True)
class SiteWithRuns:
    """A queue, the sandbox in Meta's place, and the settings that a worker of them is given."""

    queue: Queue
    sandbox: Sandbox
    settings: dict[str, str]


@pytest.fixture
def site(
    connection: psycopg.Connection, database_url: str, storage_url: str, sandbox: Sandbox
) -> SiteWithRuns:
    settings = {
        "TRACKING_DATABASE_URL": database_url,
        "DAGSTER_POSTGRES_URL": storage_url,
        "META_DATASET_ID": "123",
        "META_ACCESS_TOKEN": "token-for-tests",
        "META_GRAPH_URL": sandbox.meta_url,
    }
    return SiteWithRuns(Queue(connection), sandbox, settings)


@contextmanager
def command_line_run(settings: dict[str, str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``tracking-pipeline retry`` as a process of its own, killed at the end of the block."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": str(home)}
    with subprocess.Popen(
        [COMMAND, "retry", "--json"],
        env={**environment, "TRACKING_HOME": str(home), **settings},
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def let_pass(storage_url: str, seconds: float) -> None:
    """Makes all that was noted of heartbeats so much older."""
    with psycopg.connect(storage_url) as connection:
        connection.execute(
            "update tracking_run_heartbeats set beat_at = beat_at - make_interval(secs => %(s)s),"
            " missed_at = missed_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def workers(storage_url: str) -> dict[str, str]:
    """The process of each run that has shown that it lives."""
    with psycopg.connect(storage_url) as connection:
        return dict(
            connection.execute("select run_id, worker from tracking_run_heartbeats").fetchall()
        )


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def started(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    return instance.create_run_for_job(retry_failed_events_job, status=status).run_id


def test_a_command_line_run_that_was_killed_is_ended_and_holds_up_nothing(
    site: SiteWithRuns, instance: dg.DagsterInstance, storage_url: str, tmp_path: Path
) -> None:
    site.queue.add(2)
    site.sandbox.conditions["meta_capi"].latency_seconds = 60.0
    with command_line_run(site.settings, tmp_path):
        wait_until(lambda: site.sandbox.memory.requests, 90)
        (run_id,) = workers(storage_url)
        assert is_under_way(instance, RETRY)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED

    let_pass(storage_url, 45)
    # Silent: nobody waits for it any more, but the queue's slot is still its own.
    assert not is_under_way(instance, RETRY)
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED
    let_pass(storage_url, 25)
    ticked = lost_runs_sensor(dg.build_sensor_context(instance))
    assert isinstance(ticked, dg.SkipReason)
    assert ticked.skip_message == "1 lost runs ended, 0 silent"

    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    # The daemon could not execute it again, so it does not try.
    assert run.tags["dagster/will_retry"] == "false"
    (failure,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert re.search(
        r"process \d+ on \S+\) has shown no sign of life for \d+ s",
        failure.get_dagster_event().message,
    )
    assert workers(storage_url) == {}
    assert end_lost_runs(instance) == LostRuns()


def test_a_slow_run_speaks_up_before_it_is_ended(
    instance: dg.DagsterInstance, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_heartbeat, "BEAT_SECONDS", 0.05)
    run_id = started(instance, dg.DagsterRunStatus.STARTED)
    with heartbeat(instance, run_id):
        # As after an outage of the database, or the sleep of a laptop: nobody has spoken for long.
        for _ in range(3):
            let_pass(storage_url, 300)
            assert end_lost_runs(instance).ended == ()
            wait_until(lambda: end_lost_runs(instance) == LostRuns())
    assert status(instance, run_id) is dg.DagsterRunStatus.STARTED


def test_a_heart_whose_connection_breaks_beats_on(
    instance: dg.DagsterInstance, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_heartbeat, "BEAT_SECONDS", 0.05)
    with heartbeat(instance, "a-run"), psycopg.connect(storage_url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'tracking_pipeline'"
        )
        admin.execute("delete from tracking_run_heartbeats")
        wait_until(lambda: "a-run" in workers(storage_url))


def test_a_run_that_waits_in_the_queue_is_left_alone(
    instance: dg.DagsterInstance, storage_url: str
) -> None:
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    run_id = instance.create_run_for_job(
        retry_failed_events_job,
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=location.get_job_origin(RETRY),
        job_code_origin=dg.reconstructable(job_of_the_code_location).get_python_origin(),
    ).run_id
    with heartbeat(instance, run_id):
        pass
    for _ in range(3):
        let_pass(storage_url, 300)
        assert end_lost_runs(instance).ended == ()
    assert status(instance, run_id) is dg.DagsterRunStatus.QUEUED
    assert is_under_way(instance, RETRY)


def test_a_lost_run_that_was_being_canceled_is_canceled(
    instance: dg.DagsterInstance, storage_url: str
) -> None:
    run_id = started(instance, dg.DagsterRunStatus.CANCELING)
    with heartbeat(instance, run_id):
        pass
    let_pass(storage_url, 60)
    assert end_lost_runs(instance) == LostRuns(missed=(run_id,))
    let_pass(storage_url, 30)
    assert end_lost_runs(instance) == LostRuns(ended=(run_id,))
    assert status(instance, run_id) is dg.DagsterRunStatus.CANCELED


def test_the_row_of_a_run_that_ended_by_itself_goes_without_a_word(
    instance: dg.DagsterInstance, storage_url: str
) -> None:
    run_id = started(instance, dg.DagsterRunStatus.SUCCESS)
    with heartbeat(instance, run_id):
        pass
    let_pass(storage_url, 60)
    assert end_lost_runs(instance) == LostRuns()
    assert workers(storage_url) == {}
    assert status(instance, run_id) is dg.DagsterRunStatus.SUCCESS


def test_without_postgresql_behind_dagster_there_are_no_heartbeats_and_runs_run() -> None:
    with fresh_instance() as instance, heartbeat(instance, "a-run"):
        assert end_lost_runs(instance) == LostRuns()


def job_of_the_code_location() -> dg.JobDefinition:
    """For Dagster, which loads a job by the name of a function."""
    from tracking_pipeline.definitions import build_defs

    return build_defs().resolve_job_def(RETRY)


def numbers(result: dg.ExecutionResult) -> dict[str, object]:
    """What the run page tells of a run."""
    (output,) = (
        event.event_specific_data.metadata
        for event in result.events_for_node("summarize_retry")
        if event.is_successful_output
    )
    return {name: value.value for name, value in output.items()}


@pytest.mark.parametrize("step", ["drain_failed_events", "summarize_retry"])
def test_a_run_can_be_executed_again_from_any_of_its_ops(
    site: SiteWithRuns, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    first, second = site.queue.add(2, event_payload={"email": "emily@example.com", "zip": "?"})
    job = dg.reconstructable(job_of_the_code_location)
    config = {"ops": {"plan_retry": {"config": {"event_id": str(first.id)}}}}
    with dg.execute_job(job, instance, run_config=config) as result:
        assert result.success
        told = numbers(result)
    again = dg.ReexecutionOptions(result.run_id, step_selection=[f"{step}*"])
    with dg.execute_job(job, instance, reexecution_options=again) as result:
        assert result.success
        told_again = numbers(result)
    assert told["resolved"] == 1
    if step == "summarize_retry":
        assert told_again == told
    # What was planned is what is done: one event, and not the other.
    assert site.queue.row(second)["status"] == "pending"


def test_the_daemon_executes_a_run_again_whose_process_was_killed(
    site: SiteWithRuns, instance: dg.DagsterInstance, storage_url: str, tmp_path: Path
) -> None:
    queue, sandbox = site.queue, site.sandbox
    queue.add(2)
    sandbox.conditions["meta_capi"].latency_seconds = 120.0
    with running_dev(reachable_folder(), tmp_path / "dev.log", **site.settings) as dev:
        dev.wait_for("a run sends", lambda: sandbox.memory.requests)
        ((run_id, worker),) = workers(storage_url).items()
        process = re.match(r"process (\d+) on", worker)
        assert process is not None
        os.kill(int(process.group(1)), signal.SIGKILL)
        sandbox.conditions["meta_capi"].latency_seconds = 0.0
        queue.expire_leases()

        def executed_again() -> bool:
            runs = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
            return any(
                run.status is dg.DagsterRunStatus.SUCCESS and "dagster/retry_number" in run.tags
                for run in runs
            )

        dev.wait_for("it is executed again", executed_again)
        assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE
        dev.wait_for("what it had claimed is sent", lambda: queue.statuses() == {"resolved": 2})
