"""Writes what attempts came to, many in one statement.

Settlements are collected while a statement is under way, so that the batch grows with the load and
a lone one does not wait. A settlement with a stale token changes nothing and is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import anyio
import psycopg
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tracking_pipeline.delivery.leases import Leases
from tracking_pipeline.delivery.totals import Tally
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.failed_events import Settlement, find_settled, settle_attempts

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
        *,
        worker: str,
        run_id: str | None,
    ) -> None:
        self._pool = pool
        self._leases = leases
        self._worker = worker
        self._run_id = run_id
        self._tally = tally
        self._sender: MemoryObjectSendStream[_Handed]
        self._receiver: MemoryObjectReceiveStream[_Handed]
        self._sender, self._receiver = anyio.create_memory_object_stream()

    async def put(self, settlements: Sequence[Settlement]) -> None:
        """Hands over settlements and waits until they are written: so nobody sends the next request
        while the outcomes of the last one could still be lost, however slow the database is."""
        if settlements:
            handed = _Handed(settlements)
            try:
                await self._sender.send(handed)
            except anyio.BrokenResourceError:
                # The writer has failed; its own error, which tells more, is about to end this task.
                await anyio.sleep_forever()
            await handed.written.wait()

    def close(self) -> None:
        """No more will come; :meth:`run` ends when all is written."""
        self._sender.close()

    async def run(self) -> None:
        """Writes until closed. Raises psycopg.OperationalError when the database stays away."""
        async with self._receiver:
            async for first in self._receiver:
                taken, batch = [first], list(first.settlements)
                while len(batch) < MOST_PER_STATEMENT:
                    try:
                        taken.append(self._receiver.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
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
                self._tally.count(settlement)
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
                    await settle_attempts(
                        connection, rest, worker=self._worker, run_id=self._run_id
                    )
                )

        await through_outages(settle)
        return done
