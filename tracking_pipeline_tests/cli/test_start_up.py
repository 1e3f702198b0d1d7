"""What a verb loads before it can begin, and what it reads without loading Dagster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.cli.status import last_runs
from tracking_pipeline.defs.instance import runs, storage
from tracking_pipeline.settings import INSTANCE_FILE, read_settings
from tracking_pipeline_tests.dev_process import CHECKOUT

CALL = """
import sys
from tracking_pipeline.cli import main
try:
    main()
finally:
    print(*{name.split(".")[0] for name, one in sys.modules.items() if one}, file=sys.stderr)
"""
OF_JOBS = {"dagster", "fastapi", "matplotlib", "numpy", "pandas"}
OF_READING = OF_JOBS | {"aiohttp", "alembic", "httpx", "sqlalchemy"}
OF_ANY_WORK = OF_READING | {"psycopg", "pydantic_settings"}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], OF_ANY_WORK),
        (["status", "--json"], OF_READING),
    ],
)
def test_a_verb_that_runs_no_job_does_not_wait_for_what_jobs_need(
    arguments: list[str], unwanted: set[str], storage_url: str, database_url: str, tmp_path: Path
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        env={
            "DAGSTER_POSTGRES_URL": storage_url,
            "TRACKING_DATABASE_URL": database_url,
            "TRACKING_HOME": str(tmp_path),
        },
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(process.stderr.splitlines()[-1].split())
    assert "typer" in loaded
    assert loaded & unwanted == set()


def add_runs(instance: dg.DagsterInstance) -> list[str]:
    """One run that ended and one that has just begun, the newest first."""
    ended, begun = (dg.DagsterRun(job_name=f"{name}_job", run_id=str(uuid4())) for name in "ab")
    for run in (ended, begun):
        instance.add_run(run)
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id
        )
    instance.report_run_failed(ended)
    return [begun.run_id, ended.run_id]


@pytest.mark.parametrize("storage", ["ours", "Dagster's own"])
def test_the_last_runs_are_those_that_dagster_tells(
    storage: str, storage_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    if storage == "ours":
        (tmp_path / INSTANCE_FILE).write_bytes((CHECKOUT / INSTANCE_FILE).read_bytes())
    settings = read_settings()
    assert last_runs(settings) == []
    with runs.open_instance(settings) as instance:
        expected = add_runs(instance)
        told = runs.last_runs(instance, limit=5)
    assert [run.run_id for run in last_runs(settings)] == expected
    assert last_runs(settings) == told
    assert last_runs(settings, limit=1) == told[:1]


def test_a_connection_of_the_storage_that_died_while_it_rested_is_replaced(
    storage_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    monkeypatch.setattr(storage, "PROVEN_SECONDS", 0.0)
    with runs.open_instance(read_settings()) as instance:
        instance.get_run_records(limit=1)
        with psycopg.connect(storage_url, autocommit=True) as other:
            died = other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            ).fetchall()
        assert died
        assert instance.get_run_records(limit=1) == []
