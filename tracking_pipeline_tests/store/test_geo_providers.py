"""The turns of an online source: one at a time, as many as it allows, none while it is held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import pytest

from tracking_pipeline.store.geo_providers import (
    RequestWindow,
    Wait,
    hold_provider,
    read_geo_provider_states,
    read_wait,
    record_answer,
    record_failure,
    reserve_request,
)
from tracking_pipeline_tests.store.statements import AsyncConnection, run_statement

T = TypeVar("T")
WINDOW = RequestWindow(requests=3, seconds=60)


class Worker:
    """The statements as a worker uses them."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def run(self, statement: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return run_statement(self._database_url, statement)

    def reserve(self, window: RequestWindow = WINDOW) -> Wait | None:
        return self.run(
            lambda connection: reserve_request(connection, "ip_api", window, busy_seconds=25)
        )

    def answer(self, left: int | None = None, resets: float | None = None) -> None:
        self.run(
            lambda connection: record_answer(
                connection, "ip_api", requests_left=left, resets_in_seconds=resets
            )
        )

    def hold(self, seconds: float) -> None:
        self.run(
            lambda connection: hold_provider(connection, "ip_api", seconds=seconds, reason="429")
        )

    def fail(self) -> float:
        return self.run(
            lambda connection: record_failure(
                connection, "ip_api", "503", first_seconds=60, longest_seconds=1800
            )
        )

    def wait(self) -> Wait | None:
        return self.run(lambda connection: read_wait(connection, "ip_api"))


@pytest.fixture
def worker(database_url: str) -> Worker:
    return Worker(database_url)


def is_a_wait(wait: Wait | None, state: str, seconds: float) -> bool:
    return wait is not None and wait.state == state and seconds - 5 < wait.seconds <= seconds


def end(connection: psycopg.Connection[Any], column: str) -> None:
    # The column is one of this file.
    connection.execute(f"update tracking_geo_providers set {column} = now()".encode())


def test_a_second_request_waits_for_the_answer_to_the_first(worker: Worker) -> None:
    assert worker.reserve() is None
    assert is_a_wait(worker.reserve(), "busy", 25)
    worker.answer()
    assert worker.reserve() is None


def test_only_one_of_four_workers_gets_the_turn(database_url: str) -> None:
    async def race() -> list[bool]:
        async def reserve() -> bool:
            async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
                wait = await reserve_request(connection, "ip_api", WINDOW, busy_seconds=25)
                return wait is None

        return await asyncio.gather(*(reserve() for _ in range(4)))

    assert sorted(asyncio.run(race())) == [False, False, False, True]


def test_a_worker_that_died_is_waited_for_no_longer_than_it_said(
    worker: Worker, connection: psycopg.Connection
) -> None:
    assert worker.reserve() is None
    end(connection, "busy_until")
    assert worker.reserve() is None


def test_a_window_is_counted_where_the_source_says_nothing(
    worker: Worker, connection: psycopg.Connection
) -> None:
    for _ in range(3):
        assert worker.reserve() is None
        worker.answer()
    assert is_a_wait(worker.reserve(), "used up", 60)
    end(connection, "window_ends_at")
    assert worker.reserve() is None


def test_what_the_source_says_counts_where_it_leaves_less(worker: Worker) -> None:
    assert worker.reserve() is None
    worker.answer(left=0, resets=30)
    assert is_a_wait(worker.reserve(), "used up", 30)


def test_more_than_was_thought_is_not_taken_on_trust(worker: Worker) -> None:
    for _ in range(3):
        assert worker.reserve() is None
        worker.answer(left=40, resets=60)
    assert is_a_wait(worker.reserve(), "used up", 60)


def test_the_count_of_a_window_that_is_over_is_forgotten(
    worker: Worker, connection: psycopg.Connection
) -> None:
    worker.answer(left=0, resets=30)
    assert is_a_wait(worker.wait(), "used up", 30)
    end(connection, "window_ends_at")
    assert worker.wait() is None
    worker.answer(left=9, resets=30)
    assert worker.wait() is None


def test_a_held_source_gives_no_turn_and_a_hold_is_never_shortened(worker: Worker) -> None:
    worker.hold(600)
    worker.hold(5)
    assert is_a_wait(worker.reserve(), "held", 600)
    assert is_a_wait(worker.wait(), "held", 600)


def test_an_answer_on_its_way_does_not_end_a_hold(worker: Worker) -> None:
    worker.hold(600)
    worker.answer(left=2, resets=60)
    assert worker.wait() is not None
    assert worker.wait() == Wait("held", pytest.approx(600, abs=5), "429")


def test_holds_grow_with_failures_in_a_row_up_to_the_longest(
    worker: Worker, connection: psycopg.Connection
) -> None:
    holds = []
    for _ in range(13):
        holds.append(round(worker.fail()))
        end(connection, "not_before")
    assert holds == [60, 120, 240, 480, 960, *[1800] * 8]


def test_failures_within_a_hold_count_as_one(
    worker: Worker, connection: psycopg.Connection
) -> None:
    for _ in range(4):
        assert 55 < worker.fail() <= 60
    assert read_geo_provider_states(connection)["ip_api"].failures == 1


def test_an_answer_makes_an_end_of_failures(worker: Worker, connection: psycopg.Connection) -> None:
    worker.fail()
    state = read_geo_provider_states(connection)["ip_api"]
    assert (state.failures, state.reason) == (1, "503")
    assert 55 < state.held_seconds <= 60
    end(connection, "not_before")
    worker.answer()
    state = read_geo_provider_states(connection)["ip_api"]
    assert (state.failures, state.reason, state.held_seconds) == (0, None, 0)


def test_a_source_without_a_row_may_be_asked(worker: Worker) -> None:
    assert worker.wait() is None
