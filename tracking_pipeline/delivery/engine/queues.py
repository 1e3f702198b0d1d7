"""The two queues that events wait in, as a drain uses them: each a table and its statements.

Accepted events wait for their first attempt, failed ones for another. Both are leased in the same
way and sent by the same drain, under the same limits; what differs is what a settle makes of a row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.destinations.registry import ANSWERING_LATER
from tracking_pipeline.store.accepted_events import (
    claim_accepted_events,
    count_accepted,
)
from tracking_pipeline.store.failed_events import (
    Selection,
    Settlement,
    bury_crashed_events,
    claim_due_events,
    count_selected,
    find_crashed_events,
    settle_attempts,
)
from tracking_pipeline.store.first_attempts import (
    bury_crashed_accepted_events,
    find_crashed_accepted_events,
    settle_first_attempts,
)
from tracking_pipeline.store.leases import QueueTable

Connection: TypeAlias = psycopg.AsyncConnection[Any]


class Claim(Protocol):
    """As :func:`~tracking_pipeline.store.failed_events.claim_due_events`."""

    async def __call__(
        self,
        connection: Connection,
        destination: str,
        selection: Selection,
        limit: int,
        *,
        probe: bool = False,
        suspects: bool = False,
    ) -> list[dict[str, Any]]: ...


class Settle(Protocol):
    """As :func:`~tracking_pipeline.store.failed_events.settle_attempts`."""

    async def __call__(
        self,
        connection: Connection,
        settlements: Sequence[Settlement],
        *,
        worker: str,
        run_id: str | None,
    ) -> set[UUID]: ...


class FindCrashed(Protocol):
    """As :func:`~tracking_pipeline.store.failed_events.find_crashed_events`."""

    async def __call__(
        self, connection: Connection, destinations: Collection[str]
    ) -> list[UUID]: ...


class Bury(Protocol):
    """As :func:`~tracking_pipeline.store.failed_events.bury_crashed_events`."""

    async def __call__(
        self,
        connection: Connection,
        ids: Collection[UUID],
        *,
        worker: str,
        run_id: str | None,
    ) -> dict[str, int]: ...


class Count(Protocol):
    """As :func:`~tracking_pipeline.store.failed_events.count_selected`."""

    async def __call__(self, connection: Connection, selection: Selection) -> dict[str, int]: ...


@dataclass(frozen=True, eq=False)
class Queue:
    """One queue. ``first_attempts``: its events were never attempted, so that one which is
    delivered was never a failed event; the names of its numbers tell the two apart."""

    table: QueueTable
    first_attempts: bool
    delivered_number: str
    waiting_number: str
    claim: Claim
    settle: Settle
    find_crashed: FindCrashed
    bury: Bury
    count: Count


ACCEPTED = Queue(
    table="tracking_accepted_events",
    first_attempts=True,
    delivered_number="accepted_delivered",
    waiting_number="accepted_waiting",
    claim=claim_accepted_events,
    settle=partial(settle_first_attempts, answering_later=ANSWERING_LATER),
    find_crashed=find_crashed_accepted_events,
    bury=bury_crashed_accepted_events,
    count=count_accepted,
)
FAILED = Queue(
    table="tracking_failed_events",
    first_attempts=False,
    delivered_number="resolved",
    waiting_number="waiting",
    claim=claim_due_events,
    settle=settle_attempts,
    find_crashed=find_crashed_events,
    bury=bury_crashed_events,
    count=count_selected,
)
QUEUES = (ACCEPTED, FAILED)
"""In the order in which a run looks into them: what has never been sent first."""
