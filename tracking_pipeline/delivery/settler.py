"""Writes what attempts of one queue's events came to, many in one statement.

Settlements are collected while a statement is under way, so that the batch grows with the load and
a lone one does not wait. A settlement with a stale token changes nothing and is counted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import anyio
import psycopg

from tracking_pipeline.delivery.leases import Leases
from tracking_pipeline.delivery.queues import FAILED, Queue
from tracking_pipeline.delivery.totals import Tally
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.failed_events import Settlement, find_settled

MOST_PER_STATEMENT = 2_000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Handed:
    """Settlements on their way to the writer, and the sign that they are written."""

    settlements: Sequence[Settlement]
    written: anyio.Event = field(default_factory=anyio.Event)


class Settler:
    """Takes settlements from any task of a run; :meth:`run` writes them until :meth:`close`."""

    def __init__(
        self,
        pool: AsyncPool,
        leases: Leases,
        tally: Tally,
        queue: Queue = FAILED,
        *,
        worker: str,
        run_id: str | None,
    ) -> None:
        self._pool = pool
        self._leases = leases
        self._queue = queue
        self._worker = worker
        self._run_id = run_id
        self._tally = tally
        self._handed: deque[_Handed] = deque()
        self._closed = False
        self._changed = anyio.Event()

    async def put(self, settlements: Sequence[Settlement]) -> None:
        """Hands over settlements and waits until they are written: so nobody sends the next request
        while the outcomes of the last one could still be lost, however slow the database is."""
        if settlements:
            handed = _Handed(settlements)
            self._handed.append(handed)
            self._changed.set()
            await handed.written.wait()

    def close(self) -> None:
        """No more will come; :meth:`run` ends when all is written."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Writes until closed. Raises psycopg.OperationalError when the database stays away."""
        while self._handed or not self._closed:
            if not self._handed:
                self._changed = anyio.Event()
                await self._changed.wait()
                continue
            taken, batch = list[_Handed](), list[Settlement]()
            while self._handed and len(batch) < MOST_PER_STATEMENT:
                taken.append(self._handed.popleft())
                batch += taken[-1].settlements
            # A cancelled run still writes what it was told: the requests were made.
            with anyio.CancelScope(shield=True):
                await self._write(batch)
            for handed in taken:
                handed.written.set()

    async def _write(self, batch: list[Settlement]) -> None:
        refused: set[UUID] = set()
        done = await self._settle(batch, refused)
        # The lease of a refused one is left to run out: the fifth one buries the event.
        self._leases.drop(settlement.id for settlement in batch)
        for settlement in batch:
            if settlement.id in done:
                self._tally.count(settlement, self._queue.delivered_number)
            elif settlement.id not in refused:
                self._tally.numbers["stale_settles"] += 1

    async def _settle(self, batch: list[Settlement], refused: set[UUID]) -> set[UUID]:
        """Settles the batch; returns the ids that were, and adds to ``refused`` those that the
        table does not take (a constraint or a trigger of the site's own): they must not cost their
        neighbours the record of a delivery."""
        try:
            return await self._settle_through_outages(batch)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                return await self._settle(batch[:middle], refused) | await self._settle(
                    batch[middle:], refused
                )
            refused.add(batch[0].id)
            self._tally.count_error("retry", f"cannot be settled: SQLSTATE {error.sqlstate}")
            log.error("an event cannot be settled (SQLSTATE %s)", error.sqlstate)
            return set()

    async def _settle_through_outages(self, batch: list[Settlement]) -> set[UUID]:
        done: set[UUID] = set()
        tried = False

        async def settle() -> None:
            nonlocal tried
            async with self._pool.connection() as connection:
                if tried:
                    # The statement before may have been committed before its connection broke.
                    tokens = {each.id: each.lease_token for each in batch}
                    done.update(await find_settled(connection, tokens))
                tried = True
                rest = [each for each in batch if each.id not in done]
                done.update(
                    await self._queue.settle(
                        connection, rest, worker=self._worker, run_id=self._run_id
                    )
                )

        await through_outages(settle)
        return done
