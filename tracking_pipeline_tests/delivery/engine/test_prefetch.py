"""How much a drain claims: bounded, a little ahead, and not in crumbs."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.prefetch import AHEAD, AHEAD_EVENTS, ClaimWindow

SIZES = st.integers(min_value=1, max_value=200)


def _window(request_events: int, in_flight: int, *, answered: bool = True) -> ClaimWindow:
    window = ClaimWindow(Limits(request_events, 1_000_000, in_flight))
    if answered:
        window.answer()
    return window


@pytest.mark.parametrize(
    ("request_events", "in_flight", "ahead"),
    [(1_000, 4, AHEAD), (10, 2, AHEAD), (1, 64, 128), (1, 200, AHEAD_EVENTS), (10, 64, 12)],
)
def test_a_drain_claims_two_requests_ahead_or_a_few_events(
    request_events: int, in_flight: int, ahead: int
) -> None:
    assert _window(request_events, in_flight).requests == in_flight + ahead


def test_a_drain_claims_no_more_than_two_events_a_request_in_flight_ahead() -> None:
    assert _window(1, 1).requests == 1 + AHEAD
    assert _window(1, 8).requests == 8 + 16


class Claimer:
    """Claims whenever the window allows it, and remembers the events of each claim."""

    def __init__(self, window: ClaimWindow, request_events: int) -> None:
        self._window = window
        self._request_events = request_events
        self.claims: list[int] = []

    @property
    def requests(self) -> int:
        return sum(math.ceil(events / self._request_events) for events in self.claims)

    async def run(self) -> None:
        while True:
            self.claims.append(await self._window.events_to_claim())
            self._window.take(math.ceil(self.claims[-1] / self._request_events))


@given(request_events=SIZES, in_flight=SIZES, answered=st.booleans())
def test_what_is_claimed_fits_the_window(
    request_events: int, in_flight: int, answered: bool
) -> None:
    window = _window(request_events, in_flight, answered=answered)
    claimer = Claimer(window, request_events)

    async def fill() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claimer.run)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(fill)

    assert 1 <= claimer.requests <= (window.requests if answered else AHEAD)


def test_no_claim_is_made_for_a_crumb() -> None:
    window = _window(1, 64)
    claimer = Claimer(window, 1)

    async def claim() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claimer.run)
            await anyio.wait_all_tasks_blocked()
            for _ in range(40):
                window.give_back()
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(claim)

    assert claimer.claims == [64, 64, 64, 32]


def test_the_first_answer_of_a_destination_opens_the_window() -> None:
    window = _window(10, 4, answered=False)
    claimer = Claimer(window, 10)

    async def claim() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claimer.run)
            await anyio.wait_all_tasks_blocked()
            assert claimer.requests == AHEAD
            window.answer()
            await anyio.wait_all_tasks_blocked()
            assert claimer.requests == window.requests
            tasks.cancel_scope.cancel()

    anyio.run(claim)


@pytest.mark.parametrize(
    ("request_events", "requests"),
    [(1, AHEAD), (1_000, AHEAD), (2_000, AHEAD), (4_000, 1), (5_000, 1)],
)
def test_before_the_first_answer_four_thousand_events_are_enough(
    request_events: int, requests: int
) -> None:
    window = _window(request_events, 4, answered=False)
    claimer = Claimer(window, request_events)

    async def claim() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claimer.run)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(claim)

    assert claimer.requests == requests


def test_the_room_is_empty_when_all_is_given_back() -> None:
    window = _window(1, 1)
    told = []

    async def wait() -> None:
        await window.wait_until_empty()
        told.append("empty")

    async def give_back_while_one_waits() -> None:
        window.take(2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for _ in range(2):
                await anyio.wait_all_tasks_blocked()
                assert told == []
                window.give_back()

    anyio.run(give_back_while_one_waits)
    assert told == ["empty"]
