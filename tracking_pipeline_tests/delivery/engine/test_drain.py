"""What a run makes of each outcome, on a real queue and a real socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent
from tracking_pipeline.delivery.engine.prefetch import AHEAD, ClaimWindow
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline_tests.delivery.failed_event_queue import (
    Added,
    Queue,
    payload,
    sent_as,
    wait_until,
)
from tracking_pipeline_tests.delivery.runs import Runs, in_requests_of

LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)
FAR = datetime(2100, 1, 1, tzinfo=timezone.utc)


def test_a_delivered_event_is_resolved(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    added = queue.add_one(next_retry_at=LONG_AGO, retry_count=2, status="retrying")

    totals = runs.run()

    row = queue.row(added)
    assert (row["status"], row["resolved_by"]) == ("resolved", "tracking_pipeline")
    assert row["resolved_at"] == row["updated_at"] > row["created_at"]
    assert row["next_retry_at"] is row["lease_expires_at"] is None
    assert row["retry_count"] == 2
    assert sandbox.memory.accepted(added.sent_as) == 1
    assert not sandbox.memory.violations
    assert (totals.total("processed"), totals.total("resolved")) == (1, 1)


def test_each_attempt_leaves_one_row_of_its_own(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, [500, 200])

    runs.run()
    queue.make_due()
    runs.run()

    first, second = queue.attempts(added)
    assert (first["outcome"], first["attempt"], first["http_status"]) == ("retry", 1, 500)
    assert (second["outcome"], second["attempt"], second["http_status"]) == ("delivered", 2, 200)
    for attempt in (first, second):
        assert attempt["event_id"] == added.event_id
        assert attempt["destination"] == "meta_capi"
        assert attempt["run_id"] == "run-of-a-test"
        assert attempt["requests"] == 1
        assert attempt["duration_ms"] >= 0
    assert first["request_id"] != second["request_id"]
    assert first["lease_token"] < second["lease_token"]


def test_attempt_rows_cannot_be_changed(queue: Queue, runs: Runs) -> None:
    queue.add_one()
    runs.run()

    for statement in (
        b"update tracking_delivery_attempts set outcome = 'retry'",
        b"delete from tracking_delivery_attempts",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            queue.connection.execute(statement)


@pytest.mark.parametrize("max_retries", [1, 5, 7])
def test_each_rows_own_max_retries_counts(
    queue: Queue, runs: Runs, sandbox: Sandbox, max_retries: int
) -> None:
    added = queue.add_one(max_retries=max_retries)
    sandbox.conditions["meta_capi"].outage(500)

    for retry in range(1, max_retries):
        runs.run()
        row = queue.row(added)
        assert (row["status"], row["retry_count"]) == ("retrying", retry)
        _assert_waits(row, at_least_seconds=5 * 60 * 2**retry)
        queue.make_due()
    totals = runs.run()

    row = queue.row(added)
    assert (row["status"], row["retry_count"]) == ("dead_letter", max_retries)
    assert (row["dead_letter_reason"], row["next_retry_at"]) == ("max_retries", None)
    assert totals.total("dead_lettered") == 1
    assert len(queue.attempts(added)) == len(sandbox.memory.requests) == max_retries
    runs.run(all_events=True)
    assert len(sandbox.memory.requests) == max_retries


def test_a_destination_with_a_horizon_goes_on_until_the_row_is_as_old(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    now = datetime.now(timezone.utc)
    young, old = (
        queue.add_one(retry_count=4, created_at=now - timedelta(hours=hours)) for hours in (3, 46)
    )
    own = queue.add_one(retry_count=6, max_retries=7, created_at=now - timedelta(hours=3))
    runs.limits = replace(MetaCapi.limits, retry_horizon=timedelta(hours=48))
    sandbox.conditions["meta_capi"].outage(500)

    runs.run()

    row = queue.row(young)
    assert (row["status"], row["retry_count"]) == ("retrying", 5)
    _assert_waits(row, at_least_seconds=160 * 60)
    for each in (old, own):
        row = queue.row(each)
        assert (row["status"], row["dead_letter_reason"]) == ("dead_letter", "max_retries")
    queue.make_due()
    sandbox.conditions["meta_capi"].outage(None)
    runs.run()
    assert queue.row(young)["status"] == "resolved"


def test_a_failing_try_leaves_its_reason_on_the_row(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one(error_message="old", error_code="old", http_status=1)
    sandbox.scripts.set(added.sent_as, [{"status": 503, "code": 2, "message": "Try later"}])
    before = queue.one("select now()")

    totals = runs.run()

    row = queue.row(added)
    assert (row["error_message"], row["error_code"], row["http_status"]) == ("Try later", "2", 503)
    assert before < row["updated_at"] < queue.one("select now()")
    assert row["resolved_at"] is row["resolved_by"] is row["dead_letter_reason"] is None
    assert totals.total("failed") == 1
    assert [(error.outcome, error.count) for error in totals.errors] == [("retry", 1)]


def test_a_wait_is_never_shorter_than_a_retry_after(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, [{"status": 503, "code": 2, "retry_after": "7200"}])

    runs.run()

    _assert_waits(queue.row(added), at_least_seconds=7200)


def test_an_error_without_words_is_still_settled(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, [{"status": 500, "code": 1, "message": " \0 "}])

    runs.run()

    assert queue.row(added)["status"] == "retrying"
    assert queue.row(added)["error_message"]


@pytest.mark.parametrize("answer", ["reset", "late_reset", "html", "broken_json", 408, 503])
def test_a_doubtful_answer_is_tried_again(
    queue: Queue, runs: Runs, sandbox: Sandbox, answer: Any
) -> None:
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, [answer, 200])

    assert runs.run().total("failed") == 1
    queue.make_due()
    assert runs.run().total("resolved") == 1

    assert queue.row(added)["status"] == "resolved"
    assert sandbox.memory.requests_with(added.sent_as) == 2
    assert sandbox.memory.accepted_ids == {added.sent_as}


def test_a_poison_event_does_not_hold_up_its_batch(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(1_000)
    poison = rows[617]
    sandbox.scripts.set(poison.sent_as, ["bad"])

    totals = runs.run()

    assert queue.statuses() == {"resolved": 999, "dead_letter": 1}
    assert queue.row(poison)["dead_letter_reason"] == "refused by Meta: 100"
    assert len(sandbox.memory.requests) <= 1 + math.ceil(math.log2(1_000)) + 2
    assert totals.total("requests") == len(sandbox.memory.requests)
    assert all(sandbox.memory.accepted(row.sent_as) == 1 for row in rows if row is not poison)
    _assert_attempts_tell_every_request(queue, sandbox, rows)


def test_an_event_that_is_bad_for_ever_is_tried_once_only(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one()
    sandbox.scripts.set(added.sent_as, ["bad"])

    runs.run()
    runs.run(all_events=True)

    row = queue.row(added)
    assert (row["status"], row["retry_count"]) == ("dead_letter", 0)
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["requests"]) == ("rejected", 1)
    assert attempt["error_code"] == "100"


def test_what_can_never_be_accepted_costs_no_request(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    added = queue.add_one(event_payload={"event_name": "Lead"})

    runs.run()

    assert queue.row(added)["status"] == "dead_letter"
    assert queue.row(added)["dead_letter_reason"].startswith("missing user_data")
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["requests"], attempt["request_id"]) == ("rejected", 0, None)
    assert not sandbox.memory.requests


def test_attempts_tell_every_request_in_a_mixed_queue(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(60)
    runs.limits = in_requests_of(20, in_flight=3)
    scripts: dict[int, list[RawStep]] = {
        3: ["bad"],
        17: ["bad"],
        25: [500, 200],
        44: ["reset", 400],
    }
    for position, steps in scripts.items():
        sandbox.scripts.set(rows[position].sent_as, steps)

    # A fault meets whoever is in the same request, and who that is changes from run to run.
    for _ in range(4):
        queue.make_due()
        totals = runs.run()

    assert queue.statuses() == {"resolved": 57, "dead_letter": 3}
    assert totals.total("waiting") == 0
    _assert_attempts_tell_every_request(queue, sandbox, rows)
    assert {id for request in sandbox.memory.requests for id in request.event_ids} == sent_as(rows)


def test_events_that_are_not_due_wait(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    queue.add_one(next_retry_at=FAR, status="retrying")

    assert runs.run().total("processed") == 0
    assert not sandbox.memory.requests


def test_all_events_takes_those_that_are_not_due_each_once(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(6, next_retry_at=FAR, status="retrying", retry_count=1)
    runs.limits = in_requests_of(2)
    sandbox.conditions["meta_capi"].outage(500)

    totals = runs.run(all_events=True)

    assert totals.total("failed") == 6
    assert {sandbox.memory.requests_with(row.sent_as) for row in rows} == {1}
    assert {queue.row(row)["retry_count"] for row in rows} == {2}
    assert runs.run(all_events=True).total("failed") == 6


@pytest.mark.parametrize("which", ["id", "event_id"])
def test_one_event_is_taken_by_either_of_its_ids(
    queue: Queue, runs: Runs, sandbox: Sandbox, which: str
) -> None:
    wanted, other = queue.add(2, next_retry_at=FAR, status="retrying")

    totals = runs.run(event_id=getattr(wanted, which))

    assert totals.total("resolved") == 1
    assert queue.row(wanted)["status"] == "resolved"
    assert queue.row(other)["status"] == "retrying"


def test_an_event_id_that_nobody_has_takes_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add_one()

    assert runs.run(event_id=uuid4()).total("processed") == 0
    assert not sandbox.memory.requests


def test_a_dry_run_counts_and_touches_nothing(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    added = queue.add(3)[0]
    queue.add_one(next_retry_at=FAR, status="retrying")
    before = queue.row(added)

    totals = runs.run(dry_run=True)

    assert totals.by_destination["meta_capi"].waiting == 3
    assert runs.run(dry_run=True, all_events=True).by_destination["meta_capi"].waiting == 4
    assert queue.row(added) == before
    assert not sandbox.memory.requests


def test_only_the_wanted_destination_is_drained(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    queue.add_one(destination="meta_capi")
    ledger_row = queue.add_one(destination="supabase")

    totals = runs.run(destinations=("supabase",))

    assert list(totals.by_destination) == ["supabase"]
    assert queue.row(ledger_row)["status"] == "resolved"
    assert not sandbox.memory.requests


def test_a_dead_destination_does_not_hold_up_the_other(
    queue: Queue, runs: Runs, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking_pipeline.http_client.TIMEOUT_SECONDS", 2.0)
    queue.add(2, destination="meta_capi")
    ledger_rows = queue.add(700, destination="supabase")
    sandbox.conditions["meta_capi"].outage("timeout")

    totals = runs.run()

    assert totals.by_destination["supabase"].resolved == len(ledger_rows)
    assert totals.by_destination["meta_capi"].failed == 2
    meta_settled = queue.one(
        "select min(attempted_at) from tracking_delivery_attempts where destination = 'meta_capi'"
    )
    ledger_settled = queue.one(
        "select max(attempted_at) from tracking_delivery_attempts where destination = 'supabase'"
    )
    assert ledger_settled < meta_settled


class _Failing:
    """A destination with a bug: it raises where the protocol says that it never does."""

    def __init__(
        self,
        real: Destination,
        *,
        prepare: UUID | None = None,
        sends: int = 0,
        error: Exception | None = None,
    ) -> None:
        self._real = real
        self._error = error or ZeroDivisionError()
        self.name = real.name
        self.limits = real.limits
        self._prepare = prepare
        self._sends = sends

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        if event.id == self._prepare:
            raise self._error
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        if self._sends > 0:
            self._sends -= 1
            raise ZeroDivisionError
        return await self._real.send(batch, now)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError(), "cannot be prepared: ZeroDivisionError"),
        # orjson raises a plain TypeError for a depth that it cannot write; a bug's is no depth.
        (TypeError("a bug"), "cannot be prepared: TypeError"),
        (TypeError("Recursion limit reached"), "event_payload is nested too deeply"),
        (RecursionError(), "event_payload is nested too deeply"),
    ],
)
def test_a_bug_in_reading_one_event_parks_it_and_spares_its_mates(
    queue: Queue, runs: Runs, error: Exception, reason: str
) -> None:
    rows = queue.add(10)
    runs.wrap = lambda real: _Failing(real, prepare=rows[4].id, error=error)

    runs.run()

    assert queue.statuses() == {"resolved": 9, "dead_letter": 1}
    assert queue.row(rows[4])["dead_letter_reason"] == reason


def test_a_bug_in_sending_is_a_retry_and_loses_nothing(queue: Queue, runs: Runs) -> None:
    rows = queue.add(10)
    runs.limits = in_requests_of(5)
    runs.wrap = lambda real: _Failing(real, sends=1)

    totals = runs.run()

    assert queue.statuses() == {"resolved": 5, "retrying": 5}
    assert totals.total("failed") == 5
    assert {row["error_code"] for row in map(queue.row, rows)} == {None, "ZeroDivisionError"}


class _Watching:
    """Looks at the queue each time that a request starts."""

    def __init__(self, real: Destination, queue: Queue, seen: list[int]) -> None:
        self._real = real
        self.name = real.name
        self.limits = real.limits
        self._queue = queue
        self._seen = seen

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        reply = await self._real.send(batch, now)
        self._seen.append(self._queue.leased())
        return reply


def test_at_most_two_requests_worth_is_claimed_ahead(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(200)
    runs.limits = in_requests_of(10, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = 0.1
    seen: list[int] = []
    runs.wrap = lambda real: _Watching(real, queue, seen)

    runs.run(destinations=("meta_capi",))

    assert queue.statuses() == {"resolved": 200}
    assert 20 < max(seen) <= 10 * (2 + 2)


class _CountingInFlight:
    """Knows the most requests that were under way at once."""

    def __init__(self, real: Destination) -> None:
        self._real = real
        self.name = real.name
        self.limits = real.limits
        self._now = 0
        self.most = 0

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        self._now += 1
        self.most = max(self.most, self._now)
        reply = await self._real.send(batch, now)
        self._now -= 1
        return reply


def test_no_more_requests_are_in_flight_than_the_destination_takes(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(60)
    runs.limits = in_requests_of(1, in_flight=8)
    sandbox.conditions["meta_capi"].latency_seconds = 0.05
    made: list[_CountingInFlight] = []

    def watch(real: Destination) -> Destination:
        made.append(_CountingInFlight(real))
        return made[-1]

    runs.wrap = watch
    runs.run(destinations=("meta_capi",))

    assert queue.statuses() == {"resolved": 60}
    assert max(each.most for each in made) == 8


def test_of_a_destination_that_has_not_answered_yet_little_is_made_ready(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(200)
    runs.limits = in_requests_of(10, in_flight=4)
    sandbox.conditions["meta_capi"].outage("timeout")
    leased: list[int] = []

    async def look_while_it_hangs() -> None:
        run = asyncio.create_task(runs.retry(destinations=("meta_capi",)))
        await asyncio.to_thread(wait_until, lambda: len(sandbox.memory.requests) == AHEAD)
        leased.append(queue.leased())
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(look_while_it_hangs())

    assert leased == [AHEAD * 10]


def test_sending_goes_on_during_a_settle_but_no_further_than_the_window(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(20)
    runs.limits = in_requests_of(2, in_flight=2)
    sandbox.conditions["meta_capi"].latency_seconds = 0.3
    window = ClaimWindow(runs.limits).requests

    with runs.under_way(destinations=("meta_capi",)) as run:
        wait_until(lambda: sandbox.memory.requests)
        with queue.settles_blocked():
            wait_until(lambda: len(sandbox.memory.requests) == window)
            # All of the window is used, so that nothing more is claimed either.
            assert queue.leased() == window * 2

    assert run.result().total("resolved") == 20
    assert len(sandbox.memory.requests) == 10


def test_a_destination_that_is_not_configured_keeps_its_events(queue: Queue, runs: Runs) -> None:
    added = queue.add_one(destination="google_ec")

    totals = runs.run()

    google = totals.by_destination["google_ec"]
    assert (google.state, google.detail) == ("not_configured", "GOOGLE_ADS_ACCOUNT_ID")
    assert (google.waiting, google.processed) == (1, 0)
    assert queue.row(added)["status"] == "pending"
    assert not queue.attempts(added)


def test_a_stored_event_id_is_kept_in_every_try(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    queue.add_one(event_payload=payload(event_id="order-77"))
    sandbox.scripts.set("order-77", [500, "reset", 200])

    for _ in range(3):
        runs.run()
        queue.make_due()

    assert [request.event_ids for request in sandbox.memory.requests] == [("order-77",)] * 3


def _assert_waits(row: dict[str, Any], at_least_seconds: float) -> None:
    """Both times are the database's ``now()`` of one statement, so the wait can be read exactly."""
    waits = (row["next_retry_at"] - row["updated_at"]).total_seconds()
    assert at_least_seconds <= waits <= at_least_seconds * 1.2


def _assert_attempts_tell_every_request(
    queue: Queue, sandbox: Sandbox, rows: Sequence[Added]
) -> None:
    told = queue.read(
        "select event_id::text, sum(requests) as requests from tracking_delivery_attempts"
        " group by event_id"
    )
    assert {attempt["event_id"]: attempt["requests"] for attempt in told} == {
        row.sent_as: sandbox.memory.requests_with(row.sent_as) for row in rows
    }


def test_a_search_that_is_cut_short_leaves_its_requests_in_the_log_and_spends_nothing(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(8)
    sandbox.scripts.set(rows[3].sent_as, ["bad"])
    # The refusal itself says that the limit is near, so the search may send nothing more.
    sandbox.conditions["meta_capi"].usage_percent = 100

    runs.run()

    assert len(sandbox.memory.requests) == 1
    for row in rows:
        (attempt,) = queue.attempts(row)
        assert (attempt["outcome"], attempt["requests"]) == ("paused", 1)
        state = queue.row(row)
        assert (state["status"], state["retry_count"]) == ("pending", 0)
        assert state["lease_expires_at"] is None
