"""What became of the events that Google accepted: read later, by a run that comes anyway.

Google checks an accepted request on its own time and then tells one status for it, whose meaning
``request_status`` reads. What is done with its events:

    delivered     nothing: the queue says so already; those that matched nobody are counted
    refused       all become dead letters, with the reason
    later         all are back in the queue after six hours, one retry spent
    account       all are back in the queue, nothing spent, and the breaker opens
    unclear       narrowed
    processing    asked about again later, and so is what cannot be read

Asking and sending again keep to the destination's rate, one request at a time, and whatever says
that nobody gets in (a token, a quota, the account) closes the destination for all as it does in a
drain.

**Narrowing.** The events of such a request are sent again in parts of a sixteenth each, under the
same ``transactionId``, and each part is asked about later: 2,000 events need three rounds to single
ones. What Google has already it reports as a duplicate, so nothing is counted twice. Meanwhile the
events stay ``resolved``, as most of them truly are; only those found refused are taken back. Each
try is an attempt in the log. An event that cannot be sent any more (consent withdrawn, too old,
replayed since) leaves the search and stays as it is.

**First attempts.** An event that Google accepted at its first attempt is kept among the accepted
events until it is judged. Judged well, it is forgotten; where some of its request failed, all of
them become failed events, resolved as they stand, and the same is done with them as with others.

Failure policy: this never fails the run. A status that cannot be read is read again after a growing
wait, and given up as ``unknown`` after some two weeks. Work is bounded: so many checks, so many
parts and so many seconds a run; the rest is due in the next one.

https://developers.google.com/data-manager/api/devguides/diagnostics
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.destinations.google.answers import classify
from tracking_pipeline.delivery.destinations.google.credentials import CredentialsError
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleEc,
    without_token,
)
from tracking_pipeline.delivery.destinations.google.later_settlement import (
    later_outcome,
    sent_again,
    taking_back,
)
from tracking_pipeline.delivery.destinations.google.request_status import (
    RequestStatus,
    read_request_status,
)
from tracking_pipeline.delivery.engine.bisection import deliver_batch
from tracking_pipeline.delivery.engine.circuit import Circuit
from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared, event_of
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    Rejected,
    Throttled,
    Uniform,
)
from tracking_pipeline.delivery.engine.share import Share
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer, get
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.destination_state import read_destination_state
from tracking_pipeline.store.failed_events import Settlement
from tracking_pipeline.store.first_attempts import (
    forget_delivered_events,
    forget_old_deliveries,
    reopen_delivered_events,
)
from tracking_pipeline.store.google_requests import (
    MOST_CHECKS,
    GoogleOutcome,
    GoogleRequest,
    claim_google_request,
    close_google_request,
    keep_members,
    read_delivered_members,
    settle_deliveries,
)

# One run's share: a backlog of requests is worked off over the following runs.
MOST_CHECKS_A_RUN = 100
MOST_PARTS_A_RUN = 64
TIME_BUDGET_SECONDS = 60.0
PARTS = 16
# Longer than Google keeps what it has to tell about a request.
JUDGED_WITHIN_DAYS = 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GoogleOutcomes:
    """One reading, in accepted requests; ``dead_lettered`` and ``requeued`` are events,
    ``requests`` those that sent events again. ``unmatched`` and ``warned`` are events, too, by
    Google's reason: they stay delivered.

    ``checked`` = delivered + refused + narrowed + processing + unreadable + unknown. ``state`` says
    how the destination stood at the end, as the engine's ``Circuit`` does, and ``detail`` why.
    """

    state: str = "ok"
    detail: str = ""
    failure: Failure | None = None

    checked: int = 0
    delivered: int = 0
    refused: int = 0
    narrowed: int = 0
    processing: int = 0
    unreadable: int = 0
    unknown: int = 0
    dead_lettered: int = 0
    requeued: int = 0
    requests: int = 0
    unmatched: Mapping[str, int] = field(default_factory=dict)
    warned: Mapping[str, int] = field(default_factory=dict)


async def read_google_outcomes(
    pool: AsyncPool,
    google: GoogleEc,
    *,
    share: Share | None = None,
    run_id: str | None = None,
) -> GoogleOutcomes:
    """Asks about the accepted requests whose time has come, and settles what Google found.

    To be called once a retry run, beside or after the drains. Reads nothing while the destination
    is paused or throttled. Never raises for the other side or for the database.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}"
    share = share or Share(pool, google.name, google.limits, worker)
    reading = _OutcomesRun(pool, google, share, worker, run_id)
    try:
        await reading.run()
    except psycopg.Error as error:
        log.warning(
            "Google's outcomes cannot be settled (SQLSTATE %s): they are read again later",
            error.sqlstate or "none",
        )
    except Exception as error:  # whatever it is: it must not cost the run what it delivered
        log.warning("Google's outcomes cannot be read: %s", type(error).__name__)
    return reading.outcomes()


@dataclass
class _OutcomesRun:
    pool: AsyncPool
    google: GoogleEc
    share: Share
    worker: str
    run_id: str | None
    jitter: Callable[[], float] = random.random
    counts: Counter[str] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    warned: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._circuit = Circuit(self.pool, self.google.name)
        self._started = time.monotonic()

    def outcomes(self) -> GoogleOutcomes:
        return GoogleOutcomes(
            self._circuit.state,
            self._circuit.detail,
            self._circuit.failure,
            **self.counts,
            unmatched=self.unmatched,
            warned=self.warned,
        )

    async def run(self) -> None:
        async with self.pool.connection() as connection:
            shared = await read_destination_state(connection, self.google.name)
            await forget_old_deliveries(connection, JUDGED_WITHIN_DAYS)
        if shared.state != "closed" or shared.throttled_seconds > 0:
            return
        async with self.share.kept(self._may_go_on):
            await self._check_what_is_due()

    async def _check_what_is_due(self) -> None:
        while self._may_go_on():
            async with self.pool.connection() as connection:
                request = await claim_google_request(connection)
            if request is None:
                return
            await self.share.join()
            async with self.share.slot():
                if not await self._check(request):
                    return

    def _may_go_on(self) -> bool:
        return (
            self._circuit.lets_through
            and self.counts["checked"] < MOST_CHECKS_A_RUN
            and self.counts["requests"] < MOST_PARTS_A_RUN
            and time.monotonic() - self._started < TIME_BUDGET_SECONDS
        )

    async def _check(self, request: GoogleRequest) -> bool:
        """Asks about one request and settles it. False where it makes no sense to go on now."""
        await self.share.turn(self._may_go_on)
        if not self._may_go_on():
            return False
        try:
            answer, secrets = await _retrieve(self.google, request.request_id)
        except CredentialsError as error:
            await self._circuit.record_result(Uniform(without_token(error)), events=request.events)
            return False
        self.counts["checked"] += 1
        await self._heed(answer, request, secrets)
        status = read_request_status(answer, request.events)
        if status.state in ("processing", "unreadable"):
            await self._leave(request, status)
        elif status.state == "delivered":
            await self._close(request, "delivered", status=status)
            self.unmatched.update(status.unmatched)
            self.warned.update(status.warnings)
        elif status.state == "unclear":
            await self._narrow(request, status)
        else:
            await self._take_back(request, status)
        # Without an answer, the next one would fare no better.
        return answer.status is not None

    async def _heed(self, answer: Answer, request: GoogleRequest, secrets: Sequence[str]) -> None:
        """A quota or a refused token would meet the events as well. What else is wrong with such an
        answer (a 404 for a request that Google has forgotten, a 5xx) says nothing about them."""
        verdict = classify(answer, request.now, events=request.events, secrets=secrets)
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        refused = isinstance(outcome, Paused) and answer.status in (401, 403)
        if refused or isinstance(outcome, Throttled):
            await self._circuit.record_result(verdict, events=request.events)

    async def _leave(self, request: GoogleRequest, status: RequestStatus) -> None:
        if request.checks >= MOST_CHECKS:
            await self._close(request, "unknown")
        else:
            self.counts[status.state] += 1

    async def _close(
        self,
        request: GoogleRequest,
        outcome: GoogleOutcome,
        detail: str | None = None,
        status: RequestStatus | None = None,
    ) -> None:
        status = status or RequestStatus("delivered")
        async with self.pool.connection() as connection, connection.transaction():
            await close_google_request(
                connection,
                request.request_id,
                outcome,
                detail,
                unmatched=status.unmatched,
                warnings=status.warnings,
                duplicates=status.duplicates,
            )
            await forget_delivered_events(connection, request.members)
        self.counts[outcome] += 1

    async def _take_back(self, request: GoogleRequest, status: RequestStatus) -> None:
        """Takes back the delivery of every event of the request, and closes it with that."""
        outcome = later_outcome(status)
        if isinstance(outcome, Paused):
            await self._circuit.record_result(Uniform(outcome), events=request.events)
        async with self.pool.connection() as connection, connection.transaction():
            await reopen_delivered_events(connection, request.members)
            rows = await read_delivered_members(connection, request.members)
            await self._settle(
                connection,
                [
                    taking_back(
                        event_of(row),
                        outcome,
                        jitter=self.jitter(),
                        retry_horizon=self.google.limits.retry_horizon,
                    )
                    for row in rows
                ],
            )
            names = ", ".join(status.reasons) or "no reason given"
            await close_google_request(connection, request.request_id, "refused", names)
        self.counts["refused"] += 1

    async def _narrow(self, request: GoogleRequest, status: RequestStatus) -> None:
        """Sends the events again in parts, each of which becomes a request of its own."""
        async with self.pool.connection() as connection:
            await reopen_delivered_events(connection, request.members)
            rows = await read_delivered_members(connection, request.members)
        ready = [prepared for row in rows if (prepared := self._prepared(event_of(row)))]
        size = -(-len(ready) // PARTS)
        left: list[UUID] = []
        for start in range(0, len(ready), size or 1):
            left += await self._send_part(ready[start : start + size])
        if left:
            async with self.pool.connection() as connection:
                await keep_members(connection, request.request_id, left)
            self.counts["narrowed"] += 1
        else:
            await self._close(request, "narrowed", ", ".join(status.reasons))

    async def _send_part(self, part: Sequence[Prepared]) -> list[UUID]:
        """Sends a part, settles it, and gives the rows that still have no answer."""
        tried = await deliver_batch(part, self._send, self._may_send)
        sent = [sent_again(each) for each in tried if each.requests]
        if sent:
            async with self.pool.connection() as connection:
                await self._settle(connection, sent)
        return [
            each.prepared.event.id
            for each in tried
            if not isinstance(each.outcome, (Delivered, Rejected))
        ]

    def _prepared(self, event: FailedEvent) -> Prepared | None:
        """The event as it was sent, or None where it cannot be sent any more: a payload that was
        changed since must not hold up the search for its mates."""
        try:
            prepared = self.google.prepare(event)
        except Exception as error:
            log.warning("an event cannot be prepared again: %s", type(error).__name__)
            return None
        return prepared if isinstance(prepared, Prepared) else None

    async def _may_send(self, batch: Sequence[Prepared]) -> bool:
        await self.share.turn(self._may_go_on)
        return self._may_go_on()

    async def _send(self, batch: Sequence[Prepared]) -> Reply:
        self.counts["requests"] += 1
        reply = await self.google.send(batch, batch[0].event.now)
        await self._circuit.record_result(
            reply.verdict, events=len(batch), event_id=batch[0].event.event_id
        )
        return reply

    async def _settle(
        self, connection: psycopg.AsyncConnection[Any], settlements: Sequence[Settlement]
    ) -> None:
        taken_back = await settle_deliveries(
            connection, settlements, worker=self.worker, run_id=self.run_id
        )
        self.counts["dead_lettered"] += taken_back.dead_lettered
        self.counts["requeued"] += taken_back.requeued


async def _retrieve(google: GoogleEc, request_id: str) -> tuple[Answer, Sequence[str]]:
    """Google's answer about a request, and the secrets that the question carried."""
    url = f"{google.url}/v1/requestStatus:retrieve"

    async def retrieve(headers: Mapping[str, str]) -> Answer:
        return await get(google.client, url, params={"requestId": request_id}, headers=headers)

    return await google.authorised(retrieve)
