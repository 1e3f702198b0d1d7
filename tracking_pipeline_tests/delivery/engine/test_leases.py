"""Leases in a run: renewed while answers are slow, handed back unspent, lost without harm."""

from __future__ import annotations

import asyncio

import pytest

from tracking_pipeline.delivery.engine import leases
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store import failed_events
from tracking_pipeline.store import leases as stored_leases
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

LEASE_SECONDS = 2


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease's own proportions, thirty times as fast."""
    for module in (failed_events, stored_leases):
        monkeypatch.setattr(module, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(leases, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(leases, "RENEW_EVERY_SECONDS", 0.3)
    monkeypatch.setattr(leases, "LEAST_SECONDS_LEFT", 0.5)


@pytest.mark.usefixtures("short_leases")
def test_a_slow_answer_costs_no_lease(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    rows = queue.add(10)
    runs.limits = in_requests_of(5)
    sandbox.conditions["meta_capi"].latency_seconds = LEASE_SECONDS * 1.5

    with runs.under_way() as slow:
        wait_until(lambda: sandbox.memory.requests)
        first_end = queue.one("select max(lease_expires_at) from tracking_failed_events")
        wait_until(lambda: queue.one("select now() > %s", first_end))
        assert runs.run().total("processed") == 0

    assert slow.result().total("resolved") == 10
    assert slow.result().total("stale_settles") == 0
    assert {sandbox.memory.requests_with(row.sent_as) for row in rows} == {1}


@pytest.mark.usefixtures("short_leases")
def test_a_lease_that_is_not_renewed_goes_to_another_worker_and_the_first_settles_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY_SECONDS", 3600.0)
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, [{"status": 500, "delay_seconds": LEASE_SECONDS * 1.5}])

    with runs.under_way() as slow:
        wait_until(lambda: sandbox.memory.requests)
        wait_until(lambda: queue.leased() == 0)
        assert runs.run().total("resolved") == 1
        resolved = queue.row(added)

    assert slow.result().total("stale_settles") == 1
    assert slow.result().total("processed") == 0
    assert queue.row(added) == resolved
    assert [attempt["outcome"] for attempt in queue.attempts(added)] == ["delivered"]


def test_no_request_starts_with_too_little_of_its_lease_left(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEAST_SECONDS_LEFT", float(stored_leases.LEASE_SECONDS + 1))
    added = queue.add_one()

    totals = runs.run(time_budget_seconds=0.5)

    assert not sandbox.memory.requests
    assert totals.total("processed") == 0
    row = queue.row(added)
    assert (row["lease_expires_at"], row["lease_losses"], row["retry_count"]) == (None, 0, 0)


def test_what_was_claimed_and_not_started_is_released_unspent(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(50)
    runs.limits = in_requests_of(10)
    sandbox.conditions["meta_capi"].latency_seconds = 1.0

    totals = runs.run(time_budget_seconds=0.5)

    assert totals.stopped_reason == "time_budget"
    assert queue.statuses() == {"resolved": 10, "pending": 40}
    assert len(sandbox.memory.requests) == 1
    waiting = [row for row in map(queue.row, rows) if row["status"] == "pending"]
    for row in waiting:
        assert (row["lease_expires_at"], row["lease_losses"], row["retry_count"]) == (None, 0, 0)
    assert totals.by_destination["meta_capi"].waiting == 40
    assert queue.one("select count(*) from tracking_delivery_attempts") == 10


def test_a_batch_with_a_lost_lease_is_not_sent_and_its_mates_are_handed_back(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY_SECONDS", 0.05)
    first = queue.add_one(next_retry_at="2020-01-01")
    lost, mate = queue.add(2, next_retry_at="2021-01-01")
    runs.limits = in_requests_of(2)
    sandbox.scripts.set(first.sent_as, [{"status": 200, "delay_seconds": 1.0}])
    # The first request takes one of the two along; which one does not matter.
    taken, waiting = sorted((lost, mate), key=lambda row: row.id)
    more = queue.add_one(next_retry_at="2022-01-01")

    with runs.under_way() as run:
        wait_until(lambda: sandbox.memory.requests and queue.leased() == 4)
        # Another worker has the row now.
        queue.connection.execute(
            "update tracking_failed_events set lease_token = lease_token + 1,"
            " lease_expires_at = '2100-01-01' where id = %s",
            (waiting.id,),
        )

    run.result()
    assert {first.sent_as, taken.sent_as} <= sandbox.memory.accepted_ids
    assert waiting.sent_as not in sandbox.memory.accepted_ids
    # Handed back, the mate is anybody's again: perhaps this very run's.
    row = queue.row(more)
    assert (row["lease_expires_at"], row["lease_losses"], row["retry_count"]) == (None, 0, 0)


def test_a_cancelled_run_hands_back_what_it_held(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(20)
    runs.limits = in_requests_of(5)
    sandbox.scripts.update({row.sent_as: ["timeout"] for row in rows})

    async def cancel_in_the_middle_of_a_request() -> None:
        run = asyncio.create_task(runs.retry())
        await asyncio.to_thread(wait_until, lambda: sandbox.memory.requests)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancel_in_the_middle_of_a_request())

    for row in map(queue.row, rows):
        assert (row["status"], row["lease_expires_at"]) == ("pending", None)
        assert (row["retry_count"], row["lease_losses"]) == (0, 0)


def test_an_event_that_kills_its_workers_is_buried_and_counted(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one(
        lease_losses=stored_leases.MOST_LEASE_LOSSES - 1,
        lease_group=1,
        lease_expires_at="2020-01-01",
    )

    totals = runs.run()

    assert queue.row(added)["dead_letter_reason"] == "worker_crash"
    assert totals.by_destination["meta_capi"].dead_lettered == 1
    assert [(error.reason, error.count) for error in totals.errors] == [("worker_crash", 1)]
    assert not sandbox.memory.requests


def test_a_crashed_event_that_cannot_be_buried_keeps_no_other_from_it(
    queue: Queue, runs: Runs
) -> None:
    crashed = {
        "lease_losses": stored_leases.MOST_LEASE_LOSSES - 1,
        "lease_group": 1,
        "lease_expires_at": "2020-01-01",
    }
    rows = queue.add(6, **crashed)
    (stuck,) = queue.add(1, event_name="Stuck", **crashed)
    queue.connection.execute(
        "alter table tracking_failed_events add constraint site_rule"
        " check (event_name <> 'Stuck' or status <> 'dead_letter')"
    )

    totals = runs.run()

    assert totals.by_destination["meta_capi"].dead_lettered == 6
    assert {queue.row(row)["dead_letter_reason"] for row in rows} == {"worker_crash"}
    assert queue.row(stuck)["status"] == "pending"


@pytest.mark.parametrize("script", [None, "bad", 503])
def test_a_count_at_the_end_of_its_column_is_settled_and_buried_like_any_other(
    queue: Queue, runs: Runs, sandbox: Sandbox, script: str | int | None
) -> None:
    most = 2**31 - 1
    (sent,) = queue.add(1, retry_count=most, max_retries=most)
    (crashed,) = queue.add(
        1,
        retry_count=most,
        lease_losses=stored_leases.MOST_LEASE_LOSSES - 1,
        lease_group=1,
        lease_expires_at="2020-01-01",
    )
    if script is not None:
        sandbox.scripts.set(sent.sent_as, [script])

    runs.run()

    assert queue.row(crashed)["dead_letter_reason"] == "worker_crash"
    assert queue.row(sent)["status"] == ("resolved" if script is None else "dead_letter")
