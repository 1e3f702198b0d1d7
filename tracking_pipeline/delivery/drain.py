"""Drains the queue of one destination: claim, prepare, send, settle, until nothing is left to take.

    claimer  --(at most two requests' worth ahead)-->  senders (many)  -->  settler

One claimer leases rows, makes them ready and packs them into requests; senders keep several
requests in flight; every outcome goes to the run's settler. Memory is bounded by the requests in
flight, not by the queue. What was claimed and not started when the run ends is released, unspent.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import orjson
from aiolimiter import AsyncLimiter
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tracking_pipeline.delivery.bisection import deliver_batch
from tracking_pipeline.delivery.destination import Destination, Reply
from tracking_pipeline.delivery.events import FailedEvent, Lead, Prepared
from tracking_pipeline.delivery.gate import Gate
from tracking_pipeline.delivery.leases import Leases
from tracking_pipeline.delivery.outcomes import (
    Fault,
    Paused,
    Rejected,
    Retry,
    Uniform,
    reject,
)
from tracking_pipeline.delivery.packing import pack
from tracking_pipeline.delivery.room import Room
from tracking_pipeline.delivery.settlement import settlement
from tracking_pipeline.delivery.settler import Settler
from tracking_pipeline.delivery.totals import Tally
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.failed_events import Selection, claim_due_events

# For a destination without a limit of its own; a lease has 30 seconds left when a request starts.
LONGEST_REQUEST_SECONDS = 25.0

log = logging.getLogger(__name__)

_LEAD_FIELDS = tuple(Lead.__dataclass_fields__)


class Drain:
    """One destination's part of a run."""

    def __init__(
        self,
        destination: Destination,
        *,
        pool: AsyncPool,
        selection: Selection,
        leases: Leases,
        settler: Settler,
        gate: Gate,
        tally: Tally,
        time_is_up: Callable[[], bool],
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._destination = destination
        self._pool = pool
        self._selection = selection
        self._leases = leases
        self._settler = settler
        self._gate = gate
        self._tally = tally
        self._time_is_up = time_is_up
        self._dice = dice
        self._room = Room(destination.limits)
        rate = destination.limits.requests_per_second
        self._pace = AsyncLimiter(1, 1 / rate) if rate else None

    async def run(self) -> None:
        """Drains until the queue gives nothing more, the gate closes or the time is up."""
        if self._gate.state == "probing":
            await self._probe()
        if self._gate.state != "ok" or self._time_is_up():
            return
        sender: MemoryObjectSendStream[list[Prepared]]
        receiver: MemoryObjectReceiveStream[list[Prepared]]
        # Bounded by the room for claims, not here: the claimer must never wait with leases in hand.
        sender, receiver = anyio.create_memory_object_stream(max_buffer_size=math.inf)
        async with anyio.create_task_group() as tasks, receiver:
            tasks.start_soon(self._claim_into, sender)
            for _ in range(self._destination.limits.in_flight):
                tasks.start_soon(self._send_from, receiver.clone())

    async def _probe(self) -> None:
        """Sends one event to a destination that was paused, and lets its outcome move the gate."""
        while self._gate.state == "probing" and not self._time_is_up():
            batches = await self._claim(limit=1)
            if batches is None:
                return
            for batch in batches:
                await self._deliver(batch)

    async def _claim_into(self, sender: MemoryObjectSendStream[list[Prepared]]) -> None:
        async with sender:
            while self._may_go_on():
                batches = await self._claim(await self._room.events_to_claim())
                if batches is None:
                    # Nothing is left, or the destination was closed for all; then it is for us too.
                    await through_outages(self._gate.look_again)
                    return
                for batch in batches:
                    self._room.take()
                    try:
                        sender.send_nowait(batch)
                    except anyio.BrokenResourceError:
                        # The run was cancelled during the claim; its end hands all leases back.
                        return

    async def _send_from(self, receiver: MemoryObjectReceiveStream[list[Prepared]]) -> None:
        async with receiver:
            async for batch in receiver:
                if self._may_go_on():
                    await self._deliver(batch)
                else:
                    await self._leases.release(prepared.event.id for prepared in batch)
                self._room.give_back()

    def _may_go_on(self) -> bool:
        return self._gate.is_open and not self._time_is_up()

    async def _claim(self, limit: int) -> list[list[Prepared]] | None:
        """Leases up to ``limit`` events and packs those that can be sent into requests. None when
        there is nothing to take."""
        events = await through_outages(lambda: self._lease(limit))
        if not events:
            return None
        ready: list[Prepared] = []
        rejected = []
        for event in events:
            prepared = self._prepare(event)
            if isinstance(prepared, Prepared):
                ready.append(prepared)
                self._tally.dropped.update(prepared.dropped)
            else:
                rejected.append(settlement(event, prepared, dice=0.0))
        await self._settler.put(rejected)
        return list(pack(ready, self._destination.limits))

    async def _lease(self, limit: int) -> list[FailedEvent]:
        claimed_at = self._leases.clock()
        # A cancelled run must know what it holds, or it could not hand it back.
        with anyio.CancelScope(shield=True):
            async with self._pool.connection() as connection:
                rows = await claim_due_events(
                    connection,
                    self._destination.name,
                    self._selection,
                    limit,
                    probe=self._gate.state == "probing",
                )
            events = [_event(row) for row in rows]
            self._leases.hold(events, claimed_at)
        return events

    def _prepare(self, event: FailedEvent) -> Prepared | Rejected:
        """A bug in reading one payload must not stop its neighbours: such an event is parked, where
        it can be replayed once the bug is mended."""
        try:
            return self._destination.prepare(event)
        except Exception as error:  # whatever it is: the event stays, as a dead letter
            # orjson's error is a plain TypeError; only its words tell the depth from a bug of ours.
            if isinstance(error, RecursionError) or "Recursion limit" in str(error):
                return reject("event_payload is nested too deeply")
            log.warning("an event cannot be prepared: %s", type(error).__name__)
            return reject(f"cannot be prepared: {type(error).__name__}")

    async def _deliver(self, batch: list[Prepared]) -> None:
        tried = await deliver_batch(batch, self._send, self._may_send)
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
                    each.outcome or _INTERRUPTED,
                    dice=self._dice(),
                    requests=each.requests,
                    request_id=each.request_id,
                    duration_ms=each.duration_ms,
                )
            )
        await self._settler.put(settlements)
        await self._leases.release(untouched)

    async def _may_send(self, batch: Sequence[Prepared]) -> bool:
        # First the wait, then the questions: their answers may have changed meanwhile.
        if self._pace is not None and self._may_go_on():
            await self._pace.acquire()
        return self._may_go_on() and self._leases.allow(batch)

    async def _send(self, batch: Sequence[Prepared]) -> Reply:
        self._tally.numbers["requests"] += 1
        try:
            with anyio.fail_after(LONGEST_REQUEST_SECONDS):
                reply = await self._destination.send(batch, batch[0].event.now)
        except Exception as error:  # an unknown end of a request is a retry, never a lost event
            log.warning("%s: request failed: %s", self._destination.name, type(error).__name__)
            fault = Fault(f"the request failed: {type(error).__name__}", type(error).__name__)
            reply = Reply(Uniform(Retry(fault)), 0)
        probing = self._gate.state == "probing"
        await self._gate.heed(reply.verdict, events=len(batch))
        outcome = reply.verdict.outcome if isinstance(reply.verdict, Uniform) else None
        if probing and isinstance(outcome, Retry):
            # A paused destination costs no event a retry, and the probe's least of all.
            reply = replace(reply, verdict=Uniform(Paused(outcome.fault)))
        if reply.cool_down_seconds is not None:
            await self._gate.hold(reply.cool_down_seconds, "near the destination's rate limit")
        return reply


# The gate closed, or the time was up, while a refused batch was searched: nothing is spent.
_INTERRUPTED = Paused(Fault("the search for a refused event was interrupted"))


def _event(row: dict[str, Any]) -> FailedEvent:
    lead = None
    if row["known_lead_id"] is not None:
        lead = Lead(**{name: row[name] for name in _LEAD_FIELDS})
    return FailedEvent(
        id=row["id"],
        event_id=row["event_id"],
        event_name=row["event_name"],
        event_type=row["event_type"],
        payload=_json(row["payload"]),
        user_data=_json(row["user_data"]) if row["user_data"] else None,
        lead_id=row["lead_id"],
        session_id=row["session_id"],
        retry_count=row["retry_count"],
        max_retries=row["max_retries"],
        created_at=row["created_at"],
        now=row["now"],
        lease_token=row["lease_token"],
        lead=lead,
    )


def _json(text: str) -> Any:
    """The JSON of a jsonb column; None where it is nested too deeply to be read."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
