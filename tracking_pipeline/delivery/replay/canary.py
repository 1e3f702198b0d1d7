"""A few events first: whether what was refused once is refused again, before all of it goes back.

The canaries are sent at once by the normal drain, one by one. A group is held back when one of its
canaries became a dead letter again and none was delivered. What says nothing about the events (a
destination that is paused, throttled, not configured or down) holds nothing back: there the queue
itself keeps them, unspent. Nor does one person's refusal say anything about the others' events.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import anyio

from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.dead_letters import Match
from tracking_pipeline.store.replays import read_standing

# Another worker may have claimed a canary first; it is asked after for half its lease.
LONGEST_WAIT_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.25

SendOne = Callable[[str, UUID], Awaitable[RetryTotals]]
"""One run of the drain over one event, named by destination and row."""


@dataclass(frozen=True, slots=True)
class CanaryTotals:
    """What became of one group's canaries. ``undecided`` ones still wait in the queue; ``withheld``
    ones were settled without being sent."""

    destination: str
    reason: str
    delivered: int
    refused: int
    undecided: int
    withheld: int = 0

    @property
    def holds_back(self) -> bool:
        return self.refused > 0 and self.delivered == 0


async def try_canaries(
    pool: AsyncPool, canaries: Sequence[Match], send_one: SendOne
) -> tuple[CanaryTotals, ...]:
    """Sends the canaries, which are in the queue and due, and tells their groups' totals."""
    closed: set[str] = set()
    for canary in canaries:
        if canary.destination not in closed:
            totals = await send_one(canary.destination, canary.id)
            if any(each.state != "ok" for each in totals.by_destination.values()):
                closed.add(canary.destination)
    standing = await _standing(pool, [canary.id for canary in canaries])
    groups: dict[tuple[str, str], list[str]] = {}
    for canary in canaries:
        status, _ = standing.get(canary.id, ("deleted", False))
        groups.setdefault((canary.destination, canary.reason), []).append(status)
    return tuple(_totals(*group, statuses) for group, statuses in groups.items())


async def _standing(pool: AsyncPool, ids: Sequence[UUID]) -> dict[UUID, tuple[str, bool]]:
    """How the canaries stand once nobody holds one, or the time is up."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        async with pool.connection() as connection:
            standing = await read_standing(connection, ids)
        if not any(held for _, held in standing.values()) or time.monotonic() > deadline:
            return standing
        await anyio.sleep(_LOOK_EVERY_SECONDS)


def _totals(destination: str, reason: str, statuses: Iterable[str]) -> CanaryTotals:
    counted = list(statuses)
    delivered, refused = counted.count("resolved"), counted.count("dead_letter")
    withheld = counted.count("withheld")
    undecided = len(counted) - delivered - refused - withheld
    return CanaryTotals(destination, reason, delivered, refused, undecided, withheld)
