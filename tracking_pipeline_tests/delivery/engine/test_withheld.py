"""What is withheld is settled and is no failure; what is postponed waits for its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.engine.outcomes import Fault, Postponed, Withheld, withhold
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.delivery.replay.service import replay_dead_letters
from tracking_pipeline.delivery.replay.totals import ReplayRequest, ReplayTotals
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.attempts import read_last_errors
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.dead_letters import DeadLetters, read_groups
from tracking_pipeline.store.failed_events import Settlement
from tracking_pipeline.store.first_attempts import settle_first_attempts
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.delivery.keeping_back import Kept
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of
from tracking_pipeline_tests.store.statements import run_statement

DENIED = withhold("consent denied", Failure.CONSENT_DENIED)
TOO_OLD = Withheld(
    "expired at arrival", Fault("it was 9 days old when it came", Failure.EVENT_EXPIRED_AT_ARRIVAL)
)
TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def kept(runs: Runs) -> Kept:
    told = Kept()
    runs.wrap = told.wrap
    return told


# --- withheld ---


def test_a_withheld_event_is_resolved_with_its_reason_and_keeps_the_words_of_its_failure(
    queue: Queue, runs: Runs, kept: Kept, sandbox: Sandbox
) -> None:
    added = queue.add_one(
        error_message="it failed",
        error_code="131",
        http_status=400,
        status="retrying",
        retry_count=2,
        next_retry_at=LONG_AGO,
    )
    kept.say(DENIED, [added])

    runs.run()

    row = queue.row(added)
    assert (row["status"], row["resolved_by"]) == ("resolved", "withheld")
    assert row["withheld_reason"] == "consent denied"
    assert row["resolved_at"] == row["updated_at"] > row["created_at"]
    assert row["dead_letter_reason"] is row["next_retry_at"] is row["lease_expires_at"] is None
    assert row["retry_count"] == 2
    assert (row["error_message"], row["error_code"], row["http_status"]) == (
        "it failed",
        "131",
        400,
    )
    assert not sandbox.memory.requests


def test_a_withheld_event_leaves_one_attempt_without_a_request(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    denied, old = queue.add(2, retry_count=1)
    kept.say(DENIED, [denied])
    kept.say(TOO_OLD, [old])

    runs.run()

    (attempt,) = queue.attempts(denied)
    assert (attempt["outcome"], attempt["attempt"], attempt["requests"]) == ("withheld", 2, 0)
    assert attempt["error_message"] == "consent denied"
    assert attempt["error_code"] is attempt["http_status"] is None
    # A fault that says more than the reason is what the log keeps.
    (attempt,) = queue.attempts(old)
    assert attempt["error_message"] == "it was 9 days old when it came"
    assert queue.row(old)["withheld_reason"] == "expired at arrival"


def test_withheld_events_are_counted_apart_by_destination_and_reason(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    queue.add(2)
    kept.say(DENIED, queue.add(3))
    kept.say(TOO_OLD, queue.add(1))
    kept.say(DENIED, queue.accept(1))
    kept.say(DENIED, queue.add(1, destination="supabase"))

    totals = runs.run()

    assert (totals.total("processed"), totals.total("resolved")) == (2, 2)
    assert (totals.total("withheld"), totals.total("postponed")) == (6, 0)
    assert totals.total("failed") == totals.total("dead_lettered") == 0
    assert totals.errors == ()
    answer = totals.as_json()
    assert answer["withheld"] == 6
    assert answer["by_destination"]["meta_capi"]["withheld"] == 5
    assert answer["withheld_by_reason"] == [
        {"destination": "meta_capi", "reason": "consent denied", "count": 4},
        {"destination": "meta_capi", "reason": "expired at arrival", "count": 1},
        {"destination": "supabase", "reason": "consent denied", "count": 1},
    ]


def test_what_was_withheld_is_never_taken_again(queue: Queue, runs: Runs, kept: Kept) -> None:
    added = queue.add_one()
    kept.say(DENIED, [added])
    runs.run()
    kept.forget()

    for options in ({}, {"all_events": True}, {"event_id": added.id}):
        assert runs.run(**options).total("processed") == 0

    assert len(queue.attempts(added)) == 1


def test_a_row_that_somebody_puts_back_by_hand_is_an_ordinary_one_again(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added = queue.add_one()
    kept.say(DENIED, [added])
    runs.run()
    kept.forget()
    queue.connection.execute("update tracking_failed_events set status = 'pending'")

    runs.run()

    row = queue.row(added)
    assert (row["status"], row["resolved_by"]) == ("resolved", "tracking_pipeline")
    assert row["withheld_reason"] is None


def test_an_accepted_event_that_is_withheld_leaves_its_trace_among_the_failed_events(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added = queue.accept_one(created_at=LONG_AGO)
    before = queue.accepted()[added.id]
    kept.say(DENIED, [added])

    totals = runs.run()

    assert queue.accepted() == {}
    row = queue.row(added)
    assert (row["status"], row["resolved_by"]) == ("resolved", "withheld")
    assert (row["withheld_reason"], row["error_message"]) == ("consent denied", "consent denied")
    assert row["resolved_at"] is not None
    assert row["next_retry_at"] is row["dead_letter_reason"] is row["error_code"] is None
    assert (row["retry_count"], row["created_at"]) == (0, LONG_AGO)
    assert row["event_payload"] == before["event_payload"]
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["attempt"], attempt["requests"]) == ("withheld", 1, 0)
    assert (totals.total("withheld"), totals.total("accepted_delivered")) == (1, 0)
    assert totals.total("accepted_waiting") == 0


def test_a_withheld_event_for_google_does_not_wait_for_googles_judgement(
    queue: Queue, database_url: str
) -> None:
    added = queue.accept_one(destination="google_ec")
    settlement = Settlement(
        added.id,
        added.event_id,
        0,
        "withheld",
        1,
        status="resolved",
        withheld_reason="consent denied",
        error_message="consent denied",
        requests=0,
    )

    done = run_statement(
        database_url,
        lambda connection: settle_first_attempts(
            connection, [settlement], worker="w", run_id=None, answering_later=()
        ),
    )

    assert done == {added.id}
    assert queue.accepted() == {}
    assert queue.row(added)["resolved_by"] == "withheld"


# --- postponed ---


def test_a_postponed_event_waits_unspent_until_its_time(
    queue: Queue, runs: Runs, kept: Kept, sandbox: Sandbox
) -> None:
    added = queue.add_one(status="retrying", retry_count=3, next_retry_at=LONG_AGO)
    before = queue.row(added)
    kept.say(Postponed(TOMORROW), [added])

    totals = runs.run()

    row = queue.row(added)
    changed = {name for name, value in row.items() if value != before[name]}
    assert changed == {"next_retry_at", "updated_at", "lease_token"}
    assert row["next_retry_at"] == TOMORROW
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["attempt"], attempt["requests"]) == ("postponed", 4, 0)
    assert attempt["error_message"] == "event_time lies in the future"
    assert (totals.total("postponed"), totals.total("processed")) == (1, 0)
    assert totals.as_json()["postponed"] == 1
    assert totals.errors == ()
    assert not sandbox.memory.requests
    assert runs.run().total("postponed") == 0


def test_a_postponed_event_goes_out_when_its_time_has_come(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added = queue.add_one(max_retries=1)
    kept.say(Postponed(TOMORROW), [added])
    runs.run()
    kept.forget()
    queue.connection.execute("update tracking_failed_events set next_retry_at = now()")

    runs.run()

    assert queue.row(added)["status"] == "resolved"
    assert [each["outcome"] for each in queue.attempts(added)] == ["postponed", "delivered"]


def test_a_time_that_has_come_meanwhile_is_not_before_now_and_ends_the_run(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added = queue.add_one()
    accepted = queue.accept_one()
    kept.say(Postponed(LONG_AGO), [added, accepted])

    runs.run()

    for row in map(queue.row, (added, accepted)):
        assert row["next_retry_at"] >= row["updated_at"]
    assert [len(queue.attempts(row)) for row in (added, accepted)] == [1, 1]


def test_a_run_that_takes_all_asks_once_for_a_postponed_event(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added, accepted = queue.add_one(next_retry_at=TOMORROW), queue.accept_one()
    kept.say(Postponed(TOMORROW), [added, accepted])

    assert runs.run(all_events=True).total("postponed") == 2
    assert sorted(kept.prepared) == sorted([added.id, accepted.id])
    assert runs.run(event_id=accepted.event_id).total("postponed") == 1


def test_an_accepted_event_that_is_postponed_waits_among_the_failed_events_unspent(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    added = queue.accept_one()
    kept.say(Postponed(TOMORROW), [added])

    totals = runs.run()

    assert queue.accepted() == {}
    row = queue.row(added)
    assert (row["status"], row["retry_count"], row["max_retries"]) == ("pending", 0, 5)
    assert (row["next_retry_at"], row["event_id"]) == (TOMORROW, added.event_id)
    assert row["error_message"] == "event_time lies in the future"
    assert row["error_code"] == "postponed"
    assert row["resolved_at"] is row["withheld_reason"] is row["dead_letter_reason"] is None
    assert (totals.total("postponed"), totals.total("failed")) == (1, 0)


# --- what neither of them may move ---


def test_withheld_and_postponed_events_open_no_breaker(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    kept.say(DENIED, queue.add(60))
    kept.say(Postponed(TOMORROW), queue.add(60))

    totals = runs.run()

    assert totals.by_destination["meta_capi"].state == "ok"
    assert queue.read("select * from tracking_destination_state where state <> 'closed'") == []
    assert queue.alerts() == []


def test_a_probe_goes_past_what_is_not_sent_to_an_event_that_is(
    queue: Queue, runs: Runs, kept: Kept, sandbox: Sandbox
) -> None:
    kept.say(DENIED, queue.add(7))
    kept.say(Postponed(TOMORROW), queue.add(7))
    good = queue.add_one()
    _pause(queue)

    totals = runs.run()

    assert totals.by_destination["meta_capi"].state == "ok"
    assert sandbox.memory.accepted_ids == {good.sent_as}
    assert queue.state()["state"] == "closed"
    assert (totals.total("withheld"), totals.total("postponed")) == (7, 7)


def test_what_is_not_sent_proves_nothing_of_a_paused_destination(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    kept.say(DENIED, queue.add(3))
    _pause(queue)

    runs.run()

    assert queue.state()["state"] != "closed"


def _pause(queue: Queue) -> None:
    queue.connection.execute(
        "insert into tracking_destination_state (destination, state, probe_at, reason)"
        " values ('meta_capi', 'open', now(), 'bad token')"
    )


def test_refusals_among_withheld_events_are_still_told_from_a_destination_that_refuses_all(
    queue: Queue, runs: Runs, kept: Kept, sandbox: Sandbox
) -> None:
    kept.say(DENIED, queue.add(40))
    rows = queue.add(19)
    runs.limits = in_requests_of(1)
    for row in rows:
        sandbox.scripts.set(row.sent_as, [{"status": 400, "code": 100, "subcode": 2804019}] * 3)

    totals = runs.run()

    # One refusal less than what pauses a destination: the 40 are none.
    assert totals.by_destination["meta_capi"].state == "ok"
    assert (totals.total("withheld"), totals.total("dead_lettered")) == (40, 19)


def test_the_last_error_of_a_destination_is_one_that_failed(
    queue: Queue, runs: Runs, kept: Kept, sandbox: Sandbox
) -> None:
    failing = queue.add_one()
    sandbox.scripts.set(failing.sent_as, [{"status": 503, "code": 2, "message": "Try later"}])
    runs.run()
    kept.say(DENIED, queue.add(2))
    kept.say(Postponed(TOMORROW), queue.add(2))
    runs.run()

    with psycopg.connect(_url(queue)) as connection:
        last = read_last_errors(connection, ["meta_capi", "supabase"])

    assert {name: each.message for name, each in last.items()} == {"meta_capi": "Try later"}


def _url(queue: Queue) -> str:
    info = queue.connection.info
    return psycopg.conninfo.make_conninfo(
        **{**info.get_parameters(), "password": info.password or ""}
    )


# --- replay ---


class Replays:
    """Replays to Meta at the sandbox, wrapped as the test's runs are."""

    def __init__(self, database_url: str, sandbox: Sandbox, kept: Kept) -> None:
        self._url = database_url
        self._account = MetaAccount("1234567890", "token-of-a-test", url=sandbox.meta_url)
        self._kept = kept

    def replay(self, *, dry_run: bool = False, canaries: int = 3) -> ReplayTotals:
        request = ReplayRequest(dry_run=dry_run, canaries=canaries, events_per_minute=60.0)
        return asyncio.run(replay_dead_letters(self._url, self._make, request))

    def _make(
        self, client: DeliveryClient, pool: AsyncPool
    ) -> Sequence[Destination | NotConfigured]:
        return [self._kept.wrap(MetaCapi(self._account, client))]


@pytest.fixture
def replays(database_url: str, sandbox: Sandbox, kept: Kept) -> Replays:
    return Replays(database_url, sandbox, kept)


DEAD = {"status": "dead_letter", "dead_letter_reason": "max_retries"}


def test_a_forecast_tells_what_would_be_withheld_and_what_would_wait(
    queue: Queue, replays: Replays, kept: Kept
) -> None:
    queue.add(1, **DEAD)
    kept.say(DENIED, queue.add(2, **DEAD))
    kept.say(Postponed(TOMORROW), queue.add(3, **DEAD))

    totals = replays.replay(dry_run=True)

    assert {name: totals.total(name) for name in ("sent", "withheld", "waits", "refused")} == {
        "sent": 1,
        "withheld": 2,
        "waits": 3,
        "refused": 0,
    }
    answer = totals.as_json()
    assert answer["refusals"] == []
    assert answer["withheld_by_reason"] == [
        {"destination": "meta_capi", "reason": "consent denied", "count": 2}
    ]


def test_withheld_canaries_are_no_delivery_and_hold_nothing_back(
    queue: Queue, replays: Replays, kept: Kept
) -> None:
    rows = queue.add(5, **DEAD)
    kept.say(DENIED, rows)

    totals = replays.replay(canaries=2)

    (canary,) = totals.canaries
    assert (canary.withheld, canary.delivered, canary.refused, canary.undecided) == (2, 0, 0, 0)
    assert not canary.holds_back
    assert totals.total("replayed") == 5


def test_an_event_that_was_withheld_did_not_arrive_another_way(
    queue: Queue, runs: Runs, kept: Kept
) -> None:
    withheld = queue.add_one()
    kept.say(DENIED, [withheld])
    runs.run()
    queue.add(1, **DEAD)
    queue.connection.execute(
        "update tracking_failed_events set event_id = %s", (withheld.event_id,)
    )

    (group,) = read_groups(queue.connection, DeadLetters())

    assert (group.matched, group.delivered) == (1, 0)


# --- once an order ---


def order(order_id: str) -> dict[str, Any]:
    return payload(event_name="Purchase", order_id=order_id, value=5, currency="EUR")


def test_an_order_is_sent_once_however_many_event_ids_it_has(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    runs.limits = replace(in_requests_of(10), order_window=timedelta(days=30))
    bought = {"event_name": "Purchase", "created_at": datetime.now(timezone.utc)}
    first = queue.add_one(event_payload=order("A-1"), **bought)
    of_another = queue.add_one(event_payload=order("A-2"), **bought)
    runs.run()
    second = queue.add_one(event_payload=order("A-1"), event_name="Purchase")
    lead = queue.add_one(event_payload=order("A-1"), event_name="Lead")

    totals = runs.run()

    assert totals.by_destination["meta_capi"].withheld == 1
    assert queue.row(second)["withheld_reason"] == "the order came under another event id before"
    assert queue.row(second)["failure_code"] == Failure.ORDER_REPEATED.code
    for sent in (first, of_another, lead):
        assert queue.row(sent)["withheld_reason"] is None
        assert queue.row(sent)["status"] == "resolved"


def test_an_order_whose_first_event_was_given_up_goes_out_with_the_second(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    runs.limits = replace(in_requests_of(10), order_window=timedelta(days=30))
    first = queue.add_one(event_payload=order("A-1"), event_name="Purchase")
    runs.run()
    queue.read(
        "update tracking_failed_events set status = 'dead_letter' where id = %s returning id",
        first.id,
    )
    second = queue.add_one(event_payload=order("A-1"), event_name="Purchase")

    assert not runs.run().withheld
    assert queue.row(second)["status"] == "resolved"


def test_without_the_setting_both_are_sent(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    queue.add(2, event_payload=order("A-1"), event_name="Purchase")
    assert runs.run().by_destination["meta_capi"].resolved == 2
