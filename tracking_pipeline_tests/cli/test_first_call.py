"""The very first call, killed while tables are being made: the next one mends what it left."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Engine, event

from tracking_pipeline.defs.instance.storage import (
    TrackingStorage,
    dagster_storage_url,
    make_dagster_tables,
)
from tracking_pipeline.postgres.folder import EmbeddedFolder, read_record
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.dev_process import CHECKOUT, COMMAND
from tracking_pipeline_tests.servers import reachable_folder


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        return {name for (name,) in rows.fetchall()}


def assert_serves(storage: TrackingStorage) -> None:
    """Each of the three parts answers, and takes itself for whole."""
    runs, events, schedules = (
        storage.run_storage,
        storage.event_log_storage,
        storage.schedule_storage,
    )
    assert runs.get_runs(limit=1) == []
    assert runs.get_cursor_values({"none"}) == {}
    assert isinstance(runs, PostgresRunStorage)
    assert runs.has_built_index("run_partitions")
    assert events.get_concurrency_keys() == set()
    assert events.get_dynamic_partitions("none") == []
    failures = dg.EventRecordsFilter(dg.DagsterEventType.RUN_FAILURE)
    assert events.get_event_records(failures, limit=1) == []
    assert schedules.all_instigator_state() == []


def die_after(statements: int) -> None:
    """This process kills itself when it has made so much of the tables."""
    left = statements

    @event.listens_for(Engine, "after_cursor_execute")
    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal left
        left -= statement.strip().lower().startswith(("create", "alter", "insert", "update"))
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def open_ours(statements: int) -> None:
    die_after(statements)
    TrackingStorage.from_config_value(None, {})


def open_theirs(statements: int) -> None:
    """What Dagster does by itself."""
    die_after(statements)
    TrackingStorage(postgres_url=dagster_storage_url())


@pytest.mark.parametrize(
    ("after", "whose"),
    [(1, "ours"), (30, "ours"), (1, "theirs"), (40, "theirs")],
)
def test_a_storage_of_dagster_that_was_killed_in_the_making_is_completed(
    storage_url: str, after: int, whose: str
) -> None:
    opens = {"ours": open_ours, "theirs": open_theirs}[whose]
    # Forked: it has all its imports already.
    process = multiprocessing.get_context("fork").Process(target=opens, args=(after,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # Ours are made in one transaction; Dagster alone leaves a part of its tables behind.
    assert bool(tables(storage_url)) == (whose == "theirs")

    assert_serves(TrackingStorage.from_config_value(None, {}))


def test_processes_that_make_the_tables_at_once_take_turns(storage_url: str) -> None:
    url = dagster_storage_url()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make_dagster_tables, [url] * 4))
    assert_serves(TrackingStorage.from_config_value(None, {}))


def test_a_storage_of_another_version_of_dagster_is_left_alone(storage_url: str) -> None:
    make_dagster_tables(dagster_storage_url())
    with psycopg.connect(storage_url) as connection:
        connection.execute("update alembic_version set version_num = '284a732df317'")
        connection.execute("drop table kvs")
    make_dagster_tables(dagster_storage_url())
    assert "kvs" not in tables(storage_url)


def test_a_first_call_of_the_command_line_that_is_killed_is_made_good_by_the_next() -> None:
    home = reachable_folder()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(CHECKOUT)}
    call = {
        "args": [COMMAND, "enrich", "--json"],
        "env": {**environment, "TRACKING_HOME": str(home / "tracking")},
        "cwd": CHECKOUT,
        "stdout": subprocess.PIPE,
    }

    def dagster_storage_is_being_made() -> bool:
        record = read_record(EmbeddedFolder.under(home / "tracking"))
        try:
            assert record is not None
            psycopg.connect(record.url("dagster")).close()
        except (AssertionError, psycopg.OperationalError):
            return False
        return True

    with subprocess.Popen(**call) as process:  # type: ignore[call-overload]
        wait_until(dagster_storage_is_being_made, 90)
        process.kill()
    again = subprocess.run(**call, check=False)  # type: ignore[call-overload]
    assert json.loads(again.stdout)["success"] is True, again
