"""Two worker processes keep to one destination's limits together."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tracking_pipeline.delivery.engine import share
from tracking_pipeline.delivery.engine.allotment import LEASE_SECONDS
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.destination_state import read_shares
from tracking_pipeline_tests.delivery.engine.test_crash import Workers
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

PER_SECOND = 30


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox) -> Workers:
    return Workers(database_url, sandbox)


def begun_by(*processes: subprocess.Popen[str]) -> list[list[float]]:
    """When each process began its requests, by the clock of this machine, when all have ended."""
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [[float(line) for line in each.split()] for each in said]


def most_within(seconds: float, moments: Sequence[float]) -> int:
    return max(sum(at <= one < at + seconds for one in moments) for at in moments)


def holdings(queue: Queue) -> dict[str, Any]:
    found = queue.read("select shares from tracking_destination_shares")
    return found[0]["shares"] if found else {}


def test_two_processes_keep_to_one_pace_and_use_it(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    queue.add(6 * PER_SECOND)
    options = ("--request-events", "1", "--in-flight", "8", "--per-second", str(PER_SECOND))
    sandbox.conditions["meta_capi"].latency_seconds = 0.05

    with workers.started("never", *options) as one, workers.started("never", *options) as other:
        by_each = begun_by(one, other)

    moments = sorted(at for begun in by_each for at in begun)
    assert queue.statuses() == {"resolved": 6 * PER_SECOND}
    assert min(len(begun) for begun in by_each) > PER_SECOND / 2
    # Begun, and not yet on its way: a busy machine may take a moment from the one to the other.
    assert most_within(0.9, moments) <= PER_SECOND
    assert len(moments) / (moments[-1] - moments[0]) >= 0.8 * PER_SECOND


def test_two_processes_have_no_more_requests_in_flight_than_one(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    queue.add(200)
    sandbox.conditions["meta_capi"].latency_seconds = 0.05
    options = ("--request-events", "2", "--in-flight", "3")
    most = 0

    with workers.started("never", *options) as one, workers.started("never", *options) as other:
        while one.poll() is None or other.poll() is None:
            held = holdings(queue).values()
            most = max(most, sum(each["in_flight"] for each in held))

    assert queue.statuses() == {"resolved": 200}
    assert most == 3
    assert queue.one("select count(distinct worker) from tracking_delivery_attempts") == 2


def test_what_a_killed_process_held_comes_back(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers
) -> None:
    queue.add(30)
    with workers.started("claimed", "--in-flight", "4"):
        wait_until(lambda: holdings(queue))
    (lost,) = holdings(queue).values()
    assert (lost["in_flight"], lost["expires_at"] - lost["joined_at"]) == (4, LEASE_SECONDS)
    waiting = queue.add(10)
    runs.limits = in_requests_of(10, in_flight=4)

    with runs.under_way() as run:
        # It waits for its part, and is no worse off than that.
        wait_until(lambda: len(holdings(queue)) == 2)
        assert not sandbox.memory.requests
        queue.connection.execute(
            "update tracking_destination_shares set shares = jsonb_set(shares, %s, '0')",
            ([next(name for name, each in holdings(queue).items() if each == lost), "expires_at"],),
        )

    assert run.result().total("resolved") >= len(waiting)


@pytest.mark.parametrize("per_second", [None, 50.0])
def test_a_run_gives_back_what_it_held_but_for_permits_that_rest(
    queue: Queue, runs: Runs, per_second: float | None
) -> None:
    queue.add(3)
    runs.limits = Limits(1, 1_000_000, 2, per_second)

    runs.run()

    assert [
        (each["joined_at"], each["in_flight"], each["per_second"])
        for each in holdings(queue).values()
    ] == ([(None, 0, 3)] if per_second else [])


def test_one_worker_alone_asks_the_database_for_no_request_of_its_own(
    queue: Queue, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def counted(*arguments: Any) -> Any:
        asked.append("read")
        return await read_shares(*arguments)

    monkeypatch.setattr(share, "read_shares", counted)
    queue.add(40)
    runs.limits = Limits(1, 1_000_000, 2, 40.0)

    totals = runs.run()

    assert totals.total("requests") == 40
    assert len(asked) <= 2 + totals.seconds / share.LOOK_EVERY_SECONDS + 1
