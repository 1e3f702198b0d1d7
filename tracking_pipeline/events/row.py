"""A stored row as the reader takes it: the payload, the columns beside it, the lead behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Lead:
    """What the site knows about the person behind an event, as far as delivery may use it.

    ``hosting_fields``: those of ``city``, ``state``, ``zip`` and ``country`` that are a place of a
    data centre's or a proxy's address.
    """

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
    hosting_fields: Sequence[str] | None = None

    def without_hosting_places(self) -> Lead:
        """The lead without the places that are hardly the person's."""
        fields = self.hosting_fields
        return replace(self, **dict.fromkeys(fields), hosting_fields=None) if fields else self


_LEAD_FIELDS = tuple(Lead.__dataclass_fields__)


def lead_of(row: Mapping[str, Any]) -> Lead | None:
    """The lead in a claimed row, whose columns are named as the fields here; None where the event
    has none, or none that is known."""
    if row["known_lead_id"] is None:
        return None
    return Lead(**{name: row[name] for name in _LEAD_FIELDS})


# Not frozen, which would treble what it costs to make one; nobody changes one.
@dataclass(slots=True, kw_only=True, eq=False)
class StoredRow:
    """What is known of one event. ``payload`` and ``user_data`` are decoded JSON, ``now`` is the
    database's clock. ``statements``: what else the site keeps of the lead's consent, newest first,
    each in any form that a payload may have; None where it cannot be known."""

    event_id: UUID
    event_name: str
    payload: Any
    created_at: datetime
    now: datetime
    event_type: str | None = None
    user_data: Any = None
    lead_id: UUID | None = None
    session_id: UUID | None = None
    lead: Lead | None = None
    statements: Sequence[Any] | None = ()
