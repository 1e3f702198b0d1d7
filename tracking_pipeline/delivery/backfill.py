"""Hands a destination the ledger's conversions that it has never seen: the service that the job,
the command and the API call.

    stream   conversions of the window that no attempt and no queue of the destination knows
    foresee  what the destination would make of each at its moment
    hand over those that it would take, as failed events that never failed, spread over time

It sends nothing itself: the retry runs do, under every limit they keep. So it may be killed at any
point and run again: what is in the queue is no unseen conversion any more. Two at the same time
share the work.

The oldest go first, since they are the first to grow too old. One that would be too old by its turn
is counted as withheld and takes nobody's turn.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured, prepare
from tracking_pipeline.delivery.engine.events import FailedEvent, event_of, json_of_column
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline.delivery.engine.readiness import EXPIRED, EXPIRED_AT_ARRIVAL
from tracking_pipeline.delivery.engine.retry import MakeDestinations
from tracking_pipeline.delivery.replay.totals import chosen_rate
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.http_client import http_client
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.backfill import (
    HandOver,
    hand_over,
    read_last_due_seconds,
    read_unseen,
    stream_conversions_without_attempt,
)
from tracking_pipeline.store.database import (
    ANSWER_SECONDS,
    AsyncPool,
    DatabaseError,
    connection_pool,
    read_clock,
)
from tracking_pipeline.store.failed_events import read_statements_of_leads
from tracking_pipeline.store.match_key_rollup import ConversionRule
from tracking_pipeline.store.replays import read_live_rate

# How much later than its moment an event may be sent and must still be young enough.
DELAY = timedelta(hours=1)
# How far back is looked where nothing says since when, and the destination has no age limit.
_USUAL_AGE = timedelta(days=7)
_POOL_SIZE = 3


class NotConfiguredError(ExplainedError):
    """The destination cannot be handed anything: its settings are missing."""


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """Which conversions, by the moment at which the ledger got them. ``since`` None: as long ago as
    ``age_limit``; ``until`` None: now. ``events_per_minute`` None: half the site's own rate.
    ``attempts_kept``: of what is older nobody knows any more whether it was sent, so it is not
    looked at."""

    destination: DestinationName
    conversions: ConversionRule
    since: datetime | None = None
    until: datetime | None = None
    age_limit: timedelta | None = None
    attempts_kept: timedelta = timedelta(days=400)
    dry_run: bool = True
    events_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class BackfillTotals:
    """``matched`` = taken + withheld + gone, in events. ``taken`` are those that the destination
    would take; ``gone`` of them were handed over by somebody else meanwhile. A dry run hands over
    none. ``minutes``: how long it takes until the last one is due."""

    destination: DestinationName
    dry_run: bool
    since: datetime
    until: datetime
    matched: int
    taken: int
    handed_over: int
    withheld: Mapping[str, int]
    events_per_minute: float
    minutes: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As callers show it; ``withheld_by_reason`` has the most frequent reason first."""
        by_reason = sorted(self.withheld.items(), key=lambda pair: (-pair[1], pair[0]))
        return {
            "success": True,
            "destination": self.destination,
            "dry_run": self.dry_run,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "matched": self.matched,
            "would_hand_over": self.taken,
            "handed_over": self.handed_over,
            "withheld": sum(self.withheld.values()),
            "withheld_by_reason": dict(by_reason),
            "events_per_minute": round(self.events_per_minute, 2),
            "minutes": round(self.minutes, 1),
            "seconds": round(self.seconds, 1),
        }


async def backfill_destination(
    url: str, make_destinations: MakeDestinations, request: BackfillRequest
) -> BackfillTotals:
    """One backfill on the database at ``url``. Raises :class:`NotConfiguredError` and
    :class:`DatabaseError`."""
    started = time.monotonic()
    try:
        async with (
            connection_pool(url, size=_POOL_SIZE, answer_seconds=ANSWER_SECONDS) as pool,
            http_client(max_connections=1) as client,
        ):
            made = {each.name: each for each in make_destinations(client, pool)}
            destination = made[request.destination]
            if isinstance(destination, NotConfigured):
                raise NotConfiguredError(
                    f"{request.destination} is not configured: {destination.missing}"
                )
            work = await _Backfill.begun(pool, destination, request)
            await work.run()
    except psycopg.Error as error:
        # Its own words may quote a row.
        raise DatabaseError(
            f"the database failed during the backfill (SQLSTATE {error.sqlstate or 'none'}): what "
            "is in the queue stays there; run it again for the rest"
        ) from None
    return work.totals(time.monotonic() - started)


class _Backfill:
    def __init__(
        self,
        pool: AsyncPool,
        destination: Destination,
        request: BackfillRequest,
        *,
        started_at: datetime,
        last_seconds: float,
        events_per_minute: float,
    ) -> None:
        self._pool = pool
        self._destination = destination
        self._request = request
        self._started_at = started_at
        self._rate = events_per_minute
        # Behind the last one of an earlier backfill, where that one still waits.
        self._next_seconds = last_seconds + 60.0 / self._rate if last_seconds else 0.0
        self._since = max(
            request.since or started_at - (request.age_limit or _USUAL_AGE),
            started_at - request.attempts_kept,
        )
        # What comes later is handed over by whoever writes it.
        self._until = min(request.until or started_at, started_at)
        self._matched = self._taken = self._handed_over = 0
        self._withheld: Counter[str] = Counter()

    @classmethod
    async def begun(
        cls, pool: AsyncPool, destination: Destination, request: BackfillRequest
    ) -> _Backfill:
        """With what the database says of the time, the site's own rate and earlier backfills."""
        async with pool.connection() as connection:
            started_at = await read_clock(connection)
            live_rate = await read_live_rate(connection)
            last_seconds = await read_last_due_seconds(connection, destination.name)
        return cls(
            pool,
            destination,
            request,
            started_at=started_at,
            last_seconds=last_seconds,
            events_per_minute=chosen_rate(request.events_per_minute, live_rate),
        )

    async def run(self) -> None:
        """Goes through the window once."""
        async with self._pool.connection() as streaming:
            pages = stream_conversions_without_attempt(
                streaming,
                self._destination.name,
                self._request.conversions,
                since=self._since,
                until=self._until,
            )
            async with aclosing(pages):
                async for page in pages:
                    await self._take(page)

    async def _take(self, ids: list[UUID]) -> None:
        async with self._pool.connection() as connection:
            page = await read_unseen(
                connection, self._destination.name, ids, started_at=self._started_at
            )
            lead_ids = {row["lead_id"] for row in page} - {None}
            statements = await read_statements_of_leads(connection, lead_ids) if lead_ids else {}
            going = []
            for row in map(_under_its_own_id, page):
                self._matched += 1
                event = self._event(row, statements.get(row["lead_id"], "[]"))
                reason = self._kept_back(event)
                if reason is not None:
                    self._withheld[reason] += 1
                    continue
                going.append(HandOver(row, self._next_seconds))
                self._next_seconds += 60.0 / self._rate
            self._taken += len(going)
            if going and not self._request.dry_run:
                self._handed_over += await hand_over(
                    connection, self._destination.name, going, started_at=self._started_at
                )

    def _event(self, row: Mapping[str, Any], statements: str) -> FailedEvent:
        """The event as the claim will give it, at the latest."""
        moment = self._started_at + timedelta(seconds=self._next_seconds) + DELAY
        event = event_of({**row, "now": moment})
        event.statements = json_of_column(statements)
        return event

    def _kept_back(self, event: FailedEvent) -> str | None:
        """Why the event is not handed over; None where it is."""
        found = prepare(self._destination, event)
        if not isinstance(found, (Withheld, Rejected)):
            return None
        if found.reason in (EXPIRED, EXPIRED_AT_ARRIVAL):
            return EXPIRED
        return plain_reason(found.reason)

    def totals(self, seconds: float) -> BackfillTotals:
        """What it came to."""
        return BackfillTotals(
            destination=self._request.destination,
            dry_run=self._request.dry_run,
            since=self._since,
            until=self._until,
            matched=self._matched,
            taken=self._taken,
            handed_over=self._handed_over,
            withheld=self._withheld,
            events_per_minute=self._rate,
            minutes=self._next_seconds / 60 if self._taken else 0.0,
            seconds=seconds,
        )


def _under_its_own_id(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the id that the site's pixel sent, where the ledger's was made of that one."""
    payload = json_of_column(row["payload"])
    metadata = payload.get("metadata") if isinstance(payload, dict) else None
    original = metadata.get("event_id") if isinstance(metadata, dict) else None
    if not isinstance(original, str) or ledger_event_id(original) != row["event_id"]:
        return row
    return {**row, "payload": orjson.dumps({**payload, "event_id": original}).decode()}
