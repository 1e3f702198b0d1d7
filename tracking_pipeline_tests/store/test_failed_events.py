"""The queue's statements: fenced by the lease's token, and planned well on a long queue."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb, set_json_loads

from tracking_pipeline.store import failed_events
from tracking_pipeline.store.database import read_clock
from tracking_pipeline.store.failed_events import (
    Selection,
    Settlement,
    bury_crashed_events,
    claim_due_events,
    find_crashed_events,
    settle_attempts,
)
from tracking_pipeline.store.leases import (
    MOST_LEASE_LOSSES,
    mark_sent,
    release_leases,
    renew_leases,
)
from tracking_pipeline.store.queue_counts import read_backlog
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue
from tracking_pipeline_tests.store.statements import AsyncConnection, run_statement

TABLE = "tracking_failed_events"
T = TypeVar("T")


@pytest.fixture
def worker(database_url: str) -> Worker:
    return Worker(database_url)


class Worker:
    """The statements as a worker uses them."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def run(self, statement: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return run_statement(self._database_url, statement)

    def claim(
        self, limit: int = 1_000, *, suspects: bool = False, **selection: Any
    ) -> dict[UUID, int]:
        """Claims what is due; the tokens by row."""
        claimed = self.claimed(limit, suspects=suspects, **selection)
        return {row["id"]: row["lease_token"] for row in claimed}

    def claimed(
        self, limit: int = 1_000, *, suspects: bool = False, **selection: Any
    ) -> list[dict[str, Any]]:
        """Claims what is due; its rows."""

        async def claim(connection: AsyncConnection) -> list[dict[str, Any]]:
            chosen = Selection(started_at=await read_clock(connection), **selection)
            return await claim_due_events(connection, "meta_capi", chosen, limit, suspects=suspects)

        return self.run(claim)

    def begin(self, tokens: dict[UUID, int]) -> bool:
        return self.run(lambda connection: mark_sent(connection, TABLE, tokens))

    def settle(self, *settlements: Settlement) -> set[UUID]:
        return self.run(
            lambda connection: settle_attempts(connection, settlements, worker="w", run_id=None)
        )

    def renew(self, tokens: dict[UUID, int]) -> dict[UUID, bool]:
        return self.run(lambda connection: renew_leases(connection, TABLE, tokens))

    def release(self, tokens: dict[UUID, int], *, unsent: bool = False) -> None:
        self.run(lambda connection: release_leases(connection, TABLE, tokens, unsent=unsent))

    def bury(self) -> dict[str, int]:
        async def find_and_bury(connection: AsyncConnection) -> dict[str, int]:
            ids = await find_crashed_events(connection, ["meta_capi"])
            return await bury_crashed_events(connection, ids, worker="w", run_id=None)

        return self.run(find_and_bury)


def _resolved(added: Added, token: int) -> Settlement:
    return Settlement(added.id, added.event_id, token, "delivered", 1, status="resolved")


def _unchanged(queue: Queue, added: Added) -> Callable[[], bool]:
    before = queue.row(added)
    return lambda: queue.row(added) == before


_ROWS_CHANGED = """
select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables
where relname = 'tracking_failed_events'
"""


def test_a_claim_writes_into_no_index(queue: Queue, worker: Worker) -> None:
    queue.add(4)

    async def claim(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        async with connection.transaction():
            chosen = Selection(started_at=await read_clock(connection))
            await claim_due_events(connection, "meta_capi", chosen, 4)
            return await (await connection.execute(_ROWS_CHANGED)).fetchall()

    assert worker.run(claim) == [(4, 4)]


def test_a_stale_settle_changes_nothing_and_leaves_no_attempt(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    stale = worker.claim()[added.id]
    queue.expire_leases()
    fresh = worker.claim(suspects=True)[added.id]
    unchanged = _unchanged(queue, added)

    assert worker.settle(_resolved(added, stale)) == set()
    assert unchanged()
    assert not queue.attempts(added)
    assert worker.settle(_resolved(added, fresh)) == {added.id}


def test_a_settle_is_applied_once(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    token = worker.claim()[added.id]

    assert worker.settle(_resolved(added, token)) == {added.id}
    unchanged = _unchanged(queue, added)
    # As after a connection that broke before it had the answer.
    assert worker.settle(_resolved(added, token)) == {added.id}

    assert unchanged()
    assert len(queue.attempts(added)) == 1


def test_a_stale_renewal_changes_nothing(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    stale = worker.claim()
    queue.expire_leases()
    assert worker.claim(suspects=True)
    unchanged = _unchanged(queue, added)

    assert worker.renew(stale) == {}
    assert unchanged()


def test_a_stale_release_changes_nothing(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    stale = worker.claim()
    queue.expire_leases()
    assert worker.claim(suspects=True)
    unchanged = _unchanged(queue, added)

    worker.release(stale)
    assert unchanged()


def test_nothing_is_renewed_after_it_was_settled_or_released(queue: Queue, worker: Worker) -> None:
    settled, released = queue.add(2)
    tokens = worker.claim()
    worker.settle(_resolved(settled, tokens[settled.id]))
    worker.release({released.id: tokens[released.id]})

    assert worker.renew(tokens) == {}
    assert queue.row(settled)["lease_expires_at"] is None
    assert queue.row(released)["lease_expires_at"] is None


def test_a_renewal_gives_a_whole_lease(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    tokens = worker.claim()
    queue.connection.execute("update tracking_failed_events set lease_expires_at = now()")

    assert worker.renew(tokens) == {added.id: True}
    left = queue.one(
        "select extract(epoch from lease_expires_at - now()) from tracking_failed_events"
    )
    assert 50 < left <= 60


def test_a_leased_event_keeps_its_status_and_is_claimed_by_nobody_else(
    queue: Queue, worker: Worker
) -> None:
    added = queue.add_one()

    assert set(worker.claim()) == {added.id}
    assert worker.claim() == {}
    assert worker.claim(due_only=False) == {}
    assert queue.row(added)["status"] == "pending"


def test_a_released_event_is_due_as_before(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    worker.release(worker.claim())

    row = queue.row(added)
    assert (row["lease_losses"], row["retry_count"], row["status"]) == (0, 0, "pending")
    assert set(worker.claim()) == {added.id}


def test_a_released_suspect_stays_one_and_its_group_as_large_as_it_was(
    queue: Queue, worker: Worker
) -> None:
    queue.add(8)
    worker.claim()
    queue.expire_leases()

    for _ in range(3):
        tokens = worker.claim(suspects=True)
        assert len(tokens) == 4
        worker.release(tokens)

    assert worker.claim() == {}
    assert {row["lease_losses"] for row in queue.read(f"select * from {TABLE}")} == {0, 1}


def test_the_oldest_due_event_goes_first(queue: Queue, worker: Worker) -> None:
    queue.add(2, next_retry_at="2024-01-02", status="retrying")
    (older,) = queue.add(1, next_retry_at="2024-01-01", status="retrying")
    (at_once,) = queue.add(1)

    assert list(worker.claim(limit=1)) == [at_once.id]
    assert list(worker.claim(limit=1)) == [older.id]


def test_the_fifth_lease_lost_in_a_row_of_one_that_was_alone_is_a_dead_letter(
    queue: Queue, worker: Worker
) -> None:
    added = queue.add_one()
    for losses in range(MOST_LEASE_LOSSES):
        assert worker.bury() == {}
        assert set(worker.claim(suspects=losses > 0)) == {added.id}
        queue.expire_leases()

    assert worker.claim() == worker.claim(suspects=True) == {}
    assert worker.bury() == {"meta_capi": 1}
    row = queue.row(added)
    assert (row["status"], row["dead_letter_reason"]) == ("dead_letter", "worker_crash")
    assert row["lease_expires_at"] is row["next_retry_at"] is None
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["error_code"]) == ("rejected", "worker_crash")
    assert attempt["requests"] == 0
    assert worker.bury() == {}


def test_what_was_lost_is_claimed_apart_and_by_halves_the_least_often_lost_first(
    queue: Queue, worker: Worker
) -> None:
    rows = queue.add(8)
    worker.claim()
    queue.expire_leases()
    assert worker.claim() == {}

    first = worker.claim(suspects=True)
    assert len(first) == 4
    queue.expire_leases()
    second = worker.claim(suspects=True)
    assert set(first) | set(second) == {row.id for row in rows}
    queue.expire_leases()
    clean = queue.add(1)
    assert [len(worker.claim(suspects=True)) for _ in range(5)] == [2, 2, 2, 2, 0]
    assert set(worker.claim()) == {clean[0].id}


def test_an_event_is_blamed_for_no_loss_that_it_shared(queue: Queue, worker: Worker) -> None:
    queue.add(2, lease_losses=9, lease_group=4, lease_expires_at="2020-01-01")

    assert worker.bury() == {}
    assert len(worker.claim(suspects=True)) == 2
    queue.expire_leases()
    assert worker.bury() == {}
    assert len(worker.claim(suspects=True)) == 1
    queue.expire_leases()
    assert worker.bury() == {"meta_capi": 1}


def test_a_row_that_was_lost_before_groups_were_counted_is_a_suspect_like_any_other(
    queue: Queue, worker: Worker
) -> None:
    queue.add(6, lease_losses=4, lease_expires_at="2020-01-01")

    assert worker.bury() == {}
    assert len(worker.claim(limit=8, suspects=True)) == 4


def test_a_row_that_somebody_has_locked_is_neither_renewed_nor_lost(
    queue: Queue, worker: Worker
) -> None:
    locked, free = queue.add(2)
    tokens = worker.claim()

    with queue.row_locked(locked):
        assert worker.renew(tokens) == {locked.id: False, free.id: True}
        worker.release(tokens)

    assert queue.row(locked)["lease_expires_at"] is not None
    assert queue.row(free)["lease_expires_at"] is None


def test_an_event_whose_request_began_stays_in_doubt_until_it_is_settled(
    queue: Queue, worker: Worker
) -> None:
    added = queue.add_one()

    def claim() -> tuple[bool, dict[UUID, int]]:
        (row,) = worker.claimed() or worker.claimed(suspects=True)
        return row["in_doubt"], {row["id"]: row["lease_token"]}

    in_doubt, tokens = claim()
    assert not in_doubt
    worker.release(tokens)
    in_doubt, tokens = claim()
    assert not in_doubt
    assert worker.begin(tokens)
    worker.release(tokens, unsent=True)
    in_doubt, tokens = claim()
    assert not in_doubt
    assert worker.begin(tokens)
    for end in (lambda _: queue.expire_leases(), worker.release, worker.release):
        end(tokens)
        in_doubt, tokens = claim()
        assert in_doubt
    worker.settle(Settlement(added.id, added.event_id, tokens[added.id], "throttled", 1))
    assert not claim()[0]


def test_of_a_batch_with_a_lost_lease_no_event_is_said_to_be_sent(
    queue: Queue, worker: Worker
) -> None:
    kept, lost = queue.add(2)
    tokens = worker.claim()

    assert not worker.begin({**tokens, lost.id: tokens[lost.id] - 1})
    assert queue.row(kept)["sent_lease_token"] is None
    assert worker.begin(tokens)


def test_a_dead_letter_is_no_settlement_of_the_lease_that_was_lost(
    queue: Queue, worker: Worker
) -> None:
    added = queue.add_one(lease_losses=4, lease_group=1)
    tokens = worker.claim(suspects=True)
    queue.expire_leases()

    assert worker.bury() == {"meta_capi": 1}
    assert worker.settle(_resolved(added, tokens[added.id])) == set()
    assert queue.row(added)["dead_letter_reason"] == "worker_crash"


def test_a_settled_attempt_ends_the_row_of_lost_leases(queue: Queue, worker: Worker) -> None:
    added = queue.add_one()
    for losses in range(MOST_LEASE_LOSSES - 1):
        worker.claim(suspects=losses > 0)
        queue.expire_leases()
    token = worker.claim(suspects=True)[added.id]
    assert queue.row(added)["lease_losses"] == MOST_LEASE_LOSSES - 1

    worker.settle(Settlement(added.id, added.event_id, token, "throttled", 1))

    row = queue.row(added)
    assert (row["lease_losses"], row["lease_group"]) == (0, None)
    assert set(worker.claim()) == {added.id}
    assert worker.bury() == {}


def test_a_settle_that_spends_nothing_leaves_the_row_as_it_was(
    queue: Queue, worker: Worker
) -> None:
    added = queue.add_one(status="retrying", retry_count=2, next_retry_at="2024-01-01")
    before = queue.row(added)
    token = worker.claim()[added.id]

    worker.settle(
        Settlement(added.id, added.event_id, token, "paused", 3, error_message="bad token")
    )

    ours = {"lease_token", "updated_at"}
    after = queue.row(added)
    assert {k: v for k, v in after.items() if k not in ours} == {
        k: v for k, v in before.items() if k not in ours
    }
    (attempt,) = queue.attempts(added)
    assert (attempt["outcome"], attempt["error_message"]) == ("paused", "bad token")


def test_the_backlog_counts_what_is_due_and_names_the_next_time(queue: Queue) -> None:
    queue.add(3)
    queue.add(1, lease_expires_at="2100-01-01")
    queue.add(2, status="retrying", next_retry_at="2100-01-01")
    queue.add(1, status="resolved")

    (backlog,) = read_backlog(queue.connection, ["meta_capi"])

    assert (backlog.due, backlog.not_due) == (3, 2)
    assert backlog.next_due_seconds is not None
    assert backlog.next_due_seconds > 1e9


ROWS, BATCH = 50_000, 2_000


@pytest.fixture(params=["known", "unknown"])
def long_queue(queue: Queue, request: pytest.FixtureRequest) -> Queue:
    """A long queue, with the planner's statistics of it or, as after an import, of an empty one."""
    queue.connection.execute("alter table tracking_failed_events set (autovacuum_enabled = false)")
    queue.connection.execute("analyze tracking_failed_events")
    queue.connection.execute(
        "insert into tracking_failed_events"
        " (event_id, event_name, event_payload, destination, error_message)"
        " select gen_random_uuid(), 'Lead', %s, 'meta_capi', 'it failed'"
        " from generate_series(1, %s)",
        (Jsonb({"email": "emily@example.com", "padding": "x" * 500}), ROWS),
    )
    if request.param == "known":
        queue.connection.execute("analyze tracking_failed_events")
    return queue


def test_a_claim_on_a_long_queue_walks_the_index_of_due_events(
    long_queue: Queue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(
        worker,
        monkeypatch,
        "_CLAIM",
        lambda connection: claim_due_events(
            connection, "meta_capi", Selection(started_at=long_queue.one("select now()")), 1_000
        ),
    )

    assert "tracking_failed_events_due" in {node.get("Index Name") for node in plan}
    _assert_reads_only_the_batch(plan, 1_000)


def test_a_settle_on_a_long_queue_is_linear_in_its_batch(
    long_queue: Queue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = worker.claim(limit=BATCH)
    settlements = [
        Settlement(row_id, row_id, token, "delivered", 1, status="resolved")
        for row_id, token in tokens.items()
    ]

    plan = _plan(
        worker,
        monkeypatch,
        "_SETTLE",
        lambda connection: settle_attempts(connection, settlements, worker="w", run_id=None),
    )

    _assert_reads_only_the_batch(plan, BATCH)
    assert long_queue.statuses() == {"pending": ROWS - BATCH, "resolved": BATCH}


def _plan(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    run: Callable[[AsyncConnection], Awaitable[Any]],
) -> list[dict[str, Any]]:
    """The plan of the module's own statement as it was really run, one mapping a node."""
    explain = "explain (analyze, format json) "
    monkeypatch.setattr(failed_events, statement, explain + getattr(failed_events, statement))
    plans: list[Any] = []

    def keep(text: str | bytes) -> str:
        plans.append(json.loads(text))
        return ""

    async def explained(connection: AsyncConnection) -> None:
        set_json_loads(keep, connection)
        await run(connection)

    worker.run(explained)
    return list(_nodes(plans[0][0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _assert_reads_only_the_batch(plan: list[dict[str, Any]], batch: int) -> None:
    """No node touches more rows than the batch has: neither the whole queue once nor the batch
    once for each of its members."""
    for node in plan:
        each = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
        touched = sum(node.get(name, 0) for name in each) * node["Actual Loops"]
        assert touched <= batch * 1.1, (node["Node Type"], touched)
