"""One worker's share of a destination's limits: it asks here before each request.

The share is a lease in the database (``allotment`` says who gets how much). It is looked after
twice a second while the worker sends, so that another one has its part within some two seconds; no
request waits for the database.

Failure policy: fails closed. A worker that cannot renew its share sends nothing more once the lease
is over, since others may have its part by then.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import anyio
import psycopg

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.allotment import (
    LEASE_SECONDS,
    NOTHING,
    Holding,
    Holdings,
    LimitShare,
    RequestPace,
    left,
    renewed,
)
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.destination_state import Shares, read_shares, replace_shares

LOOK_EVERY_SECONDS = 0.5
# A lease that has less left is written anew.
_RENEW_AT_SECONDS = LEASE_SECONDS / 2
# Of workers that write at the same moment one succeeds; the others read again.
_MOST_TRIES = 20


class Share:
    """One worker's share of one destination. For one event loop."""

    def __init__(
        self,
        pool: AsyncPool,
        destination: DestinationName,
        limits: Limits,
        worker: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._destination = destination
        self._limits = limits
        # Two runs in one process are two workers.
        self._worker = f"{worker}/{uuid4().hex[:8]}"
        self._clock = clock
        self._usable = NOTHING
        self._deadline = float("-inf")
        self._is_joined = False
        self._slots = _Slots()
        self._line = anyio.Lock(fast_acquire=True)
        self._pace = RequestPace(limits)

    @asynccontextmanager
    async def kept(self, is_wanted: Callable[[], bool]) -> AsyncIterator[None]:
        """Looks after the share inside the block, and gives it back at its end. Once it
        ``is_wanted`` no more, nobody waits for a slot: who asks to send is refused elsewhere."""
        error: Exception | None = None
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._keep, is_wanted)
            try:
                yield
            except Exception as failure:  # to be raised as it is, and in no group
                error = failure
            finally:
                beside.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._leave()
        if error is not None:
            raise error

    async def join(self) -> None:
        """Takes a share, if this worker has none: before its first request.

        Raises psycopg.OperationalError when the database stays away."""
        if not self._is_joined:
            self._is_joined = True
            self._pace.start(self._clock())
            await through_outages(self._look)

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Waits for one of the slots for requests in flight, and has it inside the block."""
        return self._slots

    async def turn(self, is_wanted: Callable[[], bool]) -> None:
        """Waits until a request may begin, or until it ``is_wanted`` no more. A request that may
        begin counts as begun."""
        if self._limits.requests_per_second is None and self._clock() < self._deadline:
            return
        async with self._line:
            while is_wanted():
                seconds = self._seconds_to_wait()
                if seconds <= 0:
                    self._pace.begin(self._usable.permits, self._clock())
                    return
                await anyio.sleep(min(seconds, LOOK_EVERY_SECONDS))

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        if now >= self._deadline:
            return LOOK_EVERY_SECONDS
        return self._pace.seconds_to_wait(self._usable.permits, now)

    def _in_use(self) -> LimitShare:
        return LimitShare(self._slots.taken, self._pace.in_use(self._clock()))

    async def _keep(self, is_wanted: Callable[[], bool]) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY_SECONDS)
            if not is_wanted():
                self._slots.let_all_through()
            elif self._is_joined:
                await through_outages(self._look)

    async def _look(self) -> None:
        """Adapts the share to who else is there, and renews its lease in time."""
        for _ in range(_MOST_TRIES):
            asked_at = self._clock()
            async with self._pool.connection() as connection:
                read, now = await read_shares(connection, self._destination)
                held = _holdings(read)
                wanted, usable = renewed(
                    held, self._worker, limits=self._limits, in_use=self._in_use(), now=now
                )
                # At once, and not when it is on record: more must never be used than is held.
                self._use(usable.at_most(self._usable))
                if not self._needs_writing(held, wanted):
                    self._use(usable)
                    return
                if await replace_shares(
                    connection, self._destination, read=read, shares=_on_record(wanted)
                ):
                    self._deadline = asked_at + LEASE_SECONDS
                    self._use(usable)
                    return

    def _needs_writing(self, held: Holdings, wanted: Holdings) -> bool:
        ours = held.get(self._worker)
        return (
            ours is None
            or ours.part != wanted[self._worker].part
            or self._deadline - self._clock() < _RENEW_AT_SECONDS
        )

    async def _leave(self) -> None:
        """Fails open: a share that cannot be given back ends by itself in a moment."""
        if not self._is_joined:
            return
        self._is_joined = False
        self._usable, self._slots = NOTHING, _Slots()
        self._deadline = float("-inf")
        try:
            for _ in range(_MOST_TRIES):
                async with self._pool.connection() as connection:
                    read, now = await read_shares(connection, self._destination)
                    holdings = left(
                        _holdings(read),
                        self._worker,
                        in_use=self._in_use(),
                        rest_seconds=self._pace.rest_seconds,
                        now=now,
                    )
                    if await replace_shares(
                        connection, self._destination, read=read, shares=_on_record(holdings)
                    ):
                        return
        except psycopg.OperationalError:
            return

    def _use(self, part: LimitShare) -> None:
        self._usable = part
        self._slots.resize(part.in_flight)


class _Slots(AbstractAsyncContextManager[None]):
    """A semaphore whose size changes: one that shrinks waits for what is taken."""

    def __init__(self) -> None:
        self._semaphore = anyio.Semaphore(0, fast_acquire=True)
        self._size = 0
        self._surplus = 0
        self.taken = 0

    def resize(self, size: int) -> None:
        for _ in range(size - self._size):
            self._put_back()
        for _ in range(self._size - size):
            try:
                self._semaphore.acquire_nowait()
            except anyio.WouldBlock:
                self._surplus += 1
        self._size = size

    async def __aenter__(self) -> None:
        # Most find one free: to ask the event loop takes longer than to take it.
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            await self._semaphore.acquire()
        self.taken += 1

    async def __aexit__(self, *_: object) -> None:
        self.taken -= 1
        self._put_back()

    def let_all_through(self) -> None:
        """Nobody who waits now, or comes later, is held up any more."""
        self._surplus = 0
        # One more than wait, so that there is always one left for who comes later.
        for _ in range(self._semaphore.statistics().tasks_waiting + 1):
            self._semaphore.release()

    def _put_back(self) -> None:
        if self._surplus:
            self._surplus -= 1
        else:
            self._semaphore.release()


def _holdings(read: Shares) -> Holdings:
    return {
        name: Holding(
            each["joined_at"], each["expires_at"], LimitShare(each["in_flight"], each["per_second"])
        )
        for name, each in read.items()
    }


def _on_record(holdings: Holdings) -> Shares:
    return {
        name: {
            "joined_at": each.joined_at,
            "expires_at": each.expires_at,
            "in_flight": each.part.in_flight,
            "per_second": each.part.permits,
        }
        for name, each in holdings.items()
    }
