"""A site of few events, one request a run: an outage or a wrong configuration costs it no event."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.delivery.engine.breaker import is_away, refuses_all
from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs


@pytest.mark.parametrize(
    ("runs", "several", "away"), [(2, True, False), (3, True, True), (9, False, False)]
)
def test_it_takes_three_runs_and_several_events(runs: int, several: bool, away: bool) -> None:
    assert is_away(runs, several_events=several) is away


@pytest.mark.parametrize(
    ("runs", "events", "refuses"), [(1, 9, False), (2, 2, False), (2, 3, True), (3, 3, True)]
)
def test_it_takes_two_runs_and_three_events(runs: int, events: int, refuses: bool) -> None:
    assert refuses_all(runs, events) is refuses


def run(queue: Queue, runs: Runs, *, minutes_later: int = 10) -> DestinationTotals:
    """One run, so much later than the last one; what waits for another try is due again."""
    for column in ("window_started_at", "failed_run_at", "failed_since", "refused_run_at"):
        queue.connection.execute(
            f"update tracking_destination_state set {column} = {column}"
            f" - interval '{minutes_later} minutes'".encode()
        )
    queue.make_due()
    return runs.run(destinations=("meta_capi",)).by_destination["meta_capi"]


def probe(queue: Queue, runs: Runs) -> DestinationTotals:
    queue.connection.execute("update tracking_destination_state set probe_at = now()")
    return run(queue, runs)


def spent(queue: Queue) -> list[int]:
    rows = queue.read("select retry_count from tracking_failed_events order by retry_count")
    return [row["retry_count"] for row in rows]


def refuse(sandbox: Sandbox, rows: Any) -> None:
    for row in rows:
        sandbox.scripts.set(row.sent_as, ["bad"] * 9)


def test_an_outage_of_hours_costs_no_event_more_than_its_first_tries(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(30)
    sandbox.conditions["meta_capi"].outage(503)

    assert [run(queue, runs).state for _ in range(3)] == ["ok", "ok", "paused"]
    assert queue.state()["reason"] == "nothing has got through in the last 3 runs"
    assert [alert["alert_type"] for alert in queue.alerts()] == ["destination_paused"]
    for _ in range(12):
        totals = probe(queue, runs)
        assert (totals.state, totals.requests) == ("paused", 1)
        assert totals.detail == "nothing has got through in the last 3 runs"
    assert spent(queue) == [3] * 30

    sandbox.conditions["meta_capi"].outage(None)
    assert probe(queue, runs).resolved == 30
    assert queue.alerts()[0]["resolved_at"] is not None
    assert queue.state()["failed_runs"] == 0


def test_events_that_come_one_by_one_in_an_outage_tell_of_it_too(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    sandbox.conditions["meta_capi"].outage(503)
    states = []
    for _ in range(3):
        queue.add_one()
        states.append(run(queue, runs).state)

    assert states == ["ok", "ok", "paused"]
    assert max(spent(queue)) <= 3


def test_runs_that_are_close_together_count_as_one(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(3)
    sandbox.conditions["meta_capi"].outage(503)

    assert {run(queue, runs, minutes_later=0).state for _ in range(4)} == {"ok"}
    assert queue.state()["failed_runs"] == 1


def test_one_success_begins_the_count_anew(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    for _ in range(2):
        queue.add(2)
        sandbox.conditions["meta_capi"].outage(503)
        assert [run(queue, runs).state for _ in range(2)] == ["ok", "ok"]
        sandbox.conditions["meta_capi"].outage(None)
        assert run(queue, runs).resolved == 2
        assert queue.state()["failed_runs"] == 0


def test_an_event_that_fails_all_by_itself_ends_after_its_five_tries(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    poison = queue.add_one()
    sandbox.scripts.set(poison.sent_as, [503] * 9)

    assert [run(queue, runs).state for _ in range(5)] == ["ok"] * 5

    assert queue.row(poison)["dead_letter_reason"] == "max_retries"
    assert queue.alerts() == []


def test_an_event_that_fails_while_others_get_through_closes_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    poison = queue.add_one()
    sandbox.scripts.set(poison.sent_as, [503] * 9)
    run(queue, runs)
    for _ in range(4):
        # By itself, as a run a little later: in one request with it they would fail with it.
        good = queue.add_one(next_retry_at="2100-01-01")
        assert run(queue, runs).state == "ok"
        runs.run(event_id=good.id)

    assert queue.row(poison)["dead_letter_reason"] == "max_retries"
    assert queue.statuses() == {"dead_letter": 1, "resolved": 4}


def test_of_a_paused_destination_the_last_event_spends_its_tries(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    poison, other = queue.add(2)
    sandbox.conditions["meta_capi"].outage(503)
    assert [run(queue, runs).state for _ in range(3)] == ["ok", "ok", "paused"]
    assert probe(queue, runs).state == "paused"
    assert spent(queue) == [3, 3]
    queue.connection.execute(
        "update tracking_failed_events set status = 'resolved' where id = %s", (other.id,)
    )

    assert [probe(queue, runs).state for _ in range(2)] == ["paused", "paused"]

    assert queue.row(poison)["dead_letter_reason"] == "max_retries"
    sandbox.conditions["meta_capi"].outage(None)
    queue.add_one()
    assert probe(queue, runs).resolved == 1


def test_an_event_that_always_fails_does_not_keep_its_destination_closed(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(2)
    for row in rows:
        sandbox.scripts.set(row.sent_as, [503] * 90)
    assert [run(queue, runs).state for _ in range(3)] == ["ok", "ok", "paused"]
    good = queue.add_one()

    # A probe takes any of the events: not in sixty tries the same of three.
    for _ in range(60):
        if queue.row(good)["status"] == "resolved":
            break
        probe(queue, runs)

    assert queue.row(good)["status"] == "resolved"
    assert queue.state()["state"] == "closed"


def test_a_few_events_that_are_all_refused_for_one_reason_pause_their_destination(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    refuse(sandbox, queue.add(2))
    assert (run(queue, runs).state, queue.statuses()) == ("ok", {"dead_letter": 2})
    refuse(sandbox, queue.add(5))

    totals = run(queue, runs)

    assert (totals.state, totals.dead_lettered, totals.paused) == ("paused", 1, 4)
    assert totals.detail.startswith("it refuses every event: ")
    assert probe(queue, runs).dead_lettered == 0


def test_a_single_bad_event_is_a_dead_letter_and_pauses_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    bad = queue.add_one()
    refuse(sandbox, [bad])
    for _ in range(4):
        assert run(queue, runs).state == "ok"
        assert queue.row(bad)["status"] == "dead_letter"
        queue.connection.execute("update tracking_failed_events set status = 'pending'")

    assert queue.row(bad)["dead_letter_reason"] == "refused by Meta: 100"
    assert queue.state()["refused_events"] == 1


def test_an_accepted_event_begins_the_count_of_refused_ones_anew(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    for _ in range(3):
        refuse(sandbox, queue.add(2))
        assert run(queue, runs).state == "ok"
        queue.add_one()
        assert run(queue, runs).resolved == 1
        assert queue.state()["refused_events"] == 0

    assert queue.statuses() == {"dead_letter": 6, "resolved": 3}
