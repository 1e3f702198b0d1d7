"""Writes what attempts of one queue's events came to, many in one statement.

Settlements are collected while a statement is under way and for a moment after it, so that the
batch grows with the load and a lone one does not wait. A settlement with a stale token changes
nothing and is counted; a row that somebody has locked waits by itself until it is free, and
everybody else goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import anyio
import psycopg

from tracking_pipeline.delivery.engine.leases import Leases
from tracking_pipeline.delivery.engine.queues import FAILED, Queue
from tracking_pipeline.delivery.engine.totals import Tally
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.failed_events import Settlement
from tracking_pipeline.store.leases import LEASE_SECONDS, find_locked
from tracking_pipeline.store.refusals import Halves

MOST_PER_STATEMENT = 2_000
# A row that is locked for longer is given up: its lease runs out, and the event is sent again.
MOST_LOCKED_SECONDS = LEASE_SECONDS
_LOOK_AGAIN_SECONDS = 0.5
# Where outcomes come thick and fast: a statement costs as much as a dozen of its rows.
_COLLECT_SECONDS = 0.01

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Handed:
    """Settlements on their way to the writer, and the sign that they are written."""

    settlements: Sequence[Settlement]
    written: asyncio.Future[None]


@dataclass(slots=True)
class _Written:
    """What became of settlements, by row: settled, not taken by the table, locked by somebody."""

    done: set[UUID] = field(default_factory=set)
    refused: set[UUID] = field(default_factory=set)
    locked: set[UUID] = field(default_factory=set)


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
        self._changed = asyncio.Event()

    async def put(self, settlements: Sequence[Settlement]) -> None:
        """Hands over settlements and waits until they are written: so nobody sends the next request
        while the outcomes of the last one could still be lost, however slow the database is."""
        if settlements:
            written = asyncio.get_running_loop().create_future()
            self._handed.append(_Handed(settlements, written))
            self._changed.set()
            await written

    def close(self) -> None:
        """No more will come; :meth:`run` ends when all is written."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Writes until closed. Raises psycopg.OperationalError when the database stays away."""
        async with anyio.create_task_group() as waiting:
            while self._handed or not self._closed:
                if not self._handed:
                    self._changed = asyncio.Event()
                    await self._changed.wait()
                    continue
                taken, batch = list[_Handed](), list[Settlement]()
                # A cancelled run still writes what it was told: the requests were made.
                with anyio.CancelScope(shield=True):
                    if len(self._handed) > 1:
                        await anyio.sleep(_COLLECT_SECONDS)
                    while self._handed and len(batch) < MOST_PER_STATEMENT:
                        taken.append(self._handed.popleft())
                        batch += taken[-1].settlements
                    locked = await self._write(batch)
                if locked:
                    waiting.start_soon(self._write_locked, locked)
                for handed in taken:
                    if not handed.written.done():  # whoever waited may have been cancelled
                        handed.written.set_result(None)

    async def _write_locked(self, locked: list[Settlement]) -> None:
        """Writes what stands in rows that somebody has locked, as soon as they are free."""
        with anyio.move_on_after(MOST_LOCKED_SECONDS):
            while locked:
                await anyio.sleep(_LOOK_AGAIN_SECONDS)
                with anyio.CancelScope(shield=True):
                    locked = await self._write(locked)
        for _ in locked:
            self._tally.count_error("retry", "cannot be settled: its row is locked")
        if locked:
            log.error("%d events cannot be settled: their rows are locked", len(locked))
            self._leases.drop(settlement.id for settlement in locked)

    async def _write(self, batch: list[Settlement]) -> list[Settlement]:
        """Writes the batch and counts it. Returns those whose rows are locked."""
        written = _Written()
        await self._settle(batch, written)
        # The lease of a refused one is left to run out: it is a suspect then, and in the end alone.
        locked = [each for each in batch if each.id in written.locked] if written.locked else []
        unlocked = [each for each in batch if each.id not in written.locked] if locked else batch
        self._leases.drop(each.id for each in unlocked)
        for settlement in unlocked:
            if settlement.id in written.done:
                self._tally.count(settlement, self._queue.delivered_number)
            elif settlement.id not in written.refused:
                self._tally.numbers["stale_settles"] += 1
        return locked

    async def _settle(self, batch: Sequence[Settlement], written: _Written) -> None:
        """Settles the batch. What the table does not take (a constraint or a trigger of the site's
        own) must not cost its neighbours the record of a delivery."""
        halves = Halves(batch)
        for part in halves:
            try:
                await through_outages(partial(self._settle_once, part, written))
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                if halves.refuse(part):
                    written.refused.add(part[0].id)
                    told = f"cannot be settled: SQLSTATE {error.sqlstate}"
                    self._tally.count_error("retry", told)
                    log.error("an event cannot be settled (SQLSTATE %s)", error.sqlstate)

    async def _settle_once(self, batch: Sequence[Settlement], written: _Written) -> None:
        async with self._pool.connection() as connection:
            settle = partial(self._queue.settle, worker=self._worker, run_id=self._run_id)
            ids = {each.id for each in batch}
            written.locked -= ids
            try:
                written.done |= await settle(connection, batch)
            except psycopg.errors.LockNotAvailable:
                locked = await find_locked(connection, self._queue.table, ids)
                if not locked:
                    raise  # it is no row that is locked: an outage like any other
                batch = [each for each in batch if each.id not in locked]
                if batch:
                    written.done |= await settle(connection, batch)
                written.locked |= locked
