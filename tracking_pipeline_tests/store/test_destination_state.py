"""The breaker's statements: one prober at a time, one alert, waits that only grow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tracking_pipeline.store.destination_state import (
    close_breaker,
    hold_destination,
    open_breaker,
    read_destination_state,
    read_destination_states,
    take_probe,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, wait_until
from tracking_pipeline_tests.store.statements import AsyncConnection, run_statement

T = TypeVar("T")


class Worker:
    """The statements as a worker uses them."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def run(self, statement: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return run_statement(self._database_url, statement)

    def open(self, destination: str = "meta_capi", reason: str = "190: bad token") -> bool:
        return self.run(
            lambda connection: open_breaker(connection, destination, reason, message="paused")
        )

    def close(self, destination: str = "meta_capi") -> None:
        self.run(lambda connection: close_breaker(connection, destination))

    def take_probe(self, *, forced: bool = False) -> bool:
        return self.run(lambda connection: take_probe(connection, "meta_capi", forced=forced))

    def hold(self, seconds: float) -> None:
        self.run(lambda connection: hold_destination(connection, "meta_capi", seconds))


@pytest.fixture
def worker(database_url: str) -> Worker:
    return Worker(database_url)


def _let_the_probe_come(queue: Queue) -> None:
    queue.connection.execute("update tracking_destination_state set probe_at = now()")


def test_a_destination_without_a_row_is_closed(queue: Queue, worker: Worker) -> None:
    state = worker.run(lambda connection: read_destination_state(connection, "gtm_server"))

    assert (state.destination, state.state, state.throttled_seconds) == ("gtm_server", "closed", 0)
    assert read_destination_states(queue.connection) == {}


def test_only_one_worker_takes_a_probe(queue: Queue, worker: Worker, database_url: str) -> None:
    worker.open()
    assert not worker.take_probe()
    _let_the_probe_come(queue)

    async def race() -> list[bool]:
        async def take() -> bool:
            async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
                return await take_probe(connection, "meta_capi", forced=False)

        return await asyncio.gather(*(take() for _ in range(4)))

    assert sorted(asyncio.run(race())) == [False, False, False, True]


def test_a_prober_that_was_killed_is_followed_by_another(queue: Queue, worker: Worker) -> None:
    worker.open()
    _let_the_probe_come(queue)
    assert worker.take_probe()
    assert queue.state()["state"] == "half_open"
    assert 50 < queue.state()["probe_in_seconds"] <= 60

    assert not worker.take_probe()
    _let_the_probe_come(queue)
    assert worker.take_probe()


def test_a_closed_breaker_gives_no_probe(worker: Worker) -> None:
    worker.hold(1)

    assert not worker.take_probe(forced=True)


def test_opening_again_raises_no_second_alert(queue: Queue, worker: Worker) -> None:
    assert worker.open()
    opened_at = queue.state()["opened_at"]

    assert not worker.open(reason="10: no permission")

    assert len(queue.alerts()) == 1
    state = queue.state()
    assert (state["reason"], state["opened_at"]) == ("10: no permission", opened_at)
    assert state["probe_interval_seconds"] == 60


Change = Callable[[AsyncConnection], Awaitable[object]]


def _at_once(queue: Queue, database_url: str, first: Change, second: Change) -> None:
    """Makes both changes at once: the first has not committed when the second one begins."""

    async def both() -> None:
        async with (
            await AsyncConnection.connect(database_url, autocommit=True) as one,
            await AsyncConnection.connect(database_url, autocommit=True) as other,
        ):
            async with one.transaction():
                await first(one)
                changing = asyncio.ensure_future(second(other))
                waits = (
                    "select count(*) from pg_stat_activity"
                    " where datname = current_database() and wait_event_type = 'Lock'"
                )
                await asyncio.to_thread(wait_until, lambda: changing.done() or queue.one(waits))
            await changing

    asyncio.run(both())


def test_the_alert_ends_when_two_destinations_recover_at_once(
    queue: Queue, worker: Worker, database_url: str
) -> None:
    worker.open("meta_capi")
    worker.open("google_ec")

    _at_once(
        queue,
        database_url,
        lambda connection: close_breaker(connection, "meta_capi"),
        lambda connection: close_breaker(connection, "google_ec"),
    )

    (alert,) = queue.alerts()
    assert alert["resolved_at"] is not None


def test_a_pause_that_begins_while_the_last_one_ends_has_its_alert(
    queue: Queue, worker: Worker, database_url: str
) -> None:
    worker.open("meta_capi")

    _at_once(
        queue,
        database_url,
        lambda connection: open_breaker(connection, "google_ec", "190", message="paused"),
        lambda connection: close_breaker(connection, "meta_capi"),
    )

    assert [alert["resolved_at"] for alert in queue.alerts()] == [None]


def test_the_alert_ends_with_the_last_paused_destination(queue: Queue, worker: Worker) -> None:
    worker.open("meta_capi")
    assert not worker.open("google_ec")

    worker.close("meta_capi")
    assert queue.alerts()[0]["resolved_at"] is None
    worker.close("google_ec")
    assert queue.alerts()[0]["resolved_at"] is not None


def test_each_pause_has_an_alert_of_its_own(queue: Queue, worker: Worker) -> None:
    worker.open()
    worker.close()
    assert worker.open()

    assert [alert["resolved_at"] is None for alert in queue.alerts()] == [False, True]


def test_closing_what_is_closed_ends_no_alert_of_a_human(queue: Queue, worker: Worker) -> None:
    queue.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('destination_paused', 'critical', 'raised by hand')"
    )

    worker.close()

    assert queue.alerts()[0]["resolved_at"] is None


def test_a_hold_is_never_shortened(queue: Queue, worker: Worker) -> None:
    worker.hold(600)
    worker.hold(5)

    assert 590 < queue.state()["throttled_seconds"] <= 600


def test_a_hold_and_a_pause_are_independent(queue: Queue, worker: Worker) -> None:
    worker.open()
    worker.hold(600)
    worker.close()

    (state,) = read_destination_states(queue.connection).values()
    assert state.state == "closed"
    assert state.throttled_seconds > 590
