"""One retry run over all destinations: the service that the job, the command and the endpoint call.

All destinations are drained at once in one event loop, each with its own claims, limits and
circuit, so a dead one does not hold up the others. A run ends when nothing is left to take or its
time budget is spent; it fails only when the database stays away.

Events with which a worker was lost come after all others, one small group of them at a time over
all destinations: should one take this worker down, too, nothing but its group is suspected.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import anyio
import psycopg

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.circuit import Circuit
from tracking_pipeline.delivery.engine.destination import AnswersLater, Destination, NotConfigured
from tracking_pipeline.delivery.engine.drain import Drain, Source
from tracking_pipeline.delivery.engine.leases import Leases
from tracking_pipeline.delivery.engine.queues import QUEUES, Queue
from tracking_pipeline.delivery.engine.settler import Settler
from tracking_pipeline.delivery.engine.share import Share
from tracking_pipeline.delivery.engine.totals import RetryTotals, Tally, totals_of
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import DeliveryClient, http_client
from tracking_pipeline.store.database import AsyncPool, DatabaseError, connection_pool, read_clock
from tracking_pipeline.store.failed_events import Selection
from tracking_pipeline.store.refusals import Halves

TIME_BUDGET_SECONDS = 240
# What is left is for suspects, so that a long queue does not keep them waiting; a run that finds
# none goes on with the others.
_SHARE_OF_CLEAN_EVENTS = 0.75
PROGRESS_EVERY_SECONDS = 5.0
# A claim, a settle and a renewal may go on at once for each destination, and the ledger sends here
# too.
_POOL_SIZE = 10
_MOST_CONNECTIONS = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """What to retry: ``destinations`` empty means all; ``all_events`` also takes events that are
    not due yet; ``event_id`` names one event by its own id or its row's.
    """

    destinations: tuple[DestinationName, ...] = ()
    all_events: bool = False
    event_id: UUID | None = None
    time_budget_seconds: float = TIME_BUDGET_SECONDS
    dry_run: bool = False


class MakeDestinations(Protocol):
    """Makes the destinations on a run's own HTTP client and pool."""

    def __call__(
        self, client: DeliveryClient, pool: AsyncPool
    ) -> Sequence[Destination | NotConfigured]: ...


Progress = Callable[[RetryTotals], None]


async def retry_failed_events(
    url: str,
    make_destinations: MakeDestinations,
    request: RetryRequest,
    *,
    run_id: str | None = None,
    progress: Progress = lambda totals: None,
) -> RetryTotals:
    """One retry run on the database at ``url``. ``progress`` is called every few seconds.

    Raises :class:`DatabaseError` when the database cannot be reached or stays away.
    """
    try:
        async with (
            connection_pool(url, size=_POOL_SIZE) as pool,
            http_client(max_connections=_MOST_CONNECTIONS) as client,
        ):
            chosen = [
                destination
                for destination in make_destinations(client, pool)
                if not request.destinations or destination.name in request.destinations
            ]
            run = _RetryRun(pool, chosen, request, run_id, progress)
            return await run.dry() if request.dry_run else await run.go()
    except Exception as error:
        raise _worst(error) from None


def _worst(error: Exception) -> BaseException:
    """What to tell of the errors that ended a run: a bug first, else that the database failed.

    A psycopg error may quote the row it is about, so only its code is kept.
    """
    leaves = list(_leaves(error))
    for leaf in leaves:
        if not isinstance(leaf, psycopg.Error):
            return leaf
    states = sorted({getattr(leaf, "sqlstate", None) or "none" for leaf in leaves})
    return DatabaseError(
        f"the database failed during the run (SQLSTATE {', '.join(states)}): "
        "nothing is lost, what was claimed comes back within a minute"
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside the groups that task groups raise. Python 3.10 has no name for a group."""
    members = getattr(error, "exceptions", None)
    if members is None:
        yield error
    for member in members or ():
        yield from _leaves(member)


@dataclass(frozen=True)
class _Part:
    """What one run does about one destination."""

    sources: Sequence[Source]
    circuit: Circuit
    drain: Drain
    tally: Tally

    async def run(self, asked_by_operator: bool) -> None:
        """Asks the circuit and drains what is no suspect."""
        await self.circuit.begin_run(asked_by_operator=asked_by_operator)
        await self.run_on()

    async def run_on(self) -> None:
        """Drains what is no suspect."""
        await self.drain.run()
        await self._tell()

    async def run_suspects(self) -> bool:
        """Sends one group of suspects; whether there was one."""
        is_found = await self.drain.run_suspects()
        if is_found:
            await self._tell()
        return is_found

    async def _tell(self) -> None:
        await self.circuit.share_counts()
        self.tally.state, self.tally.detail = self.circuit.state, self.circuit.detail
        self.tally.failure = self.circuit.failure


class _RetryRun:
    def __init__(
        self,
        pool: AsyncPool,
        destinations: Sequence[Destination | NotConfigured],
        request: RetryRequest,
        run_id: str | None,
        progress: Progress,
    ) -> None:
        self._pool = pool
        self._request = request
        self._run_id = run_id
        self._progress = progress
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._started = time.monotonic()
        self._seconds = request.time_budget_seconds
        self._destinations = [each for each in destinations if not isinstance(each, NotConfigured)]
        self._shares = {
            each.name: Share(pool, each.name, each.limits, self._worker)
            for each in self._destinations
        }
        self._tallies = {
            each.name: Tally(each.name, state="not_configured", detail=each.missing)
            if isinstance(each, NotConfigured)
            else Tally(each.name)
            for each in destinations
        }

    async def go(self) -> RetryTotals:
        """Drains every configured destination and returns what came of it."""
        selection = await self._selection()
        await self._bury()
        leases = {queue: Leases(self._pool, queue) for queue in QUEUES}
        async with anyio.create_task_group() as beside:
            for each in leases.values():
                beside.start_soon(each.keep_renewing)
            beside.start_soon(self._report)
            try:
                await self._drain(selection, leases)
            finally:
                beside.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    for each in leases.values():
                        await each.release_all()
        await self._read_outcomes()
        await self._count_left(selection)
        return self._totals()

    async def _read_outcomes(self) -> None:
        """Some say later what became of the events they accepted; now is later for some events."""
        for destination in self._destinations:
            if isinstance(destination, AnswersLater):
                found = await destination.read_later_answers(
                    self._pool, self._shares[destination.name], run_id=self._run_id
                )
                tally = self._tallies[destination.name]
                tally.numbers["refused_later"] += found.dead_lettered
                tally.numbers["requeued_later"] += found.requeued
                tally.numbers["requests"] += found.requests
                tally.count_later(warned=found.warned, unmatched=found.unmatched)
                if found.state != "ok":
                    tally.state, tally.detail = found.state, found.detail
                    tally.failure = found.failure

    async def dry(self) -> RetryTotals:
        """Counts what a run would take, and takes nothing."""
        await self._count_left(await self._selection())
        return self._totals()

    async def _drain(self, selection: Selection, leases: Mapping[Queue, Leases]) -> None:
        parts = [self._part(destination, selection, leases) for destination in self._destinations]
        async with anyio.create_task_group() as settlers:
            for part in parts:
                for source in part.sources:
                    settlers.start_soon(source.settler.run)
            try:
                await self._drain_all(parts)
                await self._drain_suspects(parts)
            finally:
                for part in parts:
                    for source in part.sources:
                        source.settler.close()

    async def _drain_all(self, parts: Sequence[_Part]) -> None:
        """All destinations at once, but for their suspects."""
        self._seconds = self._request.time_budget_seconds * _SHARE_OF_CLEAN_EVENTS
        async with anyio.create_task_group() as drains:
            for part in parts:
                drains.start_soon(part.run, self._asked_by_operator)

    async def _drain_suspects(self, parts: Sequence[_Part]) -> None:
        """The destinations' suspects in turns, then again what the time did not suffice for."""
        is_cut_short = self._time_is_up()
        self._seconds = self._request.time_budget_seconds
        waiting = deque(parts)
        while waiting:
            part = waiting.popleft()
            if await part.run_suspects():
                waiting.append(part)
        if is_cut_short:
            async with anyio.create_task_group() as drains:
                for part in parts:
                    drains.start_soon(part.run_on)

    def _part(
        self, destination: Destination, selection: Selection, leases: Mapping[Queue, Leases]
    ) -> _Part:
        """One destination with settlers of its own: its outcomes never queue behind another's."""
        tally = self._tallies[destination.name]
        sources = [
            Source(
                queue,
                held,
                Settler(self._pool, held, tally, queue, worker=self._worker, run_id=self._run_id),
            )
            for queue, held in leases.items()
        ]
        circuit = Circuit(self._pool, destination.name)
        drain = Drain(
            destination,
            pool=self._pool,
            selection=selection,
            sources=sources,
            circuit=circuit,
            share=self._shares[destination.name],
            tally=tally,
            time_is_up=self._time_is_up,
        )
        return _Part(sources, circuit, drain, tally)

    @property
    def _asked_by_operator(self) -> bool:
        return self._request.all_events or self._request.event_id is not None

    def _time_is_up(self) -> bool:
        return time.monotonic() - self._started >= self._seconds

    async def _selection(self) -> Selection:
        async with self._pool.connection() as connection:
            return Selection(
                started_at=await read_clock(connection),
                due_only=not self._request.all_events,
                event_id=self._request.event_id,
            )

    async def _bury(self) -> None:
        names = [each.name for each in self._destinations]
        for queue in QUEUES:
            async with self._pool.connection() as connection:
                crashed = await queue.find_crashed(connection, names)
            buried = await self._bury_rows(queue, crashed)
            for tally in self._tallies.values():
                count = buried.get(tally.destination, 0)
                if count:
                    tally.numbers["dead_lettered"] += count
                    tally.count_error(
                        "rejected", "worker_crash", count, failure=Failure.WORKER_CRASH.code
                    )

    async def _bury_rows(self, queue: Queue, ids: Sequence[UUID]) -> Counter[str]:
        """Fails open for a row that the site's own table does not take: it stays where it is, and
        keeps no other from being buried or sent."""
        buried: Counter[str] = Counter()
        halves = Halves(ids)
        for part in halves:
            try:
                async with self._pool.connection() as connection:
                    buried += Counter(
                        await queue.bury(connection, part, worker=self._worker, run_id=self._run_id)
                    )
            except psycopg.Error as error:
                if halves.refuse(part, error):
                    state = error.sqlstate
                    log.error("a crashed event cannot be dead-lettered (SQLSTATE %s)", state)
        return buried

    async def _count_left(self, selection: Selection) -> None:
        """What is left waiting, and whether a throttle or a pause is what it waits for."""
        async with self._pool.connection() as connection:
            left = {queue: await queue.count(connection, selection) for queue in QUEUES}
        for tally in self._tallies.values():
            for queue in QUEUES:
                tally.numbers[queue.waiting_number] = left[queue].get(tally.destination, 0)
            if tally.state in ("throttled", "paused"):
                tally.numbers[tally.state] = tally.numbers["waiting"]

    async def _report(self) -> None:
        while True:
            await anyio.sleep(PROGRESS_EVERY_SECONDS)
            self._progress(self._totals())

    def _stopped_reason(self) -> str:
        if self._time_is_up():
            return "time_budget"
        held = any(tally.state in ("throttled", "paused") for tally in self._tallies.values())
        return "held" if held else "drained"

    def _totals(self) -> RetryTotals:
        return totals_of(
            list(self._tallies.values()),
            seconds=time.monotonic() - self._started,
            stopped_reason=self._stopped_reason(),
            dry_run=self._request.dry_run,
        )
