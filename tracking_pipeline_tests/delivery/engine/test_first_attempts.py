"""Accepted events at their first attempt: what a run makes of each outcome, and of a crash."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.registry import ANSWERING_LATER
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.accepted_events import (
    claim_accepted_events,
    read_accepted_backlog,
)
from tracking_pipeline.store.failed_events import Selection, Settlement
from tracking_pipeline.store.first_attempts import forget_old_deliveries, settle_first_attempts
from tracking_pipeline.store.leases import release_leases, renew_leases
from tracking_pipeline_tests.delivery.engine.test_crash import MOST_UNSETTLED_EVENTS, Workers
from tracking_pipeline_tests.delivery.failed_event_queue import (
    Added,
    Queue,
    payload,
    sent_as,
    wait_until,
)
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

TABLE = "tracking_accepted_events"
LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox) -> Workers:
    return Workers(database_url, sandbox)


def test_what_is_delivered_at_once_was_never_a_failed_event(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    (added,) = queue.accept()

    totals = runs.run()

    assert queue.accepted() == {}
    assert queue.statuses() == {}
    assert sandbox.memory.accepted(added.sent_as) == 1
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["attempt"]) == ("delivered", 1)
    assert (attempt["event_id"], attempt["destination"]) == (added.event_id, "meta_capi")
    assert totals.total("accepted_delivered") == 1
    assert totals.total("processed") == totals.total("resolved") == 0
    assert totals.as_json()["accepted_delivered"] == 1


def test_a_first_attempt_that_fails_makes_a_failed_event_of_the_same_id(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    lead_id = queue.one("insert into leads (email) values ('e@example.com') returning id")
    added = queue.accept_one(
        lead_id=lead_id, session_id=uuid4(), created_at=LONG_AGO, event_payload=_recent()
    )
    before = queue.accepted()[added.id]
    sandbox.scripts.set(added.sent_as, [{"status": 503, "code": 2, "message": "Try later"}, 200])

    totals = runs.run()

    assert queue.accepted() == {}
    row = queue.row(added)
    assert (row["status"], row["retry_count"], row["max_retries"]) == ("retrying", 1, 5)
    assert (row["error_message"], row["error_code"], row["http_status"]) == ("Try later", "2", 503)
    kept = ("event_id", "event_name", "event_type", "event_payload", "destination", "created_at")
    assert {name: row[name] for name in kept} == {name: before[name] for name in kept}
    assert (row["lead_id"], row["session_id"]) == (lead_id, before["session_id"])
    wait = row["next_retry_at"] - queue.one("select now()")
    assert timedelta(minutes=9, seconds=50) < wait < timedelta(minutes=12, seconds=1)
    assert (totals.total("failed"), totals.total("accepted_delivered")) == (1, 0)
    assert totals.total("processed") == 1

    queue.make_due()
    runs.run()

    assert queue.row(added)["status"] == "resolved"
    assert [each["attempt"] for each in queue.attempts(added)] == [1, 2]


def _recent() -> dict[str, Any]:
    """An event of this moment, whatever its row says."""
    return payload(event_time=datetime.now(timezone.utc).isoformat())


def test_a_run_that_takes_all_does_not_try_again_what_has_just_failed(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.accept_one()
    sandbox.conditions["meta_capi"].outage(500)

    runs.run(all_events=True)

    assert len(queue.attempts(added)) == 1


def test_an_event_that_can_never_be_sent_becomes_a_dead_letter(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    unusable = queue.accept_one(event_payload={"event_name": "Lead"})
    refused, good = queue.accept(2)
    sandbox.scripts.set(refused.sent_as, [{"status": 400, "code": 100, "subcode": 2804019}] * 9)

    totals = runs.run()

    assert queue.accepted() == {}
    assert queue.statuses() == {"dead_letter": 2}
    assert queue.row(unusable)["dead_letter_reason"].startswith("missing user_data")
    assert queue.row(unusable)["retry_count"] == 0
    assert queue.row(refused)["dead_letter_reason"]
    assert sandbox.memory.accepted(good.sent_as) == 1
    assert (totals.total("dead_lettered"), totals.total("accepted_delivered")) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": 429, "code": 4, "retry_after": "120"}, "throttled"),
        ({"status": 400, "code": 190}, "paused"),
    ],
)
def test_what_a_destination_does_not_take_now_stays_unspent(
    queue: Queue, runs: Runs, sandbox: Sandbox, answer: dict[str, Any], state: str
) -> None:
    rows = queue.accept(3)
    for row in rows:
        sandbox.scripts.set(row.sent_as, [answer, 200])

    totals = runs.run()

    assert totals.by_destination["meta_capi"].state == state
    assert totals.total("accepted_waiting") == 3
    assert totals.total("processed") == 0
    assert queue.statuses() == {}
    left = queue.accepted()
    assert {row["lease_expires_at"] for row in left.values()} == {None}
    assert {row["lease_losses"] for row in left.values()} == {0}

    queue.connection.execute("delete from tracking_destination_state")
    assert runs.run().total("accepted_delivered") == 3


def test_a_paused_destination_is_probed_with_one_accepted_event(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.accept(20)
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, probe_at)"
        " values ('meta_capi', 'open', now())"
    )
    runs.limits = in_requests_of(10)

    totals = runs.run()

    assert totals.total("accepted_delivered") == 20
    first = sandbox.memory.requests[0]
    assert sum((row.sent_as in first.event_ids) for row in rows) == 1


def test_events_of_a_destination_that_is_not_configured_wait(queue: Queue, runs: Runs) -> None:
    added = queue.accept_one(destination="google_ec")

    totals = runs.run()

    assert list(queue.accepted()) == [added.id]
    assert totals.by_destination["google_ec"].accepted_waiting == 1


def test_neither_queue_keeps_the_other_waiting(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    failed, accepted = queue.add(40), queue.accept(40)
    runs.limits = in_requests_of(10)

    totals = runs.run()

    assert (totals.total("resolved"), totals.total("accepted_delivered")) == (40, 40)
    assert sandbox.memory.accepted_ids == sent_as(failed) | sent_as(accepted)
    first, second, *_ = sandbox.memory.requests
    assert set(first.event_ids) <= sent_as(accepted)
    assert set(second.event_ids) <= sent_as(failed)


def test_a_run_for_one_event_takes_it_from_either_queue(queue: Queue, runs: Runs) -> None:
    one, other = queue.accept(2)

    totals = runs.run(event_id=one.event_id)

    assert totals.total("accepted_delivered") == 1
    assert list(queue.accepted()) == [other.id]


def test_a_dry_run_counts_what_waits_and_takes_nothing(queue: Queue, runs: Runs) -> None:
    queue.accept(3)

    totals = runs.run(dry_run=True)

    assert totals.total("accepted_waiting") == 3
    assert len(queue.accepted()) == 3


def test_a_lead_that_is_gone_costs_its_event_only_the_link(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.accept_one(lead_id=uuid4())
    sandbox.conditions["meta_capi"].outage(500)

    runs.run()

    assert (queue.row(added)["status"], queue.row(added)["lead_id"]) == ("retrying", None)


def test_a_failed_event_that_the_sites_table_refuses_does_not_cost_its_neighbours(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.connection.execute(
        "alter table tracking_failed_events add constraint no_spam check (event_name <> 'Spam')"
    )
    spam, mate = queue.accept_one(event_name="Spam"), queue.accept_one()
    sandbox.conditions["meta_capi"].outage(500)

    runs.run()

    assert queue.row(mate)["status"] == "retrying"
    assert list(queue.accepted()) == [spam.id]
    # Its worker seems to crash each time; that is no reason to stop all the others.
    queue.connection.execute(
        "update tracking_accepted_events set lease_losses = 4, lease_group = 1"
    )
    queue.expire_leases()
    runs.run()
    assert list(queue.accepted()) == [spam.id]


def test_the_fifth_lease_lost_alone_makes_a_dead_letter(queue: Queue, runs: Runs) -> None:
    added = queue.accept_one(
        lease_token=5,
        lease_losses=4,
        lease_group=1,
        lease_expires_at=LONG_AGO,
        destination="meta_capi",
    )

    totals = runs.run()

    row = queue.row(added)
    assert (row["status"], row["dead_letter_reason"]) == ("dead_letter", "worker_crash")
    assert queue.accepted() == {}
    assert len(queue.attempts(added)) == 1
    assert totals.total("dead_lettered") == 1


@pytest.mark.parametrize("point", ["claimed", "answered"])
def test_a_worker_killed_before_its_settle_loses_no_accepted_event(
    queue: Queue, runs: Runs, sandbox: Sandbox, workers: Workers, point: str
) -> None:
    rows = queue.accept(60)

    with workers.started(freeze=point) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == point
    assert len(queue.accepted()) == 60

    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


@pytest.mark.parametrize("fails", [False, True], ids=["delivered", "failed"])
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "undone"])
def test_a_worker_killed_in_the_middle_of_a_settle_leaves_each_event_in_one_queue(
    queue: Queue,
    runs: Runs,
    sandbox: Sandbox,
    workers: Workers,
    *,
    fails: bool,
    committed: bool,
) -> None:
    rows = queue.accept(60)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3
    sandbox.conditions["meta_capi"].outage(500 if fails else None)

    with workers.started() as process:
        wait_until(lambda: sandbox.memory.requests)
        with queue.settles_blocked():
            process.kill()
            process.wait()
            # The server goes on with the dead worker's statement, unless it is ended as well.
            if not committed:
                queue.break_connections()
    wait_until(lambda: not queue.has_workers())

    failed = {row["id"] for row in queue.read("select id from tracking_failed_events")}
    waiting = set(queue.accepted())
    assert not failed & waiting
    assert bool(failed) == (fails and committed)
    gone = {row.id for row in rows} - failed - waiting
    assert bool(gone) == (committed and not fails)
    # What is in neither queue was delivered, and says so.
    settled = queue.read("select failed_event_id, outcome from tracking_delivery_attempts")
    assert {row["failed_event_id"] for row in settled if row["outcome"] == "delivered"} == gone
    sandbox.conditions["meta_capi"].latency_seconds = 0.0
    sandbox.conditions["meta_capi"].outage(None)
    _assert_a_second_drain_delivers_all(queue, runs, sandbox, rows)


def _assert_a_second_drain_delivers_all(
    queue: Queue, runs: Runs, sandbox: Sandbox, rows: list[Added]
) -> None:
    queue.expire_leases()
    queue.make_due()
    runs.run()

    assert queue.accepted() == {}
    assert queue.statuses().keys() <= {"resolved"}
    assert sandbox.memory.accepted_ids == sent_as(rows)
    surplus = sum(sandbox.memory.accepted(row.sent_as) - 1 for row in rows)
    assert surplus <= MOST_UNSETTLED_EVENTS
    delivered = "select count(*) from tracking_delivery_attempts where outcome = 'delivered'"
    assert queue.one(delivered) == len(rows)


def test_two_workers_send_no_accepted_event_twice(
    queue: Queue, sandbox: Sandbox, workers: Workers
) -> None:
    rows = queue.accept(200)
    sandbox.conditions["meta_capi"].latency_seconds = 0.05

    with workers.started() as one, workers.started() as other:
        assert (one.wait(60), other.wait(60)) == (0, 0)

    assert queue.accepted() == {}
    assert {sandbox.memory.requests_with(row.sent_as) for row in rows} == {1}


class Held:
    """One accepted event, claimed once, and its queue's statements."""

    def __init__(self, database_url: str, queue: Queue) -> None:
        self._url = database_url
        self.added = queue.accept_one()
        (claimed,) = self.do(claim_accepted_events, "meta_capi", Selection(LONG_AGO), 10)
        self.token: int = claimed["lease_token"]

    def do(self, statement: Any, *arguments: Any, **named: Any) -> Any:
        async def run() -> Any:
            async with await psycopg.AsyncConnection.connect(
                self._url, autocommit=True
            ) as connection:
                return await statement(connection, *arguments, **named)

        return asyncio.run(run())

    def settle(self, token: int, **fields: Any) -> set[Any]:
        settlement = Settlement(
            self.added.id, self.added.event_id, token, "delivered", 1, status="resolved"
        )
        return set(
            self.do(
                settle_first_attempts,
                [settlement],
                worker="w",
                run_id=None,
                answering_later=ANSWERING_LATER,
                **fields,
            )
        )


def test_only_the_newest_token_counts(database_url: str, queue: Queue) -> None:
    held = Held(database_url, queue)
    tokens = {held.added.id: held.token}
    stale = {held.added.id: held.token - 1}

    assert held.do(renew_leases, TABLE, stale) == {}
    assert held.settle(held.token - 1) == set()
    held.do(release_leases, TABLE, stale)
    assert queue.accepted()[held.added.id]["lease_expires_at"] is not None
    assert queue.attempts(held.added) == []

    assert held.do(renew_leases, TABLE, tokens) == {held.added.id: True}
    assert held.settle(held.token) == {held.added.id}
    assert queue.accepted() == {}
    assert held.settle(held.token) == {held.added.id}
    assert len(queue.attempts(held.added)) == 1


def test_what_is_released_can_be_claimed_at_once(database_url: str, queue: Queue) -> None:
    held = Held(database_url, queue)
    assert held.do(claim_accepted_events, "meta_capi", Selection(LONG_AGO), 10) == []

    held.do(release_leases, TABLE, {held.added.id: held.token})

    (again,) = held.do(claim_accepted_events, "meta_capi", Selection(LONG_AGO), 10)
    assert again["lease_token"] > held.token
    assert queue.accepted()[held.added.id]["lease_losses"] == 0


def test_the_backlog_counts_what_waits_and_is_not_held(database_url: str, queue: Queue) -> None:
    held = Held(database_url, queue)
    queue.accept(2)
    queue.accept(1, destination="google_ec", delivered_at=LONG_AGO)

    counted = read_accepted_backlog(queue.connection, ["meta_capi", "google_ec", "gtm_server"])

    assert counted == {"meta_capi": 2, "google_ec": 0, "gtm_server": 0}
    held.do(forget_old_deliveries, 1)
    assert len(queue.accepted()) == 3
