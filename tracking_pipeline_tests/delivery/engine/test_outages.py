"""The database goes away in the middle of a drain: no outcome is lost, none is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tracking_pipeline.delivery.destinations import ledger
from tracking_pipeline.delivery.engine import retry, settler
from tracking_pipeline.delivery.engine.queues import ACCEPTED, FAILED
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store import database, failed_events, first_attempts
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.store.failed_events import settle_attempts
from tracking_pipeline_tests.delivery.failed_event_queue import (
    Added,
    Queue,
    payload,
    sent_as,
    wait_until,
)
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of
from tracking_pipeline_tests.fault_proxy import FaultProxy
from tracking_pipeline_tests.servers import TestServer


@contextmanager
def _away(server: TestServer, queue: Queue) -> Iterator[None]:
    """No connection of the pipeline lives, and no new one can be had."""
    name = queue.one("select current_database()")
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false")
        try:
            queue.break_connections()
            yield
        finally:
            admin.execute(f"alter database {name} allow_connections true")


def _wait_for_requests(sandbox: Sandbox, count: int) -> None:
    wait_until(lambda: len(sandbox.memory.requests) >= count)


def _assert_each_was_delivered_once(queue: Queue, sandbox: Sandbox, rows: list[Added]) -> None:
    assert queue.statuses() == {"resolved": len(rows)}
    assert {sandbox.memory.accepted(row.sent_as) for row in rows} == {1}
    assert {len(queue.attempts(row)) for row in rows} == {1}


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the pool waits for a connection; what follows that wait is what is tested."""
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", 0.5)


def test_connections_that_break_in_a_drain_cost_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(40)
    runs.limits = in_requests_of(2, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = 0.1

    with runs.under_way() as run:
        for requests in (2, 8, 14):
            _wait_for_requests(sandbox, requests)
            assert queue.break_connections()

    assert run.result().total("resolved") == len(rows)
    _assert_each_was_delivered_once(queue, sandbox, rows)


def test_a_database_that_is_away_for_a_moment_costs_nothing(
    server: TestServer, queue: Queue, runs: Runs, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rows = queue.add(10)
    runs.limits = in_requests_of(5)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3

    with runs.under_way() as run:
        wait_until(lambda: sandbox.memory.requests)
        with _away(server, queue):
            wait_until(lambda: "trying again in" in caplog.text)

    assert run.result().total("resolved") == len(rows)
    _assert_each_was_delivered_once(queue, sandbox, rows)


def test_a_settle_whose_connection_breaks_is_settled_once(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(10)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3

    with runs.under_way() as run:
        wait_until(lambda: sandbox.memory.requests)
        with queue.settles_blocked():
            queue.break_connections()

    assert run.result().total("resolved") == len(rows)
    _assert_each_was_delivered_once(queue, sandbox, rows)


def test_a_claim_whose_connection_breaks_is_made_again(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(20)

    with runs.under_way() as run, queue.claims_blocked():
        queue.break_connections()

    assert run.result().total("resolved") == len(rows)
    _assert_each_was_delivered_once(queue, sandbox, rows)


def test_a_settle_whose_answer_was_lost_is_counted_and_not_repeated(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = queue.add(10)
    lost = iter((True,))

    async def settle_and_lose_the_answer(*arguments: Any, **named: Any) -> set[UUID]:
        settled = await settle_attempts(*arguments, **named)
        if next(lost, False):
            raise psycopg.OperationalError
        return settled

    losing = replace(FAILED, settle=settle_and_lose_the_answer)
    monkeypatch.setattr(retry, "QUEUES", (ACCEPTED, losing))

    totals = runs.run()

    assert totals.total("resolved") == len(rows)
    assert totals.total("stale_settles") == 0
    _assert_each_was_delivered_once(queue, sandbox, rows)


@pytest.mark.parametrize("waiting", ["failed", "accepted"])
def test_a_settle_that_the_server_goes_on_with_when_its_connection_broke_is_told_as_it_is(
    queue: Queue,
    sandbox: Sandbox,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    waiting: str,
) -> None:
    for module in (failed_events, first_attempts):
        monkeypatch.setattr(module, "LOCK_MILLISECONDS", 30_000)
    rows = queue.add(10) if waiting == "failed" else queue.accept(10)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3

    with FaultProxy(database_url) as proxy, Runs(proxy.url, sandbox).under_way() as run:
        wait_until(lambda: sandbox.memory.requests)
        with queue.row_locked(rows[3], f"tracking_{waiting}_events"):
            wait_until(queue.settles_under_way)
            proxy.cut_clients()
            # The second try waits for the rows of the first one, of which nothing is to be seen.
            wait_until(lambda: queue.settles_under_way() == 2)
        totals = run.result()

    number = "resolved" if waiting == "failed" else "accepted_delivered"
    assert (totals.total(number), totals.total("stale_settles")) == (10, 0)
    assert queue.statuses() == ({"resolved": 10} if waiting == "failed" else {})
    assert queue.accepted() == {}
    assert {len(queue.attempts(row)) for row in rows} == {1}
    assert {sandbox.memory.accepted(row.sent_as) for row in rows} == {1}


@pytest.mark.parametrize("waiting", ["failed", "accepted"])
def test_a_row_that_somebody_has_locked_waits_alone(
    queue: Queue, runs: Runs, sandbox: Sandbox, waiting: str
) -> None:
    rows = queue.add(20) if waiting == "failed" else queue.accept(20)
    others = queue.add(5, destination="supabase")
    sandbox.conditions["meta_capi"].latency_seconds = 0.5

    with runs.under_way() as run:
        wait_until(lambda: sandbox.memory.requests)
        with queue.row_locked(rows[3], f"tracking_{waiting}_events"):
            wait_until(lambda: sum(len(queue.attempts(row)) for row in rows + others) == 24)
            assert not queue.attempts(rows[3])
    totals = run.result()

    if waiting == "failed":
        assert totals.total("resolved") == 25
    else:
        assert (totals.total("resolved"), totals.total("accepted_delivered")) == (5, 20)
        assert queue.accepted() == {}
    assert totals.total("stale_settles") == 0
    assert {len(queue.attempts(row)) for row in rows} == {1}
    assert {sandbox.memory.accepted(row.sent_as) for row in rows} == {1}


def test_a_row_that_stays_locked_does_not_keep_its_run_for_ever(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "MOST_LOCKED_SECONDS", 0.2)
    locked, *rows = queue.add(4)
    sandbox.conditions["meta_capi"].latency_seconds = 0.5

    with runs.under_way() as run:
        wait_until(lambda: sandbox.memory.requests)
        with queue.row_locked(locked):
            totals = run.result()

    assert totals.total("resolved") == len(rows)
    assert [(error.reason, error.count) for error in totals.errors] == [
        ("cannot be settled: its row is locked", 1)
    ]
    assert queue.row(locked)["lease_expires_at"] is not None
    queue.expire_leases()
    assert runs.run().total("resolved") == 1


def test_a_database_that_stays_away_ends_the_run_in_one_line_and_loses_nothing(
    server: TestServer,
    queue: Queue,
    runs: Runs,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "OUTAGE_WAITS_SECONDS", (0.01,))
    rows = queue.add(60)
    runs.limits = in_requests_of(5, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = 0.5

    with runs.under_way() as run:
        wait_until(lambda: len(sandbox.memory.requests) == 2)
        with _away(server, queue), pytest.raises(DatabaseError) as failure:
            run.result()
    assert "\n" not in str(failure.value)
    assert "nothing is lost" in str(failure.value)
    assert failure.value.__suppress_context__

    queue.expire_leases()
    runs.run()
    assert queue.statuses() == {"resolved": len(rows)}
    assert sandbox.memory.accepted_ids == sent_as(rows)
    assert sum(sandbox.memory.accepted(row.sent_as) - 1 for row in rows) <= 5 * (2 + 2)


def test_a_row_that_the_queue_does_not_let_change_spares_its_neighbours(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    stubborn, *rows = queue.add(30)
    queue.connection.execute(
        "alter table tracking_failed_events add constraint site_rule"
        f" check (status <> 'resolved' or id <> '{stubborn.id}')"
    )

    totals = runs.run()

    assert totals.total("resolved") == len(rows)
    assert queue.statuses() == {"resolved": len(rows), "pending": 1}
    assert [(error.reason, error.count) for error in totals.errors] == [
        ("cannot be settled: SQLSTATE 23514", 1)
    ]
    # Its lease runs out instead of being handed back, so that it is not sent for ever.
    for _ in range(10):
        queue.expire_leases()
        runs.run()
    assert sandbox.memory.requests_with(stubborn.sent_as) == 5
    assert queue.row(stubborn)["dead_letter_reason"] == "worker_crash"


def test_a_ledger_that_does_not_answer_is_a_retry(
    queue: Queue,
    runs: Runs,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "LONGEST_INSERT_SECONDS", 0.5)
    added = queue.add_one(destination="supabase", event_payload=payload())

    with psycopg.connect(database_url) as blocker:
        blocker.execute("lock table wm_event_log in exclusive mode")
        totals = runs.run()

    assert totals.total("failed") == 1
    row = queue.row(added)
    assert (row["status"], row["error_code"]) == ("retrying", "timeout")
