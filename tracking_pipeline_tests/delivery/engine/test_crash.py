"""``kill -9`` of a worker at every point of a drain: nothing lost, few duplicates, one id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.delivery.engine.outcomes import OUTCOME_UNKNOWN
from tracking_pipeline.delivery.engine.prefetch import AHEAD
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery import worker as worker_program
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, sent_as, wait_until
from tracking_pipeline_tests.delivery.runs import Runs

EVENTS = 60
# In flight, or sent and waiting to be settled.
MOST_UNSETTLED_EVENTS = worker_program.REQUEST_EVENTS * (worker_program.IN_FLIGHT + AHEAD)
MOST_IN_FLIGHT_EVENTS = worker_program.REQUEST_EVENTS * worker_program.IN_FLIGHT
WITHOUT_COPIES = [spec.name for spec in REGISTRY if not spec.recognises_copies]


class Workers:
    """Starts worker processes on one queue and one sandbox."""

    def __init__(self, database_url: str, sandbox: Sandbox) -> None:
        self._database_url = database_url
        self._sandbox = sandbox

    @contextmanager
    def started(
        self, freeze: str = "never", *options: str, destination: str = "meta_capi"
    ) -> Iterator[subprocess.Popen[str]]:
        """A worker; killed at the end of the block, whatever it does."""
        program = str(Path(worker_program.__file__))
        url = self._sandbox.address_of(destination)
        command = [sys.executable, program, self._database_url, url, freeze, *options]
        command += ["--destination", destination]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox) -> Workers:
    return Workers(database_url, sandbox)


@pytest.mark.parametrize("point", ["claimed", "answered"])
def test_a_worker_killed_before_its_settle_loses_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers, point: str
) -> None:
    rows = queue.add(EVENTS)

    with workers.started(freeze=point) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == point
    # Only here can there be a duplicate: the destination has the events and nobody knows it.
    assert bool(sandbox.memory.accepted_ids) == (point == "answered")

    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


def test_a_worker_killed_in_the_middle_of_a_request_loses_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(EVENTS)
    sandbox.conditions["meta_capi"].outage("timeout")

    with workers.started():
        wait_until(lambda: len(sandbox.memory.requests) == worker_program.IN_FLIGHT)
    assert queue.statuses() == {"pending": EVENTS}
    sandbox.conditions["meta_capi"].outage(None)

    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


def test_a_worker_killed_while_the_destination_takes_its_events_loses_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(EVENTS)
    # The sandbox remembers before it answers: it has the events when the worker dies.
    sandbox.conditions["meta_capi"].latency_seconds = 30.0

    with workers.started():
        wait_until(lambda: sandbox.memory.accepted_ids)
    sandbox.conditions["meta_capi"].latency_seconds = 0.0

    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


@pytest.mark.parametrize("committed", [True, False])
def test_a_worker_killed_in_the_middle_of_a_settle_loses_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers, committed: bool
) -> None:
    rows = queue.add(EVENTS)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3

    with workers.started() as process:
        wait_until(lambda: sandbox.memory.requests)
        with queue.settles_blocked():
            process.kill()
            process.wait()
            # The server goes on with the dead worker's statement, unless it is ended as well.
            if not committed:
                queue.break_connections()
    wait_until(lambda: not queue.has_workers())
    sandbox.conditions["meta_capi"].latency_seconds = 0.0

    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


@pytest.mark.parametrize("destination", WITHOUT_COPIES)
@pytest.mark.parametrize("is_new", [False, True])
def test_what_a_killed_worker_may_have_sent_goes_no_second_time_where_it_would_count_twice(
    queue: Queue, sandbox: Sandbox, workers: Workers, destination: str, is_new: bool
) -> None:
    rows = (queue.accept if is_new else queue.add)(EVENTS, destination=destination)
    with workers.started("answered", destination=destination) as process:
        assert process.stdout is not None
        process.stdout.readline()
    taken = sandbox.memory.accepted_ids
    assert taken
    queue.expire_leases()

    with workers.started(destination=destination) as process:
        assert process.wait(60) == 0

    assert {sandbox.memory.accepted(row.sent_as) for row in rows} <= {0, 1}
    unknown = queue.read(
        "select event_id, dead_letter_reason, failure_code from tracking_failed_events"
        " where status = 'dead_letter'"
    )
    assert {row["dead_letter_reason"] for row in unknown} == {OUTCOME_UNKNOWN}
    assert all(row["failure_code"].endswith("OUTCOME_UNKNOWN") for row in unknown)
    assert taken <= {str(row["event_id"]) for row in unknown}
    assert len(unknown) <= MOST_IN_FLIGHT_EVENTS
    # What was claimed and not begun had no part in it.
    assert len(sandbox.memory.accepted_ids - taken) == EVENTS - len(unknown)
    assert not queue.accepted()


def test_a_worker_that_is_killed_spends_no_retry(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(3)
    with workers.started(freeze="claimed") as process:
        assert process.stdout is not None
        process.stdout.readline()
    queue.expire_leases()
    sandbox.conditions["meta_capi"].outage(500)

    runs.run()

    assert {queue.row(row)["retry_count"] for row in rows} == {1}
    assert {queue.row(row)["lease_losses"] for row in rows} == {0}


def test_two_worker_processes_send_no_event_twice(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(400)
    sandbox.conditions["meta_capi"].latency_seconds = 2.0

    with workers.started() as one, workers.started() as other:
        # One worker alone has no more than this in flight, so both are at work by then.
        wait_until(lambda: len(sandbox.memory.requests) > worker_program.IN_FLIGHT)
        sandbox.conditions["meta_capi"].latency_seconds = 0.02
        assert (one.wait(60), other.wait(60)) == (0, 0)

    assert queue.statuses() == {"resolved": 400}
    assert {sandbox.memory.requests_with(row.sent_as) for row in rows} == {1}
    assert queue.one("select count(distinct worker) from tracking_delivery_attempts") == 2


def _assert_a_second_drain_delivers_all(
    queue: Queue, runs: Runs, sandbox: Sandbox, rows: list[Added]
) -> None:
    queue.expire_leases()
    runs.run()

    assert queue.statuses() == {"resolved": len(rows)}
    assert sandbox.memory.accepted_ids == sent_as(rows)
    surplus = sum(sandbox.memory.accepted(row.sent_as) - 1 for row in rows)
    assert surplus <= MOST_UNSETTLED_EVENTS
    delivered = "select count(*) from tracking_delivery_attempts where outcome = 'delivered'"
    assert queue.one(delivered) == len(rows)
