"""The words of delivery: a claimed failed event, the event made ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tracking_pipeline.events.row import Lead, StoredRow, lead_of

__all__ = [
    "FailedEvent",
    "Lead",
    "Prepared",
    "event_of",
    "json_of_column",
    "lead_of",
]


@dataclass(slots=True, kw_only=True, eq=False)
class FailedEvent(StoredRow):
    """A claimed row of ``tracking_failed_events``; ``now`` is the database's clock at the claim.

    ``in_doubt``: the worker that held it before began to send it and settled nothing.
    """

    id: UUID
    retry_count: int
    max_retries: int
    lease_token: int
    in_doubt: bool = False


def event_of(row: Mapping[str, Any]) -> FailedEvent:
    """The event in a row as a claim gives it: its JSON columns are text."""
    return FailedEvent(
        id=row["id"],
        event_id=row["event_id"],
        event_name=row["event_name"],
        event_type=row["event_type"],
        payload=json_of_column(row["payload"]),
        user_data=json_of_column(row["user_data"]) if row["user_data"] else None,
        lead_id=row["lead_id"],
        session_id=row["session_id"],
        retry_count=row["retry_count"],
        max_retries=row["max_retries"],
        created_at=row["created_at"],
        now=row["now"],
        lease_token=row["lease_token"],
        in_doubt=row.get("in_doubt", False),
        lead=lead_of(row),
        statements=json_of_column(text) if (text := row.get("statements")) else (),
    )


def json_of_column(text: str) -> Any:
    """The JSON of a jsonb column; None where it is nested too deeply to be read."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


# Not frozen, which would treble what it costs to make one; nobody changes one.
@dataclass(slots=True, eq=False)
class Prepared:
    """An event in its destination's form. ``body`` is what the request carries for it.

    ``shared`` is what a request says once for all of its events (a visitor's id, say): only events
    that have the same share a request.
    """

    event: FailedEvent
    body: bytes
    dropped: tuple[tuple[str, str], ...] = ()
    shared: bytes = b""
