"""The leases that a run holds, and the proof of each that it may still send.

Every lease is renewed every 20 seconds, fenced by its token, for as long as its event is held: so a
slow destination costs no lease. What a renewal does not return was lost, and its event is not sent
any more. A deadline counts on this process's monotonic clock from before the claim or renewal was
asked for, so that it can only be earlier than the database's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import anyio
import psycopg

from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.queues import FAILED, Queue
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.leases import (
    LEASE_SECONDS,
    mark_sent,
    release_leases,
    renew_leases,
)

RENEW_EVERY_SECONDS = 20.0
# No request starts with less: it may take 20 seconds, and settling takes a moment.
LEAST_SECONDS_LEFT = 30.0


class _Lease(NamedTuple):
    token: int
    deadline: float


class Leases:
    """The leases of one run on the rows of one queue, by the row's id."""

    def __init__(
        self,
        pool: AsyncPool,
        queue: Queue = FAILED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._clock = clock
        self._held: dict[UUID, _Lease] = {}

    def clock(self) -> float:
        """To be read before a claim is asked for, and given to :meth:`hold`."""
        return self._clock()

    def hold(self, events: Iterable[FailedEvent], claimed_at: float) -> None:
        deadline = claimed_at + LEASE_SECONDS
        for event in events:
            self._held[event.id] = _Lease(event.lease_token, deadline)

    def drop(self, ids: Iterable[UUID]) -> None:
        """The rows are settled, or lost."""
        for row_id in ids:
            self._held.pop(row_id, None)

    def allow(self, batch: Sequence[Prepared]) -> bool:
        """Whether each event of the batch has a lease that outlasts a request."""
        needed_until = self._clock() + LEAST_SECONDS_LEFT
        for prepared in batch:
            lease = self._held.get(prepared.event.id)
            if lease is None or lease.deadline < needed_until:
                return False
        return True

    async def mark_sent(self, batch: Sequence[Prepared]) -> bool:
        """Puts on record that the batch is about to be sent. False where that is not certain, and
        then it must not be."""
        tokens = {each.event.id: each.event.lease_token for each in batch}
        try:
            async with self._pool.connection() as connection:
                return await mark_sent(connection, self._queue.table, tokens)
        except psycopg.OperationalError:
            return False

    async def release(self, ids: Iterable[UUID], *, unsent: bool = False) -> None:
        """Hands back rows that were not started. Fails open: a lease that cannot be handed back
        ends by itself within a minute. ``unsent``: it is certain that no request carried them.
        """
        tokens = {row_id: self._held[row_id].token for row_id in ids if row_id in self._held}
        self.drop(tokens)
        if not tokens:
            return
        try:
            async with self._pool.connection() as connection:
                await release_leases(connection, self._queue.table, tokens, unsent=unsent)
        except psycopg.OperationalError:
            return

    async def release_all(self) -> None:
        await self.release(list(self._held))

    async def keep_renewing(self) -> None:
        """Renews all leases for ever; to be run as a task beside the work."""
        while True:
            await anyio.sleep(RENEW_EVERY_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """One renewal of every lease held. Fails open: with the database gone for a moment, or a
        row locked by somebody else, the deadlines stand, and no request starts once they are near.
        """
        held, asked_at = {row_id: each.token for row_id, each in self._held.items()}, self._clock()
        if not held:
            return
        try:
            async with self._pool.connection() as connection:
                ours = await renew_leases(connection, self._queue.table, held)
        except psycopg.OperationalError:
            return
        for row_id, token in held.items():
            lease = self._held.get(row_id)
            if lease is None or lease.token != token:
                continue  # settled, or claimed anew, while the renewal was under way
            if row_id not in ours:
                self.drop((row_id,))
            elif ours[row_id]:
                self._held[row_id] = _Lease(token, asked_at + LEASE_SECONDS)
