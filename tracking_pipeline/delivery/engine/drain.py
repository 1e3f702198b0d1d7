"""Drains the queues of one destination: claim, prepare, send, settle, until nothing is left.

    claimer  -->  packer  --(a little ahead)-->  senders (many)  -->  settler

One claimer leases rows; while the packer makes them ready and packs them into requests, the
database looks for the next ones. Senders keep several requests in flight; every outcome goes to the
destination's settler, and while a sender waits for that, another one has its place in flight. So a
worker that is killed leaves unsettled, to be sent again, at most what its window holds. Memory is
bounded by that window, not by the queue. What was claimed and not started when the run ends is
released, unspent.

Events with which a worker was lost are suspects, one of which may take this worker down, too. They
are no part of that: a run looks into them group by group, while it holds nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import anyio
import psycopg
from anyio.streams.memory import MemoryObjectSendStream

from tracking_pipeline.delivery.engine.backoff import is_last_try
from tracking_pipeline.delivery.engine.bisection import INTERRUPTED, deliver_batch
from tracking_pipeline.delivery.engine.circuit import Circuit
from tracking_pipeline.delivery.engine.destination import Destination, Limits, Reply, prepare
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared, event_of, json_of_column
from tracking_pipeline.delivery.engine.leases import Leases
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Paused,
    Refused,
    Rejected,
    Retry,
    Uniform,
    Verdict,
    unknown_end,
    withhold,
)
from tracking_pipeline.delivery.engine.prefetch import ClaimWindow
from tracking_pipeline.delivery.engine.queues import Queue
from tracking_pipeline.delivery.engine.settlement import settlement
from tracking_pipeline.delivery.engine.settler import Settler
from tracking_pipeline.delivery.engine.share import Share
from tracking_pipeline.delivery.engine.totals import Tally
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.delivery_accounting import (
    LONGEST_ORDER_ID,
    OrderEvent,
    find_repeated,
)
from tracking_pipeline.store.failed_events import Selection, read_statements_of_leads


def pack(ready: Sequence[Prepared], limits: Limits) -> Iterator[list[Prepared]]:
    """The events in requests of one ``shared`` part each that keep the destination's bounds on
    number and size. An event that is larger than a request goes alone."""
    groups: dict[bytes, list[Prepared]] = {}
    for prepared in ready:
        groups.setdefault(prepared.shared, []).append(prepared)
    for shared, members in groups.items():
        yield from _within_bounds(members, len(shared), limits)


def _within_bounds(
    members: Sequence[Prepared], shared: int, limits: Limits
) -> Iterator[list[Prepared]]:
    batch: list[Prepared] = []
    size = shared
    for prepared in members:
        length = len(prepared.body) + 1
        if batch and (len(batch) >= limits.request_events or size + length > limits.request_bytes):
            yield batch
            batch, size = [], shared
        batch.append(prepared)
        size += length
    if batch:
        yield batch


log = logging.getLogger(__name__)

ORDER_REPEATED = withhold("the order came under another event id before", Failure.ORDER_REPEATED)

# How long a queue that was empty is not looked into again while the other one has events.
_REST_SECONDS = 1.0


@dataclass(eq=False)
class Source:
    """A queue that a drain claims from, the leases that the run holds in it, and who settles its
    events."""

    queue: Queue
    leases: Leases
    settler: Settler
    was_empty_at: float = float("-inf")


class Drain:
    """One destination's part of a run."""

    def __init__(
        self,
        destination: Destination,
        *,
        pool: AsyncPool,
        selection: Selection,
        sources: Sequence[Source],
        circuit: Circuit,
        share: Share,
        tally: Tally,
        time_is_up: Callable[[], bool],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._destination = destination
        self._pool = pool
        self._selection = selection
        self._sources = list(sources)
        self._circuit = circuit
        self._share = share
        self._tally = tally
        self._time_is_up = time_is_up
        self._jitter = jitter
        self._window = ClaimWindow(destination.limits)
        self._ready: asyncio.Queue[_Batch] = asyncio.Queue()

    async def run(self) -> None:
        """Drains until the queue gives nothing more, the circuit stops it or the time is up."""
        async with self._share.kept(self._may_go_on):
            await self._drain()

    async def _drain(self) -> None:
        if self._circuit.state == "probing":
            await self._probe()
        if self._circuit.state != "ok" or self._time_is_up():
            return
        async with anyio.create_task_group() as senders:
            # Not a task a request: to start one takes as long as to send one event.
            for _ in range(self._window.requests):
                senders.start_soon(self._keep_delivering)
            await self._pack_while_there_is_some()
            await self._window.wait_until_empty()
            senders.cancel_scope.cancel()

    async def run_suspects(self) -> bool:
        """Sends one group of suspects and settles them. False when there was none to take.

        To be called while the run holds no other event: whatever it held would be suspected too,
        should one of the group take the worker down.
        """
        if not self._may_go_on():
            return False
        async with self._share.kept(self._may_go_on):
            return await self._drain_group()

    async def _drain_group(self) -> bool:
        limits = self._destination.limits
        most = (
            1 if self._circuit.state == "probing" else max(limits.request_events, limits.in_flight)
        )
        claimed = await self._claim(most, suspects=True)
        if claimed is None:
            return False
        batches = await self._packed(claimed)
        async with anyio.create_task_group() as senders:
            for batch in batches:
                self._window.take(1)
                senders.start_soon(self._deliver, batch)
        return True

    async def _pack_while_there_is_some(self) -> None:
        # Without room in between: what is claimed and not packed is never more than one claim.
        to_packer, claims = anyio.create_memory_object_stream[_Claimed](0)
        async with anyio.create_task_group() as beside, claims:
            beside.start_soon(self._claim_while_there_is_some, to_packer)
            async for claimed in claims:
                batches = await self._packed(claimed)
                self._window.take(len(batches) - self._requests_for(claimed))
                for batch in batches:
                    self._ready.put_nowait(batch)

    async def _claim_while_there_is_some(self, to_packer: MemoryObjectSendStream[_Claimed]) -> None:
        async with to_packer:
            while self._may_go_on():
                claimed = await self._claim(await self._window.events_to_claim())
                if claimed is None:
                    # Nothing is left, or the destination was closed for all; then it is for us too.
                    await through_outages(self._circuit.refresh)
                    return
                self._window.take(self._requests_for(claimed))
                await to_packer.send(claimed)

    def _requests_for(self, claimed: _Claimed) -> int:
        """How many requests the events take that are not packed yet, where they fill each."""
        return math.ceil(len(claimed.events) / self._destination.limits.request_events)

    async def _keep_delivering(self) -> None:
        while True:
            await self._deliver(await self._ready.get())

    async def _probe(self) -> None:
        """Sends one event to a destination that was paused, and lets its outcome decide."""
        while self._circuit.state == "probing" and not self._time_is_up():
            claimed = await self._claim(limit=1)
            if claimed is None:
                return
            for batch in await self._packed(claimed):
                self._window.take(1)
                await self._deliver(batch)

    def _may_go_on(self) -> bool:
        return self._circuit.lets_through and not self._time_is_up()

    async def _claim(self, limit: int, *, suspects: bool = False) -> _Claimed | None:
        """Leases up to ``limit`` events of the queue whose turn it is. None when there is nothing
        to take.

        The queues take turns, so that neither keeps the other waiting."""
        for source in sorted(self._sources, key=_rests):
            events = await through_outages(partial(self._lease, source, limit, suspects))
            if events:
                self._sources.remove(source)
                self._sources.append(source)
                return _Claimed(source, events)
            source.was_empty_at = source.leases.clock()
        return None

    async def _packed(self, claimed: _Claimed) -> list[_Batch]:
        """Those of the events that can be sent, in requests; the others are settled."""
        source = claimed.source
        ready: list[Prepared] = []
        not_sent = []
        for event in claimed.events:
            prepared = self._not_again(event) or prepare(self._destination, event)
            if isinstance(prepared, Prepared):
                ready.append(prepared)
                self._tally.count_dropped(prepared.dropped)
            else:
                not_sent.append(settlement(event, prepared, jitter=0.0))
        if self._destination.limits.order_window is not None and ready:
            repeated = await through_outages(partial(self._find_repeated, ready))
            not_sent += [
                settlement(each.event, ORDER_REPEATED, jitter=0.0)
                for each in ready
                if each.event.event_id in repeated
            ]
            ready = [each for each in ready if each.event.event_id not in repeated]
        await source.settler.put(not_sent)
        if ready:
            await self._share.join()
        return [_Batch(source, events) for events in pack(ready, self._destination.limits)]

    def _not_again(self, event: FailedEvent) -> Rejected | None:
        """Why an event is not sent that its last worker may have sent; None where it is."""
        failure = self._destination.limits.unknown_end
        if failure is None or not event.in_doubt:
            return None
        return unknown_end(Fault("the worker ended while it sent the event", failure))

    async def _find_repeated(self, ready: Sequence[Prepared]) -> set[UUID]:
        """The events whose order is there already, under another id."""
        window = self._destination.limits.order_window
        orders = [
            OrderEvent(order[:LONGEST_ORDER_ID], event.event_name, event.event_id, event.created_at)
            for event in (each.event for each in ready)
            if isinstance(read := read_conversion(event), Conversion) and (order := read.order_id)
        ]
        if window is None or not orders:
            return set()
        async with self._pool.connection() as connection:
            return await find_repeated(connection, self._destination.name, orders, window=window)

    async def _lease(self, source: Source, limit: int, suspects: bool) -> list[FailedEvent]:
        claimed_at = source.leases.clock()
        # A cancelled run must know what it holds, or it could not hand it back.
        with anyio.CancelScope(shield=True):
            async with self._pool.connection() as connection:
                rows = await source.queue.claim(
                    connection,
                    self._destination.name,
                    self._selection,
                    limit,
                    probe=self._circuit.state == "probing",
                    suspects=suspects,
                )
            events = [event_of(row) for row in rows]
            source.leases.hold(events, claimed_at)
        replayed = [event for event, row in zip(events, rows, strict=True) if row["is_replayed"]]
        await self._ask_leads(replayed)
        return events

    async def _ask_leads(self, replayed: Sequence[FailedEvent]) -> None:
        """Gives events that were replayed what their leads say of consent by now; None where nobody
        can know it, because the site's event log cannot be read."""
        lead_ids = {event.lead_id for event in replayed} - {None}
        if not lead_ids:
            return
        found: dict[UUID, str] | None = None
        try:
            async with self._pool.connection() as connection:
                found = await read_statements_of_leads(connection, lead_ids)
        except psycopg.Error as error:
            log.warning("wm_event_log cannot be read (SQLSTATE %s)", error.sqlstate or "none")
        for event in replayed:
            if event.lead_id is not None:
                text = "null" if found is None else found.get(event.lead_id, "[]")
                event.statements = json_of_column(text)

    async def _deliver(self, batch: _Batch) -> None:
        source = batch.source
        async with self._share.slot():
            tried = await deliver_batch(
                batch.events,
                self._send,
                partial(self._may_send, source.leases),
                is_last_try=self._is_last_try,
                send_part=partial(self._send, others_accepted=True),
            )
        for each in tried:
            if isinstance(each.outcome, Paused) and self._circuit.state == "ok":
                # Both halves of a suspected request drew it: it is the call's.
                await self._circuit.record_result(Uniform(each.outcome), events=1)
        settlements = []
        untouched = []
        for each in tried:
            if each.outcome is None and not each.requests:
                untouched.append(each.prepared.event.id)
                continue
            settlements.append(
                settlement(
                    each.prepared.event,
                    # Seen by the other side in a refused request, so it belongs in the log.
                    each.outcome or INTERRUPTED,
                    jitter=self._jitter(),
                    retry_horizon=self._destination.limits.retry_horizon,
                    retry_base_seconds=self._destination.limits.retry_base_seconds,
                    requests=each.requests,
                    request_id=each.request_id,
                    duration_ms=each.duration_ms,
                )
            )
        await source.settler.put(settlements)
        if untouched:
            # Where copies are not minded, nothing is known of a row that was in doubt before.
            unsent = self._destination.limits.unknown_end is not None
            await source.leases.release(untouched, unsent=unsent)
        self._window.give_back()

    async def _may_send(self, leases: Leases, batch: Sequence[Prepared]) -> bool:
        # First the wait, then the questions: their answers may have changed meanwhile.
        await self._share.turn(self._may_go_on)
        if not self._may_go_on() or not leases.allow(batch):
            return False
        if self._destination.limits.unknown_end is None:
            return True
        return await leases.mark_sent(batch) and self._may_go_on()

    def _is_last_try(self, prepared: Prepared, retry: Retry) -> bool:
        event = prepared.event
        limits = self._destination.limits
        return is_last_try(
            event, retry.retry_after_seconds, limits.retry_horizon, limits.retry_base_seconds
        )

    async def _send(self, batch: Sequence[Prepared], *, others_accepted: bool = False) -> Reply:
        self._tally.numbers["requests"] += 1
        try:
            reply = await self._destination.send(batch, batch[0].event.now)
        except Exception as error:  # an unknown end of a request is a retry, never a lost event
            log.warning("%s: request failed: %s", self._destination.name, type(error).__name__)
            name = type(error).__name__
            message, failure = f"the request failed: {name}", self._destination.limits.unknown_end
            fault = Fault(message, failure or Failure.REQUEST_FAILED, name)
            reply = Reply(Uniform(unknown_end(fault) if failure else Retry(fault)), 0)
        self._window.answer()
        verdict = self._circuit.suspected(reply.verdict, events=len(batch))
        if verdict is not reply.verdict:
            reply = replace(reply, verdict=verdict)
        probing = self._circuit.state == "probing"
        first = batch[0].event
        await self._circuit.record_result(
            reply.verdict,
            events=len(batch),
            event_id=first.event_id,
            others_accepted=others_accepted,
        )
        outcome = reply.verdict.outcome if isinstance(reply.verdict, Uniform) else None
        is_over = isinstance(outcome, Rejected)  # in doubt, or it would be sent a second time
        stays_paused = probing and self._circuit.state == "paused" and not is_over
        if stays_paused and not await through_outages(
            partial(self._circuit.may_be_its_own_fault, reply.verdict, first.id)
        ):
            # A paused destination costs no event anything, and the probe's least of all.
            reply = replace(reply, verdict=Uniform(Paused(_fault_of(reply.verdict))))
        if reply.cool_down_seconds is not None:
            await self._circuit.throttle(
                reply.cool_down_seconds, "near the destination's rate limit"
            )
        return reply


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What one claim took."""

    source: Source
    events: list[FailedEvent]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one request is to carry, and where it came from."""

    source: Source
    events: list[Prepared]


def _fault_of(verdict: Verdict) -> Fault:
    """Why a request failed, of one whose answer stopped the run."""
    if isinstance(verdict, Refused):
        return verdict.rejected.fault
    outcome = verdict.outcome if isinstance(verdict, Uniform) else None
    if outcome is None or isinstance(outcome, Delivered):
        return Fault("", Failure.DESTINATION_FAILING)
    return outcome.fault


def _rests(source: Source) -> bool:
    return source.leases.clock() - source.was_empty_at < _REST_SECONDS
