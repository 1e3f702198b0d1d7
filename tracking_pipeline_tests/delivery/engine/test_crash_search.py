"""Workers that are lost again and again: only the event that takes them down is blamed for it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable

import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.leases import MOST_LEASE_LOSSES
from tracking_pipeline_tests.delivery.engine.test_crash import Workers
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, sent_as
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

LOST = {"lease_losses": 0, "lease_expires_at": "2020-01-01"}


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox) -> Workers:
    return Workers(database_url, sandbox)


class Culprits:
    """Events that take down each worker which sends them, or has them delivered."""

    def __init__(
        self, queue: Queue, workers: Workers, *poison: Added, point: str = "never"
    ) -> None:
        self._queue = queue
        self._workers = workers
        self._poison = [f"--poison={row.id}" for row in poison]
        self._point = point
        self.losses = 0

    def take_down(self, *options: str, after_each: Callable[[], object] = lambda: None) -> None:
        """Starts worker after worker, until one lives."""
        while True:
            with self._workers.started(self._point, *self._poison, *options) as process:
                if process.wait(60) == 0:
                    return
                assert process.returncode == -signal.SIGKILL
            self.losses += 1
            after_each()
            self._queue.expire_leases()


@pytest.mark.parametrize(("waiting", "point"), [("failed", "never"), ("accepted", "answered")])
def test_one_of_six_hundred_is_found_by_halves_and_the_others_are_delivered(
    queue: Queue, sandbox: Sandbox, workers: Workers, waiting: str, point: str
) -> None:
    rows = queue.add(600) if waiting == "failed" else queue.accept(600)
    culprit = Culprits(queue, workers, rows[417], point=point)

    culprit.take_down("--request-events", "1000")

    assert culprit.losses <= 1 + math.ceil(math.log2(600))
    innocent = [row for row in rows if row is not rows[417]]
    assert queue.row(rows[417])["dead_letter_reason"] == "worker_crash"
    delivered = {"resolved": 599} if waiting == "failed" else {}
    assert queue.statuses() == {**delivered, "dead_letter": 1}
    assert queue.accepted() == {}
    assert sandbox.memory.accepted_ids - {rows[417].sent_as} == sent_as(innocent)
    most = 1 if point == "never" else culprit.losses
    assert max(sandbox.memory.accepted(row.sent_as) for row in innocent) <= most


def test_of_a_few_the_culprit_is_found_within_five_losses(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(11)
    culprit = Culprits(queue, workers, rows[3])

    culprit.take_down("--request-events", "1000")

    assert culprit.losses == MOST_LEASE_LOSSES
    assert queue.statuses() == {"resolved": 10, "dead_letter": 1}
    assert queue.row(rows[3])["dead_letter_reason"] == "worker_crash"


def test_two_culprits_are_both_found_and_nobody_else_is_blamed(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(24)
    culprits = Culprits(queue, workers, rows[5], rows[20])

    culprits.take_down("--request-events", "1000")

    assert {queue.row(row)["dead_letter_reason"] for row in (rows[5], rows[20])} == {"worker_crash"}
    assert queue.statuses() == {"resolved": 22, "dead_letter": 2}
    assert {sandbox.memory.accepted(row.sent_as) for row in rows} == {0, 1}


def test_whoever_sends_a_suspect_holds_nothing_else(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(30)
    others: list[Added] = []

    def others_are_settled_and_more_come() -> None:
        settled = queue.read(
            "select status, lease_losses, lease_expires_at from tracking_failed_events"
            " where id = any(%s)",
            [row.id for row in others],
        )
        assert all(row["status"] == "resolved" and row["lease_losses"] == 0 for row in settled)
        assert not queue.read("select from tracking_accepted_events")
        others.extend(queue.add(30) + queue.add(3, destination="supabase"))
        queue.accept(3)

    culprit = Culprits(queue, workers, rows[7])
    culprit.take_down("--ledger", after_each=others_are_settled_and_more_come)

    assert culprit.losses > 3
    assert queue.row(rows[7])["dead_letter_reason"] == "worker_crash"
    assert queue.statuses() == {"resolved": 29 + len(others), "dead_letter": 1}


def test_five_workers_that_are_lost_for_other_reasons_bury_nobody(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.add(60)

    for _ in range(MOST_LEASE_LOSSES + 1):
        with workers.started("claimed", "--request-events", "1000") as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "claimed"
        queue.expire_leases()
    totals = runs.run()

    assert queue.statuses() == {"resolved": 60}
    assert totals.total("dead_lettered") == 0
    assert sandbox.memory.accepted_ids == sent_as(rows)


def test_suspects_are_sent_in_small_groups_one_after_the_other(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(8, **LOST, lease_group=8)
    queue.accept(3, **LOST, lease_group=3)
    sandbox.conditions["meta_capi"].latency_seconds = 0.1

    totals = runs.run(destinations=("meta_capi",))

    assert sorted(len(each.event_ids) for each in sandbox.memory.requests) == [1, 1, 1, 4, 4]
    assert (totals.total("resolved"), totals.total("accepted_delivered")) == (8, 3)
    at = [
        row["attempted_at"]
        for row in queue.read("select distinct attempted_at from tracking_delivery_attempts")
    ]
    assert len(at) == 5


def test_a_long_queue_does_not_keep_suspects_waiting(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(1_000)
    suspects = queue.add(2, **LOST, lease_group=2)
    runs.limits = in_requests_of(1)
    sandbox.conditions["meta_capi"].latency_seconds = 0.05

    totals = runs.run(time_budget_seconds=4)

    assert totals.stopped_reason == "time_budget"
    assert sent_as(suspects) <= sandbox.memory.accepted_ids


def test_what_a_run_had_no_time_for_is_taken_up_again_after_the_suspects(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking_pipeline.delivery.engine.retry._SHARE_OF_CLEAN_EVENTS", 0.001)
    queue.add(60)
    queue.add(2, **LOST, lease_group=2)
    runs.limits = in_requests_of(5)

    totals = runs.run(time_budget_seconds=60)

    assert totals.total("resolved") == 62
    assert totals.stopped_reason == "drained"


def test_a_paused_destination_with_nothing_but_suspects_is_probed_by_one_of_them(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(8, **LOST, lease_group=8)
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, reason, probe_at)"
        " values ('meta_capi', 'open', '190: bad token', now())"
    )

    totals = runs.run(destinations=("meta_capi",))

    assert [len(each.event_ids) for each in sandbox.memory.requests][:2] == [1, 4]
    assert totals.by_destination["meta_capi"].state == "ok"
    assert queue.statuses() == {"resolved": 8}
