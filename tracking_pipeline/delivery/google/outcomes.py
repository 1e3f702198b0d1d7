"""What became of the events that Google accepted: read later, by a run that comes anyway.

Google checks an accepted request on its own time and then tells one status for it, with a count of
events for each reason and no list of them. So the answer is exact for a request of one event, and
for one whose events all fared alike:

    SUCCESS            delivered, as the queue says already
    duplicates only    delivered: Google had them, from an earlier try or from the tag on the page
    FAILED             every event failed: dead letters with the reason, or, where the reason may
                       pass (unknown ones too), back in the queue after six hours, one retry spent
    PARTIAL_SUCCESS    some failed and nobody says which: narrowed

**Narrowing.** The events of such a request are sent again in parts of a sixteenth each, under the
same ``transactionId``, and each part is asked about later: 2,000 events need three rounds to single
ones. What Google has already it reports as a duplicate, so nothing is counted twice. Meanwhile the
events stay ``resolved``, as most of them truly are; only those found refused are taken back. An
event that cannot be sent any more (consent withdrawn, too old, replayed since) leaves the search
and stays as it is.

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
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.bisection import Tried, deliver_batch
from tracking_pipeline.delivery.destination import Reply
from tracking_pipeline.delivery.events import FailedEvent, Lead, Prepared
from tracking_pipeline.delivery.gate import Gate
from tracking_pipeline.delivery.google.answers import DUPLICATE_REASONS
from tracking_pipeline.delivery.google.credentials import CredentialsError
from tracking_pipeline.delivery.google.enhanced_conversions import GoogleEc
from tracking_pipeline.delivery.outcomes import Delivered, Rejected
from tracking_pipeline.http_client import Answer, get
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.destination_state import read_destination_state
from tracking_pipeline.store.first_attempts import (
    forget_delivered_events,
    forget_old_deliveries,
    reopen_delivered_events,
)
from tracking_pipeline.store.google_requests import (
    MOST_CHECKS,
    GoogleOutcome,
    GoogleRequest,
    Revoked,
    claim_google_request,
    close_google_request,
    keep_members,
    read_delivered_members,
    revoke_deliveries,
)

# One run's share: a backlog of requests is worked off over the following runs.
MOST_CHECKS_A_RUN = 100
MOST_PARTS_A_RUN = 64
TIME_BUDGET_SECONDS = 60.0
PARTS = 16
# Longer than Google keeps what it has to tell about a request.
JUDGED_WITHIN_DAYS = 60
# TOO_RECENT_CLICK and the like: Google asks for some hours.
LATER_SECONDS = 6 * 60 * 60.0

# The event itself is at fault, and will be next time. What is not listed here may pass.
PERMANENT_REASONS = frozenset(
    (
        "CLICK_NOT_FOUND",
        "CONVERSION_PRECEDES_CLICK",
        "DENIED_CONSENT",
        "EVENT_ID_DECODE_ERROR",
        "EVENT_TOO_OLD",
        "INVALID_AD_IDENTIFIERS",
        "INVALID_CLICK",
        "INVALID_EVENT",
        "INVALID_FORMAT",
        "INVALID_GBRAID",
        "INVALID_GCLID",
        "INVALID_OPERATING_ACCOUNT_FOR_CLICK",
        "INVALID_WBRAID",
        "NO_CONSENT",
        "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID",
        "OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
        "ORIGINAL_CONVERSIONS_NOT_FOUND",
        "UNKNOWN_CONSENT",
        "USER_ID_NOT_FOUND",
        "USER_ID_NOT_FOUND_FOR_GCLID",
    )
)
_PREFIXES = ("PROCESSING_ERROR_REASON_", "PROCESSING_ERROR_")

log = logging.getLogger(__name__)

_LEAD_FIELDS = tuple(Lead.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class GoogleOutcomes:
    """One reading, in requests; ``dead_lettered`` and ``requeued`` are events.

    ``checked`` = delivered + refused + narrowed + processing + unreadable + unknown.
    """

    checked: int = 0
    delivered: int = 0
    refused: int = 0
    narrowed: int = 0
    processing: int = 0
    unreadable: int = 0
    unknown: int = 0
    dead_lettered: int = 0
    requeued: int = 0


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """What Google says of a request: whether all its events fared alike, and how.

    ``refused`` and ``later`` hold for every event; ``unclear`` means some failed and nobody knows
    which. ``reasons`` are Google's, without their prefix, the duplicates left out.
    """

    state: Literal["processing", "delivered", "refused", "later", "unclear", "unreadable"]
    reasons: tuple[str, ...] = ()


def read_status(answer: Answer, events: int) -> RequestStatus:
    """The status in an answer of ``requestStatus:retrieve`` about a request of so many events."""
    body = answer.json() if answer.status == 200 and not answer.fault else None
    listed = body.get("requestStatusPerDestination") if isinstance(body, dict) else None
    told = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(told, dict):
        return RequestStatus("unreadable")
    status = told.get("requestStatus")
    if status == "SUCCESS":
        return RequestStatus("delivered")
    if status in ("FAILED", "PARTIAL_SUCCESS"):
        return _failed(_reasons(told.get("errorInfo")), events, some=status == "PARTIAL_SUCCESS")
    return RequestStatus("processing")


def _failed(found: tuple[str, ...], events: int, *, some: bool) -> RequestStatus:
    reasons = tuple(reason for reason in found if reason not in DUPLICATE_REASONS)
    duplicates = len(reasons) < len(found)
    if duplicates and not reasons:
        return RequestStatus("delivered")
    permanent = {reason in PERMANENT_REASONS for reason in reasons}
    alike = not (some or duplicates) and len(permanent) <= 1
    if events > 1 and not alike:
        return RequestStatus("unclear", reasons)
    return RequestStatus("refused" if True in permanent else "later", reasons)


def _reasons(error_info: Any) -> tuple[str, ...]:
    """The reasons that were met, the most frequent first. Google may leave them out."""
    counts = error_info.get("errorCounts") if isinstance(error_info, dict) else None
    found: dict[str, int] = {}
    for each in counts if isinstance(counts, list) else ():
        reason = each.get("reason") if isinstance(each, dict) else None
        if isinstance(reason, str) and reason.replace("_", "").isalnum() and len(reason) < 120:
            for prefix in _PREFIXES:
                reason = reason.removeprefix(prefix)
            found[reason] = _count(each.get("recordCount"))
    return tuple(sorted(found, key=lambda reason: (-found[reason], reason)))


def _count(value: Any) -> int:
    # An int64 in JSON is a text.
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) else 0


async def read_google_outcomes(
    pool: AsyncPool, google: GoogleEc, *, run_id: str | None = None
) -> GoogleOutcomes:
    """Asks about the accepted requests whose time has come, and settles what Google found.

    To be called once a retry run, beside or after the drains. Reads nothing while the destination
    is paused or throttled. Never raises for the other side or for the database.
    """
    reading = _Reading(pool, google, run_id)
    try:
        await reading.run()
    except psycopg.Error as error:
        log.warning(
            "Google's outcomes cannot be settled (SQLSTATE %s): they are read again later",
            error.sqlstate or "none",
        )
    except Exception as error:  # whatever it is: it must not cost the run what it delivered
        log.warning("Google's outcomes cannot be read: %s", type(error).__name__)
    return GoogleOutcomes(**reading.counts)


@dataclass
class _Reading:
    pool: AsyncPool
    google: GoogleEc
    run_id: str | None
    counts: Counter[str] = field(default_factory=Counter)
    parts: int = 0

    def __post_init__(self) -> None:
        self._gate = Gate(self.pool, self.google.name)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._started = time.monotonic()

    async def run(self) -> None:
        async with self.pool.connection() as connection:
            shared = await read_destination_state(connection, self.google.name)
            await forget_old_deliveries(connection, JUDGED_WITHIN_DAYS)
        if shared.state != "closed" or shared.throttled_seconds > 0:
            return
        while self._may_go_on():
            async with self.pool.connection() as connection:
                request = await claim_google_request(connection)
            if request is None or not await self._check(request):
                return

    def _may_go_on(self) -> bool:
        return (
            self._gate.is_open
            and self.counts["checked"] < MOST_CHECKS_A_RUN
            and self.parts < MOST_PARTS_A_RUN
            and time.monotonic() - self._started < TIME_BUDGET_SECONDS
        )

    async def _may_send(self, batch: Sequence[Prepared]) -> bool:
        return self._may_go_on()

    async def _check(self, request: GoogleRequest) -> bool:
        """Asks about one request and settles it. False where it makes no sense to go on now."""
        try:
            answer = await _retrieve(self.google, request.request_id)
        except CredentialsError as error:
            log.warning("Google's outcomes cannot be read: %s", error)
            return False
        self.counts["checked"] += 1
        status = read_status(answer, request.events)
        if status.state in ("processing", "unreadable"):
            await self._leave(request, status)
        elif status.state == "delivered":
            await self._close(request, "delivered")
        elif status.state == "unclear":
            await self._narrow(request, status)
        else:
            await self._revoke(request, status)
        # Refused for the token, the quota or the network: the next one would fare no better.
        return answer.status is not None and answer.status not in (401, 403, 429)

    async def _leave(self, request: GoogleRequest, status: RequestStatus) -> None:
        if request.checks >= MOST_CHECKS:
            await self._close(request, "unknown")
        else:
            self.counts[status.state] += 1

    async def _close(
        self, request: GoogleRequest, outcome: GoogleOutcome, detail: str | None = None
    ) -> None:
        async with self.pool.connection() as connection, connection.transaction():
            await close_google_request(connection, request.request_id, outcome, detail)
            await forget_delivered_events(connection, request.members)
        self.counts[outcome] += 1

    async def _revoke(self, request: GoogleRequest, status: RequestStatus) -> None:
        """Takes back the delivery of every event of the request, and closes it with that."""
        names = ", ".join(status.reasons) or "no reason given"
        async with self.pool.connection() as connection, connection.transaction():
            await reopen_delivered_events(connection, request.members)
            revoked = await revoke_deliveries(
                connection,
                request.members,
                reason=f"refused by Google: {names}",
                code=status.reasons[0] if status.reasons else "FAILED",
                message=f"accepted, then refused by Google: {names}",
                final=status.state == "refused",
                wait_seconds=LATER_SECONDS,
                worker=self._worker,
                run_id=self.run_id,
            )
            await close_google_request(connection, request.request_id, "refused", names)
        self.counts["refused"] += 1
        self._count(revoked)

    async def _narrow(self, request: GoogleRequest, status: RequestStatus) -> None:
        """Sends the events again in parts, each of which becomes a request of its own."""
        async with self.pool.connection() as connection:
            await reopen_delivered_events(connection, request.members)
            rows = await read_delivered_members(connection, request.members)
        ready = [prepared for row in rows if (prepared := self._prepared(_event(row)))]
        size = -(-len(ready) // PARTS)
        tried: list[Tried] = []
        for start in range(0, len(ready), size or 1):
            tried += await deliver_batch(ready[start : start + size], self._send, self._may_send)
        await self._reject(tried)
        left = [
            each.prepared.event.id
            for each in tried
            if not isinstance(each.outcome, (Delivered, Rejected))
        ]
        if left:
            async with self.pool.connection() as connection:
                await keep_members(connection, request.request_id, left)
            self.counts["narrowed"] += 1
        else:
            await self._close(request, "narrowed", ", ".join(status.reasons))

    def _prepared(self, event: FailedEvent) -> Prepared | None:
        """The event as it was sent, or None where it cannot be sent any more: a payload that was
        changed since must not hold up the search for its mates."""
        try:
            prepared = self.google.prepare(event)
        except Exception as error:
            log.warning("an event cannot be prepared again: %s", type(error).__name__)
            return None
        return prepared if isinstance(prepared, Prepared) else None

    async def _send(self, batch: Sequence[Prepared]) -> Reply:
        self.parts += 1
        reply = await self.google.send(batch, batch[0].event.now)
        await self._gate.heed(reply.verdict, events=len(batch))
        return reply

    async def _reject(self, tried: Sequence[Tried]) -> None:
        """An event that is refused at once when it comes again: its answer is exact, too."""
        for each in tried:
            if not isinstance(each.outcome, Rejected):
                continue
            event, fault = each.prepared.event, each.outcome.fault
            async with self.pool.connection() as connection:
                revoked = await revoke_deliveries(
                    connection,
                    {event.id: event.lease_token},
                    reason=each.outcome.reason,
                    code=fault.code or "unknown",
                    message=fault.message,
                    final=True,
                    worker=self._worker,
                    run_id=self.run_id,
                )
            self._count(revoked)

    def _count(self, revoked: Revoked) -> None:
        self.counts["dead_lettered"] += revoked.dead_lettered
        self.counts["requeued"] += revoked.requeued


async def _retrieve(google: GoogleEc, request_id: str) -> Answer:
    url = f"{google.url}/v1/requestStatus:retrieve"

    async def retrieve(headers: Mapping[str, str]) -> Answer:
        return await get(google.client, url, params={"requestId": request_id}, headers=headers)

    answer, _ = await google.authorised(retrieve)
    return answer


def _event(row: Mapping[str, Any]) -> FailedEvent:
    """A row of :func:`read_delivered_members` as a claim would give it."""
    columns = dict(row)
    lead = {name: columns.pop(name) for name in _LEAD_FIELDS}
    known: UUID | None = columns.pop("known_lead_id")
    return FailedEvent(**columns, lead=Lead(**lead) if known else None)
