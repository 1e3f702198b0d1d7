"""The words of delivery: a claimed failed event, the event made ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from tracking_pipeline.events.row import Lead, StoredRow, lead_of

__all__ = ["DESTINATIONS", "DestinationName", "FailedEvent", "Lead", "Prepared", "lead_of"]

DestinationName: TypeAlias = Literal["meta_capi", "google_ec", "gtm_server", "supabase"]
DESTINATIONS: tuple[DestinationName, ...] = ("meta_capi", "google_ec", "gtm_server", "supabase")


@dataclass(slots=True, kw_only=True, eq=False)
class FailedEvent(StoredRow):
    """A claimed row of ``tracking_failed_events``; ``now`` is the database's clock at the claim."""

    id: UUID
    retry_count: int
    max_retries: int
    lease_token: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event in its destination's form. ``body`` is what the request carries for it.

    ``shared`` is what a request says once for all of its events (a visitor's id, say): only events
    that have the same share a request.
    """

    event: FailedEvent
    body: bytes
    dropped: tuple[tuple[str, str], ...] = ()
    shared: bytes = b""
