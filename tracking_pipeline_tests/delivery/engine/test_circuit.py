"""Throttles and pauses: the whole destination waits, nothing is spent, and it goes on by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, wait_until
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

BAD_TOKEN = {"status": 400, "code": 190}
# What a claim and a settle that spends nothing may leave behind.
_BOOKKEEPING = {"lease_token", "updated_at"}


def _unspent(queue: Queue, rows: list[Added]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in queue.row(row).items() if name not in _BOOKKEEPING}
        for row in rows
    ]


def _meta(runs: Runs, **request: Any) -> DestinationTotals:
    return runs.run(destinations=("meta_capi",), **request).by_destination["meta_capi"]


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        ({"status": 429, "code": 4, "retry_after": "120"}, 120),
        ({"status": 400, "code": 4}, 60),
        ({"status": 400, "code": 613, "retry_after": "90"}, 90),
    ],
)
def test_a_throttle_spends_nothing_and_makes_the_destination_wait(
    queue: Queue, runs: Runs, sandbox: Sandbox, step: Any, seconds: int
) -> None:
    rows = queue.add(4, retry_count=2, status="retrying", next_retry_at="2024-01-01")
    before = _unspent(queue, rows)
    sandbox.scripts.set(rows[0].sent_as, [step])

    totals = _meta(runs)

    assert (totals.state, totals.throttled, totals.processed) == ("throttled", 4, 0)
    assert _unspent(queue, rows) == before
    assert seconds - 5 < queue.state()["throttled_seconds"] <= seconds
    assert {attempt["outcome"] for row in rows for attempt in queue.attempts(row)} == {"throttled"}


def test_nothing_is_sent_before_a_throttle_is_over_whoever_asks(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    first, *_ = queue.add(3)
    sandbox.conditions["meta_capi"].throttle(1, retry_after="300")
    _meta(runs)

    for request in ({}, {"all_events": True}, {"event_id": first.event_id}):
        assert _meta(runs, **request).state == "throttled"
    assert len(sandbox.memory.requests) == 1

    queue.connection.execute("update tracking_destination_state set not_before = now()")
    assert _meta(runs).resolved == 3


def test_a_full_allowance_holds_back_the_next_request(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(6)
    runs.limits = in_requests_of(2)
    sandbox.conditions["meta_capi"].usage_percent = 100
    sandbox.conditions["meta_capi"].regain_minutes = 5

    totals = _meta(runs)

    assert (totals.state, totals.resolved, totals.throttled) == ("throttled", 2, 4)
    assert len(sandbox.memory.requests) == 1
    assert 290 < queue.state()["throttled_seconds"] <= 300
    assert queue.statuses() == {"resolved": 2, "pending": 4}


def test_a_shorter_throttle_never_shortens_a_longer_one(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(2)
    runs.limits = in_requests_of(1, in_flight=2)
    for row, seconds in zip(rows, ("600", "10"), strict=True):
        sandbox.scripts.set(
            row.sent_as, [{"status": 429, "retry_after": seconds, "delay_seconds": 0.5}]
        )

    _meta(runs)

    assert len(sandbox.memory.requests) == 2
    assert queue.state()["throttled_seconds"] > 500


def test_a_throttle_that_another_worker_was_told_stops_this_one(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(300)
    runs.limits = in_requests_of(1)
    sandbox.conditions["meta_capi"].latency_seconds = 0.02

    with runs.under_way() as run:
        wait_until(lambda: len(sandbox.memory.requests) >= 3)
        queue.connection.execute(
            "insert into tracking_destination_state (destination, not_before)"
            " values ('meta_capi', now() + interval '5 minutes')"
        )

    totals = run.result().by_destination["meta_capi"]
    assert totals.state == "throttled"
    assert len(sandbox.memory.requests) < 300
    assert totals.throttled == 300 - totals.resolved > 0


def test_a_bad_token_pauses_the_destination_with_one_alert(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(8)
    before = _unspent(queue, rows)
    runs.limits = in_requests_of(2, in_flight=4)
    sandbox.conditions["meta_capi"].latency_seconds = 0.1
    sandbox.conditions["meta_capi"].outage(BAD_TOKEN)

    totals = _meta(runs)

    assert (totals.state, totals.paused, totals.processed) == ("paused", 8, 0)
    assert _unspent(queue, rows) == before
    state = queue.state()
    assert (state["state"], state["probe_interval_seconds"]) == ("open", 60)
    assert "190" in state["reason"]
    (alert,) = queue.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("destination_paused", "critical")
    assert "meta_capi" in alert["message"]


def test_nothing_is_sent_to_a_paused_destination_before_its_probe(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(3)
    sandbox.conditions["meta_capi"].outage(BAD_TOKEN)
    _meta(runs)

    totals = _meta(runs)

    assert (totals.state, totals.paused) == ("paused", 3)
    assert len(sandbox.memory.requests) == 1
    assert len(queue.alerts()) == 1


@pytest.fixture
def paused(queue: Queue, runs: Runs, sandbox: Sandbox) -> list[Added]:
    """Twenty events of a destination that was paused by a bad token, one request ago."""
    rows = queue.add(20)
    sandbox.conditions["meta_capi"].outage(BAD_TOKEN)
    _meta(runs)
    assert len(sandbox.memory.requests) == 1
    return rows


def _let_the_probe_come(queue: Queue) -> None:
    queue.connection.execute("update tracking_destination_state set probe_at = now()")


def test_a_probe_that_succeeds_drains_the_rest_in_the_same_run(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    sandbox.conditions["meta_capi"].outage(None)
    _let_the_probe_come(queue)

    totals = _meta(runs)

    assert (totals.state, totals.resolved) == ("ok", len(paused))
    assert [len(request.event_ids) for request in sandbox.memory.requests[1:]] == [1, 19]
    state = queue.state()
    assert (state["state"], state["reason"], state["probe_at"]) == ("closed", None, None)
    (alert,) = queue.alerts()
    assert alert["resolved_at"] is not None


def test_a_probe_that_fails_sends_one_event_and_doubles_the_wait(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    for interval in (120, 240, 480, 960, 1800, 1800):
        _let_the_probe_come(queue)
        assert _meta(runs).state == "paused"
        state = queue.state()
        assert (state["state"], state["probe_interval_seconds"]) == ("open", interval)
        assert interval - 5 < state["probe_in_seconds"] <= interval

    assert [len(request.event_ids) for request in sandbox.memory.requests[1:]] == [1] * 6
    assert queue.one("select sum(retry_count) from tracking_failed_events") == 0
    assert len(queue.alerts()) == 1


def test_a_probe_without_an_answer_about_events_proves_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    sandbox.conditions["meta_capi"].outage(503)
    _let_the_probe_come(queue)

    totals = _meta(runs)

    assert (totals.state, totals.failed) == ("paused", 0)
    assert [len(request.event_ids) for request in sandbox.memory.requests[1:]] == [1]
    state = queue.state()
    assert (state["state"], state["probe_interval_seconds"]) == ("open", 120)
    assert "190" in state["reason"]
    assert queue.alerts()[0]["resolved_at"] is None


def test_a_probe_whose_event_is_refused_proves_that_events_get_in(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    sandbox.conditions["meta_capi"].outage(None)
    first = min(paused, key=lambda row: row.id)
    sandbox.scripts.set(first.sent_as, ["bad"])
    _let_the_probe_come(queue)

    totals = _meta(runs)

    assert (totals.state, totals.resolved, totals.dead_lettered) == ("ok", 19, 1)


@pytest.mark.parametrize("by_id", [True, False])
def test_an_operator_may_ask_for_one_probe_at_once(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added], by_id: bool
) -> None:
    request = {"event_id": paused[0].id} if by_id else {"all_events": True}

    assert _meta(runs, **request).state == "paused"

    assert [len(each.event_ids) for each in sandbox.memory.requests[1:]] == [1]
    assert queue.state()["probe_interval_seconds"] == 120
    sandbox.conditions["meta_capi"].outage(None)
    assert _meta(runs, **request).resolved == (1 if by_id else len(paused))


def test_a_probe_that_finds_no_event_to_send_leaves_the_pause_as_it_is(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    queue.connection.execute("update tracking_failed_events set next_retry_at = '2100-01-01'")
    _let_the_probe_come(queue)

    _meta(runs)

    assert len(sandbox.memory.requests) == 1
    assert queue.state()["state"] != "closed"
    assert queue.alerts()[0]["resolved_at"] is None


def test_a_probe_waits_for_the_end_of_a_throttle_whoever_asks(
    queue: Queue, runs: Runs, sandbox: Sandbox, paused: list[Added]
) -> None:
    queue.connection.execute(
        "update tracking_destination_state"
        " set not_before = now() + interval '5 minutes', probe_at = now()"
    )

    assert _meta(runs).state == "throttled"
    assert _meta(runs, all_events=True).state == "throttled"

    assert len(sandbox.memory.requests) == 1


def test_a_pause_of_one_destination_does_not_hold_up_the_other(
    queue: Queue, runs: Runs, paused: list[Added]
) -> None:
    ledger_rows = queue.add(5, destination="supabase")

    totals = runs.run()

    assert totals.by_destination["supabase"].resolved == len(ledger_rows)
    assert totals.by_destination["meta_capi"].paused == len(paused)


def test_a_run_goes_on_when_the_record_of_a_pause_cannot_be_written(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(4)
    before = _unspent(queue, rows)
    runs.limits = in_requests_of(2)
    sandbox.conditions["meta_capi"].outage(BAD_TOKEN)
    queue.connection.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception using errcode = '57P03'; end $$;"
        " create trigger refuse before insert on tracking_destination_state"
        " for each row execute function refuse()"
    )

    totals = _meta(runs)

    assert (totals.state, totals.paused) == ("paused", 4)
    assert _unspent(queue, rows) == before
    assert len(sandbox.memory.requests) == 1
