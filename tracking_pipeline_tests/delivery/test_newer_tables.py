"""A worker of this release beside the tables of the next one, which only adds to them."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.access import check_access
from tracking_pipeline.store.migrate import MigrationError, is_migrated, migrate
from tracking_pipeline.store.table_growth import ATTEMPTS, prune
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import policy

# What a migration may do: columns (a null, a default, one that must be there), a table, an index,
# a CHECK, all in one transaction.
_NEXT_RELEASE = """
begin;
alter table tracking_failed_events add column next_note text,
    add column next_share integer not null default 7 check (next_share between 0 and 9);
alter table tracking_accepted_events add column next_share integer not null default 7;
alter table tracking_delivery_attempts add column next_share integer not null default 7;
alter table tracking_destination_state add column next_note text;
alter table tracking_destination_shares add column next_note text;
alter table tracking_health_snapshots add column next_share integer not null default 7;
alter table tracking_match_key_hourly add column next_share integer not null default 7;
create table tracking_next (id bigint primary key);
create index tracking_next_index on tracking_failed_events (next_share);
update tracking_schema_version set version_num = '9999';
commit;
"""
_LATENCY = 0.02


def upgrade(connection: psycopg.Connection[Any]) -> None:
    for statement in _NEXT_RELEASE.split(";\n"):
        connection.execute(statement.encode())
    connection.execute("update tracking_failed_events set next_share = 3, next_note = 'kept'")


def test_a_worker_goes_on_while_the_tables_change_under_it(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    runs.limits = in_requests_of(1, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = _LATENCY
    queue.add(60)
    queue.accept(20)
    with runs.under_way() as run:
        wait_until(lambda: len(sandbox.memory.accepted_events) >= 20)
        upgrade(queue.connection)
        totals = run.result()

    assert totals.total("resolved") == 60
    assert totals.total("accepted_delivered") == 20
    sent = [event["event_id"] for event in sandbox.memory.accepted_events]
    assert len(sent) == len(set(sent)) == 80
    # What the next release's workers have written stays as they wrote it.
    rows = queue.read("select * from tracking_failed_events")
    assert {(row["status"], row["next_share"], row["next_note"]) for row in rows} == {
        ("resolved", 3, "kept")
    }
    attempts = queue.read("select * from tracking_delivery_attempts")
    assert {(row["outcome"], row["next_share"]) for row in attempts} == {("delivered", 7)}
    assert len(attempts) == 80


def test_all_that_a_daemon_does_goes_on(
    queue: Queue, runs: Runs, database_url: str, sandbox: Sandbox
) -> None:
    upgrade(queue.connection)
    check_access(queue.connection)
    assert is_migrated(queue.connection)
    sandbox.conditions["meta_capi"].outage(503)
    queue.add(2)
    assert runs.run().total("failed") == 2
    sandbox.conditions["meta_capi"].outage(None)
    queue.connection.execute("update tracking_failed_events set next_retry_at = now()")
    assert runs.run().total("resolved") == 2
    for _ in range(2):
        assert check_tracking_health(database_url, policy()).readings.queue.waiting == 0
    deadline = time.monotonic() + timedelta(minutes=1).total_seconds()
    assert prune(queue.connection, ATTEMPTS, older_than_days=100, deadline=deadline).done


def test_the_migration_of_this_release_changes_nothing_and_says_so(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    upgrade(connection)
    with pytest.raises(MigrationError, match="revision that this version does not know") as told:
        migrate(database_url)
    assert "\n" not in str(told.value)
    assert connection.execute("select version_num from tracking_schema_version").fetchall() == [
        ("9999",)
    ]
