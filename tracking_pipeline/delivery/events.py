"""The words of delivery: a claimed failed event, the lead behind it, the event made ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

DestinationName: TypeAlias = Literal["meta_capi", "google_ec", "gtm_server", "supabase"]
DESTINATIONS: tuple[DestinationName, ...] = ("meta_capi", "google_ec", "gtm_server", "supabase")


@dataclass(frozen=True, slots=True)
class Lead:
    """What the site knows about the person behind an event, as far as delivery may use it."""

    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    fbp: str | None = None
    fbc: str | None = None
    client_user_agent: str | None = None
    client_ip: str | None = None


_LEAD_FIELDS = tuple(Lead.__dataclass_fields__)


def lead_of(row: Mapping[str, Any]) -> Lead | None:
    """The lead in a claimed row, whose columns are named as the fields here; None where the event
    has none, or none that is known."""
    if row["known_lead_id"] is None:
        return None
    return Lead(**{name: row[name] for name in _LEAD_FIELDS})


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """A claimed row of ``tracking_failed_events``; ``now`` is the database's clock at the claim."""

    id: UUID
    event_id: UUID
    event_name: str
    event_type: str | None
    payload: Any
    user_data: Any
    lead_id: UUID | None
    session_id: UUID | None
    retry_count: int
    max_retries: int
    created_at: datetime
    now: datetime
    lease_token: int
    lead: Lead | None = None


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
