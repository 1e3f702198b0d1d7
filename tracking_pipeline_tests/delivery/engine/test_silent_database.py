"""A database that stops answering without a word: connections stay open, and nothing comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import psycopg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store import database
from tracking_pipeline.store.database import (
    DatabaseError,
    NoAnswerError,
    connect,
    connection_pool,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of
from tracking_pipeline_tests.fault_proxy import FaultProxy

ANSWER, OUTAGE, BUDGET = 0.5, 3.0, 1.0
# One answer in each of: a pooled connection, its check, a new one, and the end of the run.
A_LITTLE = 6 * ANSWER + 4.0


@pytest.fixture
def proxy(database_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(database_url) as opened:
        yield opened


@pytest.fixture
def _in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """All times of the real thing, a fortieth of them."""
    monkeypatch.setattr(database, "CONNECT_TIMEOUT_SECONDS", ANSWER)
    monkeypatch.setattr(database, "POOL_ANSWER_SECONDS", ANSWER)
    monkeypatch.setattr(database, "CHECK_ANSWER_SECONDS", ANSWER)
    monkeypatch.setattr(database, "LONGEST_OUTAGE_SECONDS", OUTAGE)


@pytest.mark.usefixtures("_in_short")
def test_a_run_over_a_silent_database_ends_within_its_time_budget_and_a_little(
    proxy: FaultProxy, database_url: str, queue: Queue, sandbox: Sandbox
) -> None:
    queue.add(40)
    runs = Runs(proxy.url, sandbox)
    runs.limits = in_requests_of(2, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = 0.1

    with runs.under_way(time_budget_seconds=BUDGET) as run:
        wait_until(lambda: len(sandbox.memory.requests) >= 4)
        proxy.fall_silent()
        silent_since = time.monotonic()
        with pytest.raises(DatabaseError, match="nothing is lost"):
            run.result()

    assert time.monotonic() - silent_since < BUDGET + OUTAGE + A_LITTLE
    # Through another door the queue is there, and the rest is delivered.
    queue.expire_leases()
    Runs(database_url, sandbox).run()
    assert queue.statuses() == {"resolved": 40}


def test_a_lone_connection_is_given_up_when_no_answer_comes(proxy: FaultProxy) -> None:
    with connect(proxy.url, answer_seconds=0.3) as connection:
        proxy.fall_silent()
        with pytest.raises(NoAnswerError):
            connection.execute("select 1")
        assert connection.closed


def test_an_answer_that_is_slow_but_in_time_is_waited_for(database_url: str) -> None:
    with connect(database_url, answer_seconds=5.0) as connection:
        row = connection.execute("select 1 from pg_sleep(0.5)").fetchone()
    assert row == (1,)


def test_a_pool_gives_up_a_silent_connection_and_its_work_is_no_longer_waited_for(
    proxy: FaultProxy,
) -> None:
    async def ask() -> None:
        async with (
            connection_pool(proxy.url, size=1, answer_seconds=0.3) as pool,
            pool.connection() as connection,
        ):
            proxy.fall_silent()
            with pytest.raises(NoAnswerError):
                await connection.execute("select 1")
            assert connection.closed

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(ask)


def test_a_server_that_says_nothing_to_a_new_connection_is_not_waited_for(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._CONNECT, "connect_timeout", 2)
    proxy.fall_silent()
    with pytest.raises(DatabaseError, match="no answer in time"), connect(proxy.url):
        pass


def test_a_connection_asks_the_kernel_to_notice_a_peer_that_is_gone(database_url: str) -> None:
    with connect(database_url) as connection:
        told = connection.info.get_parameters()
    assert {name: told.get(name) for name in database.KEEP_ALIVE} == {
        name: str(value) for name, value in database.KEEP_ALIVE.items()
    }
    assert isinstance(connection, psycopg.Connection)
