"""What is old enough is deleted, and nothing else."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.maintenance.prune import prune_runs
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
STARTED = dg.DagsterRunStatus.STARTED


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    job = build_defs().get_job_def("retry_failed_events_job")
    return instance.create_run_for_job(job, status=status).run_id


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def prune(instance: dg.DagsterInstance, *, in_days: float, seconds: float = 60.0) -> int:
    return prune_runs(
        instance,
        older_than_days=30,
        now=datetime.now(timezone.utc) + timedelta(days=in_days),
        deadline=time.monotonic() + seconds,
    )


def test_ended_runs_go_after_their_days_and_failed_ones_later(
    instance: dg.DagsterInstance,
) -> None:
    good, bad = add_run(instance, SUCCESS), add_run(instance, FAILURE)
    running = add_run(instance, STARTED)
    assert prune(instance, in_days=29) == 0
    assert prune(instance, in_days=31) == 1
    assert kept(instance) == {bad, running}
    assert good not in kept(instance)
    assert prune(instance, in_days=91) == 1
    assert kept(instance) == {running}


def test_pruning_ends_with_its_time(instance: dg.DagsterInstance) -> None:
    add_run(instance, SUCCESS)
    assert prune(instance, in_days=31, seconds=0.0) == 0


def test_the_job_deletes_old_rows_and_says_how_many(
    connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setenv("ATTEMPT_RETENTION_DAYS", "100")
    site = Site(connection)
    check_tracking_health(database_url, policy())
    site.let_pass(days=91)
    old = site.one("select count(*) from tracking_health_snapshots")
    check_tracking_health(database_url, policy())
    connection.execute(
        "insert into tracking_delivery_attempts (failed_event_id, event_id, destination, attempt,"
        " outcome, lease_token, attempted_at) select gen_random_uuid(), gen_random_uuid(),"
        " 'meta_capi', 1, 'delivered', 1, now() - make_interval(days => days)"
        " from unnest(array[99, 101, 102]) as days"
    )
    result = build_defs().get_job_def("maintenance_job").execute_in_process()
    (output,) = result.filter_events(lambda event: event.is_successful_output)
    metadata = output.step_output_data.metadata
    assert metadata["snapshots_deleted"].value == old
    assert metadata["attempts_deleted"].value == 2
    assert site.one("select count(distinct check_id) from tracking_health_snapshots") == 1
    assert site.one("select count(*) from tracking_delivery_attempts") == 1
