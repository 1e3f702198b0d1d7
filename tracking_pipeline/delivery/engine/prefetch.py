"""How much a drain may hold: what its requests in flight take, and some claimed ahead of them.

What is claimed and not yet sent is work that no other worker can take, and that waits for a minute
should this one die. So a drain claims little ahead: two requests' worth, or, where a request holds
but a few, two events for each that may be in flight, and no more than 256. What is ahead is sent
while the outcomes of earlier requests are written. A claim waits until a part of what is ahead is
under way, because it costs the same for one row and for thirty; the rest is sent meanwhile.

Until the first answer, two requests' worth is all, or one where it is large: of a destination that
hangs, a full window of events would be made ready for nothing, at its neighbours' expense.
"""

from __future__ import annotations

import asyncio

from tracking_pipeline.delivery.engine.destination import Limits

AHEAD = 2
AHEAD_EVENTS = 256
# To make that many ready takes a sixth of a second, for which every neighbour waits.
_UNANSWERED_EVENTS = 4_000


class ClaimWindow:
    """The window of one drain, counted in requests. For one event loop.

    ``requests`` is all of it: what is claimed, sent or waits to be settled is never more.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        events = min(AHEAD * limits.in_flight, AHEAD_EVENTS)
        ahead = max(AHEAD, events // limits.request_events)
        self.requests = limits.in_flight + ahead
        self._unanswered = max(1, min(AHEAD, _UNANSWERED_EVENTS // limits.request_events))
        self._taken = 0
        self._is_answered = False
        in_a_claim = limits.in_flight // limits.request_events
        self._worthwhile = max(1, min(ahead, in_a_claim) // 2)
        self._changed = asyncio.Event()

    @property
    def _free(self) -> int:
        return (self.requests if self._is_answered else self._unanswered) - self._taken

    async def events_to_claim(self) -> int:
        """Waits until a claim is worth its cost, and gives its number of events."""
        while self._free < (self._worthwhile if self._is_answered else 1):
            await self._change()
        # Not more in one statement than one request or one round of requests takes.
        most = max(self._limits.request_events, self._limits.in_flight)
        return min(self._free * self._limits.request_events, most)

    async def wait_until_empty(self) -> None:
        """Waits until everything that was taken has been given back."""
        while self._taken:
            await self._change()

    def take(self, requests: int) -> None:
        """So many requests' worth was claimed; or fewer than was said, where it is negative."""
        self._taken += requests
        self._changed.set()

    def answer(self) -> None:
        """The destination has answered, or failed to."""
        if not self._is_answered:
            self._is_answered = True
            self._changed.set()

    def give_back(self) -> None:
        """A request's worth is done with."""
        self._taken -= 1
        self._changed.set()

    async def _change(self) -> None:
        self._changed = asyncio.Event()
        await self._changed.wait()
