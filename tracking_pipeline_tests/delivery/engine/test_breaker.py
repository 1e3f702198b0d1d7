"""The breaker counts requests: ten or more in five minutes, seventy per cent of them failed."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.engine.breaker import opens
from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs


@pytest.mark.parametrize(
    ("requests", "failures", "is_open"),
    [
        (9, 9, False),
        (10, 7, True),
        (10, 6, False),
        (100, 70, True),
        (100, 69, False),
        (0, 0, False),
    ],
)
def test_it_opens_on_enough_requests_and_a_large_enough_share(
    requests: int, failures: int, is_open: bool
) -> None:
    assert opens(requests, failures) is is_open


def state(queue: Queue) -> dict[str, Any]:
    (row,) = queue.read("select * from tracking_destination_state")
    return row


def fail_ten_times(queue: Queue, sandbox: Sandbox, runs: Runs) -> None:
    """Ten runs of one request each: the window is shared by runs, as it is by workers."""
    sandbox.conditions["meta_capi"].outage(503)
    for _ in range(10):
        queue.add_one()
        runs.run()


def test_it_opens_over_several_runs_when_most_requests_fail(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    fail_ten_times(queue, sandbox, runs)
    row = state(queue)
    assert row["state"] == "open"
    assert row["reason"] == "10 of the last 10 requests failed"
    waiting = queue.add_one()
    seen = len(sandbox.memory.requests)
    totals = runs.run()
    assert len(sandbox.memory.requests) == seen
    assert totals.by_destination["meta_capi"].state == "paused"
    assert queue.row(waiting)["retry_count"] == 0


def test_a_probe_that_fails_costs_its_event_nothing_and_doubles_the_wait(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    fail_ten_times(queue, sandbox, runs)
    queue.read("update tracking_failed_events set status = 'resolved' returning id")
    waiting = queue.add(3)
    queue.read("update tracking_destination_state set probe_at = now() returning 1")
    seen = len(sandbox.memory.requests)
    runs.run()
    assert len(sandbox.memory.requests) == seen + 1
    assert [queue.row(row)["retry_count"] for row in waiting] == [0, 0, 0]
    assert state(queue)["state"] == "open"
    assert state(queue)["probe_interval_seconds"] == 120


def test_it_closes_by_itself_and_forgets_its_window(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    fail_ten_times(queue, sandbox, runs)
    queue.read("update tracking_failed_events set status = 'resolved' returning id")
    waiting = queue.add(3)
    queue.read("update tracking_destination_state set probe_at = now() returning 1")
    sandbox.conditions["meta_capi"].outage(None)
    runs.run()
    assert [queue.row(row)["status"] for row in waiting] == ["resolved"] * 3
    row = state(queue)
    assert (row["state"], row["window_requests"], row["window_failures"]) == ("closed", 0, 0)


def test_failures_of_an_older_window_do_not_count(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    sandbox.conditions["meta_capi"].outage(503)
    for _ in range(9):
        queue.add_one()
        runs.run()
    assert state(queue)["window_failures"] == 9
    queue.read(
        "update tracking_destination_state"
        " set window_started_at = now() - interval '5 minutes 1 second' returning 1"
    )
    queue.add_one()
    runs.run()
    assert state(queue)["state"] == "closed"
    assert state(queue)["window_failures"] == 1


def test_a_destination_that_refuses_every_event_is_paused_before_the_queue_is_dead(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    rows = queue.add(200)
    for row in rows:
        sandbox.scripts.set(row.sent_as, ["bad"])
    totals = runs.run().by_destination["meta_capi"]
    assert totals.state == "paused"
    assert totals.dead_lettered == 20
    assert totals.paused == 180
    assert state(queue)["reason"].startswith("it refuses every event: ")
    assert {row["alert_type"] for row in queue.alerts()} == {"destination_paused"}


def let_it_probe(queue: Queue, runs: Runs) -> DestinationTotals:
    queue.read("update tracking_destination_state set probe_at = now() returning 1")
    return runs.run().by_destination["meta_capi"]


def test_a_probe_that_is_refused_as_all_were_costs_nothing_and_doubles_the_wait(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    for row in queue.add(60):
        sandbox.scripts.set(row.sent_as, ["bad"])
    runs.run()
    seen = len(sandbox.memory.requests)

    for probes, interval in enumerate((120, 240, 480), start=1):
        totals = let_it_probe(queue, runs)
        assert (totals.state, totals.dead_lettered, totals.paused) == ("paused", 0, 40)
        assert len(sandbox.memory.requests) == seen + probes
        assert state(queue)["probe_interval_seconds"] == interval
    assert [alert["resolved_at"] for alert in queue.alerts()] == [None]


def test_one_event_that_is_accepted_opens_a_destination_that_refused_all(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    for row in queue.add(20):
        sandbox.scripts.set(row.sent_as, ["bad"])
    runs.run()
    assert state(queue)["state"] == "open"
    queue.add(10)

    totals = let_it_probe(queue, runs)

    assert (totals.state, totals.resolved) == ("ok", 10)
    assert state(queue)["state"] == "closed"


def test_an_event_that_is_always_refused_does_not_keep_its_destination_closed(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    for row in queue.add(21):
        sandbox.scripts.set(row.sent_as, ["bad"])
    runs.run()
    assert queue.statuses() == {"dead_letter": 20, "pending": 1}
    (good,) = queue.add(1, next_retry_at="2026-01-01")  # after the bad one, that has no time

    # A probe takes any of the first events: not in sixty tries the same of two.
    for _ in range(60):
        if let_it_probe(queue, runs).state == "ok":
            break

    assert queue.row(good)["status"] == "resolved"
    assert queue.statuses() == {"dead_letter": 21, "resolved": 1}


def test_poison_among_good_events_pauses_nothing(
    queue: Queue, sandbox: Sandbox, runs: Runs
) -> None:
    queue.add(30)
    for row in queue.add(40):
        sandbox.scripts.set(row.sent_as, ["bad"])
    totals = runs.run().by_destination["meta_capi"]
    assert (totals.state, totals.resolved, totals.dead_lettered) == ("ok", 30, 40)
