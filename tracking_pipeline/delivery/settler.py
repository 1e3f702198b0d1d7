"""Writes what attempts came to, many in one statement.

Settlements are collected while a statement is under way, so that the batch grows with the load and
a lone one does not wait. A settlement with a stale token changes nothing and is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import psycopg
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tracking_pipeline.delivery.leases import Leases
from tracking_pipeline.delivery.totals import Tally
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.failed_events import Settlement, find_settled, settle_attempts

MOST_PER_STATEMENT = 2_000
# Together about 50 seconds: for that long an outage of the database costs nothing, because the
# leases still stand. After it the events are claimed again, and what was delivered is delivered
# twice.
_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 15.0)

log = logging.getLogger(__name__)


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
        self._sender: MemoryObjectSendStream[Sequence[Settlement]]
        self._receiver: MemoryObjectReceiveStream[Sequence[Settlement]]
        self._sender, self._receiver = anyio.create_memory_object_stream(max_buffer_size=64)

    async def put(self, settlements: Sequence[Settlement]) -> None:
        """Hands over settlements. Waits while the writer is far behind: memory is bounded."""
        if settlements:
            await self._sender.send(settlements)

    def close(self) -> None:
        """No more will come; :meth:`run` ends when all is written."""
        self._sender.close()

    async def run(self) -> None:
        """Writes until closed. Raises psycopg.OperationalError when the database stays away."""
        async with self._receiver:
            async for first in self._receiver:
                batch = list(first)
                while len(batch) < MOST_PER_STATEMENT:
                    try:
                        batch += self._receiver.receive_nowait()
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                # A cancelled run still writes what it was told: the requests were made.
                with anyio.CancelScope(shield=True):
                    await self._write(batch)

    async def _write(self, batch: list[Settlement]) -> None:
        done = await self._settle_through_outages(batch)
        self._leases.drop(settlement.id for settlement in batch)
        for settlement in batch:
            if settlement.id in done:
                self._tally.count(settlement)
            else:
                self._tally.numbers["stale_settles"] += 1

    async def _settle_through_outages(self, batch: list[Settlement]) -> set[object]:
        done: set[object] = set()
        for wait in (*_WAITS_SECONDS, None):
            try:
                async with self._pool.connection() as connection:
                    if wait != _WAITS_SECONDS[0]:
                        # The statement before may have been committed before its connection broke.
                        done |= await find_settled(
                            connection, {each.id: each.lease_token for each in batch}
                        )
                    rest = [each for each in batch if each.id not in done]
                    return done | await settle_attempts(
                        connection, rest, worker=self._worker, run_id=self._run_id
                    )
            except psycopg.OperationalError as error:
                if wait is None:
                    raise
                log.warning(
                    "the database is away (SQLSTATE %s); settling again in %.1f s",
                    error.sqlstate or "none",
                    wait,
                )
                await anyio.sleep(wait)
        return done
