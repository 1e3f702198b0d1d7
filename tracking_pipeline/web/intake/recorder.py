"""Records events, all that wait in one statement, and tells each sender when its own is committed.

A statement and a commit cost the same for one event and for a hundred: what is posted while one
batch is being written makes the next one. Nobody is told "recorded" before the commit, so an answer
of 2xx is a promise that a crash does not break.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from tracking_pipeline.store.database import AsyncPool, read_clock
from tracking_pipeline.store.intake import Accepted, accept_events
from tracking_pipeline.store.refusals import Halves
from tracking_pipeline.web.intake.events import IncomingEvent

# Two, so that a batch that waits for a lock of the site's own does not hold up the next.
WRITERS = 2
MOST_PER_STATEMENT = 500
MOST_STATEMENT_BYTES = 4 * 1024 * 1024
# What waits is held in memory: beyond this, senders are asked to come again.
MOST_WAITING_EVENTS = 5_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
# An answer should not take longer than a browser's patience.
STATEMENT_SECONDS = 10.0
OUTAGE_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0)

log = logging.getLogger(__name__)


class NotRecordedError(Exception):
    """The event was perhaps not recorded: to be sent again, under the same id. One line."""


class RefusedEventError(Exception):
    """A table of the site's does not take the event. One line."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """``duplicate``: the ledger had this event id; ``duplicate_conversion``: it had this conversion
    of this lead under another id. Neither is handed over again."""

    duplicate: bool = False
    duplicate_conversion: bool = False

    @property
    def is_new(self) -> bool:
        return not (self.duplicate or self.duplicate_conversion)


class Recorder:
    """To be used from one event loop, inside :func:`recorder`."""

    def __init__(self, pool: AsyncPool, now: datetime) -> None:
        self._pool = pool
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._something = asyncio.Event()
        self._closing = False
        self._set_clock(now)

    def now(self) -> datetime:
        """The database's clock, as it was told last and has gone on since."""
        return self._told + timedelta(seconds=time.monotonic() - self._told_at)

    async def record(self, event: IncomingEvent) -> Recorded:
        """Waits until the event is committed. Raises :class:`NotRecordedError` and
        :class:`RefusedEventError`."""
        waiting = _Waiting(event, asyncio.get_running_loop().create_future())
        if (
            len(self._waiting) >= MOST_WAITING_EVENTS
            or self._bytes + waiting.size > MOST_WAITING_BYTES
        ):
            raise NotRecordedError("too many events at once: send this one again")
        self._waiting.append(waiting)
        self._bytes += waiting.size
        self._something.set()
        return await waiting.recorded

    async def write(self) -> None:
        """Writes what waits, until :meth:`close`."""
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._something.clear()
                await self._something.wait()
                continue
            batch = self._take()
            try:
                await self._write(batch)
            except Exception as error:  # whatever it is: nobody may wait for ever
                log.error("events cannot be recorded: %s", _told(error))
                _fail(batch, NotRecordedError("the ledger cannot be written: send this again"))

    def close(self) -> None:
        """No more will come; :meth:`write` ends when all is written."""
        self._closing = True
        self._something.set()

    def _take(self) -> list[_Waiting]:
        """The next batch, oldest first. A second event of one id waits for the next one."""
        batch: dict[UUID, _Waiting] = {}
        again: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MOST_PER_STATEMENT and size < MOST_STATEMENT_BYTES:
            waiting = self._waiting.popleft()
            if waiting.event.event_id in batch:
                again.append(waiting)
                continue
            batch[waiting.event.event_id] = waiting
            size += waiting.size
        self._waiting.extendleft(reversed(again))
        self._bytes -= size
        # In one order, so that two batches that meet do not wait for each other.
        return [batch[event_id] for event_id in sorted(batch)]

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Halves what is refused until the culprits stand alone."""
        halves = Halves(batch)
        for part in halves:
            try:
                accepted = await self._accept_through_outages([each.event for each in part])
            except psycopg.Error as error:
                if halves.refuse(part, error):
                    refusal = f"refused by the ledger (SQLSTATE {error.sqlstate})"
                    log.warning("an event is %s", refusal)
                    _fail(part, RefusedEventError(refusal))
                continue
            self._set_clock(accepted.now)
            for each in part:
                each.tell(recorded_as(each.event, accepted))

    async def _accept_through_outages(self, events: Sequence[IncomingEvent]) -> Accepted:
        for wait in OUTAGE_WAITS_SECONDS:
            try:
                return await self._accept(events)
            except psycopg.OperationalError as error:
                # It may have been committed all the same; then the ids are found in the ledger.
                log.warning("the database is away (SQLSTATE %s)", error.sqlstate or "none")
                await asyncio.sleep(wait)
        return await self._accept(events)

    async def _accept(self, events: Sequence[IncomingEvent]) -> Accepted:
        rows = b",".join([event.row for event in events])
        hand_overs = b",".join([event.hand_over for event in events if event.hand_over])

        async def accept() -> Accepted:
            async with self._pool.connection() as connection:
                return await accept_events(
                    connection,
                    b"[" + rows + b"]",
                    b"[" + hand_overs + b"]",
                    [event.event_id for event in events],
                )

        return await asyncio.wait_for(accept(), STATEMENT_SECONDS)

    def _set_clock(self, now: datetime) -> None:
        self._told, self._told_at = now, time.monotonic()


class _Waiting:
    """An event, and who waits for it."""

    __slots__ = ("event", "recorded", "size")

    def __init__(self, event: IncomingEvent, recorded: asyncio.Future[Recorded]) -> None:
        self.event = event
        self.recorded = recorded
        self.size = len(event.row) + len(event.hand_over or b"")

    def tell(self, recorded: Recorded) -> None:
        # Who went away does not wait any more.
        if not self.recorded.done():
            self.recorded.set_result(recorded)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for each in batch:
        if not each.recorded.done():
            each.recorded.set_exception(error)


def recorded_as(event: IncomingEvent, accepted: Accepted) -> Recorded:
    """What became of one event of a batch."""
    if event.event_id in accepted.inserted:
        return Recorded()
    if event.event_id in accepted.present:
        # Of an id that was made here, a try before whose end nobody heard of.
        return Recorded(duplicate=not event.is_new_id)
    return Recorded(duplicate_conversion=True)


def _told(error: Exception) -> str:
    """A psycopg error may quote the row that it is about, so only its code is told."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}{f' (SQLSTATE {state})' if state else ''}"


@asynccontextmanager
async def recorder(pool: AsyncPool) -> AsyncIterator[Recorder]:
    """A recorder at work inside the block; at its end all that waits is written."""
    async with pool.connection() as connection:
        made = Recorder(pool, await read_clock(connection))
    writers = [asyncio.create_task(made.write()) for _ in range(WRITERS)]
    try:
        yield made
    finally:
        made.close()
        await asyncio.gather(*writers)
