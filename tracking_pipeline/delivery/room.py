"""How much a drain may claim: what its requests in flight can take, and two requests' worth ahead.

What is claimed and not yet sent is work that no other worker can take, and that waits for a minute
should this one die. So a drain claims little ahead; and where a request holds one event, it waits
until a handful of requests have ended, because a claim costs the same for one row and for twenty.
"""

from __future__ import annotations

import anyio

from tracking_pipeline.delivery.destination import Limits

AHEAD = 2
# Of the requests in flight, how many may be idle before the next claim.
_IDLE_SHARE = 4


class Room:
    """The room of one drain, counted in requests. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = limits.in_flight + AHEAD
        self._worthwhile = max(1, limits.in_flight // _IDLE_SHARE)
        self._changed = anyio.Event()

    async def events_to_claim(self) -> int:
        """Waits until a claim is worth its cost, and gives its number of events."""
        while self._free < self._worthwhile:
            self._changed = anyio.Event()
            await self._changed.wait()
        # Not more in one statement than one request or one round of requests takes.
        most = max(self._limits.request_events, self._limits.in_flight)
        return min(self._free * self._limits.request_events, most)

    def take(self) -> None:
        """A request's worth was claimed."""
        self._free -= 1

    def give_back(self) -> None:
        """It is done with."""
        self._free += 1
        self._changed.set()
