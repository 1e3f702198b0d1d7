"""The destination ``supabase``: the ledger ``wm_event_log`` itself.

An event whose ledger row could not be written is inserted again. A conflict is good news: the row
is there. Two kinds are told apart: the same ``event_id``, and the site's unique index on lead and
event name, which means that this conversion was recorded under another id.

What is written holds no raw personal data: hashes, browser ids, and what is left of the payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import anyio
import orjson
import psycopg

from tracking_pipeline.delivery.conversion import (
    Conversion,
    first,
    first_of_each,
    impersonal_fields,
    impersonal_text,
    number,
    read_conversion,
)
from tracking_pipeline.delivery.destination import Limits, Reply
from tracking_pipeline.delivery.events import DestinationName, FailedEvent, Prepared
from tracking_pipeline.delivery.outcomes import (
    Delivered,
    Fault,
    Outcome,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.person import person_keys
from tracking_pipeline.identity import google_hashes
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.ledger import COLUMNS, insert_events

# A lease has 30 seconds left when a request starts, and settling takes a moment.
LONGEST_INSERT_SECONDS = 25.0
# The names that other ids are mapped under; it must never change, or an event gets a second id.
EVENT_ID_NAMESPACE = UUID("6f3c1b1e-2c5a-5d0e-9d53-8f6f1d3f6a10")

_TEXT_COLUMNS = tuple(name for name, kind in COLUMNS.items() if kind == "text")
_INTEGER_COLUMNS = ("intent_tier", "lead_score")
# Read elsewhere, or not the ledger's business.
_NOT_METADATA = frozenset(
    (*COLUMNS, "custom_data", "properties", "context", "id", "created_at", "data")
)
_MOST_INT = 2**31 - 1
# PostgreSQL's jsonb cannot hold U+0000: the escape, but not an escaped backslash before "u0000".
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Ledger:
    """The destination ``supabase``."""

    name: DestinationName = "supabase"
    limits = Limits(request_events=500, request_bytes=4_000_000, in_flight=2)

    def __init__(self, pool: AsyncPool, *, country: str = "US") -> None:
        self._pool = pool
        self._country = country

    def prepare(self, event: FailedEvent) -> Prepared | Rejected:
        """The event as one row of the ledger, a JSON object with its columns."""
        conversion = read_conversion(event, for_advertising=False)
        if isinstance(conversion, Rejected):
            return conversion
        keys, dropped = person_keys(event, conversion.fields, "meta", self._country, "all")
        row = ledger_row(event, conversion, keys, country=self._country)
        return Prepared(event, storable_json(row), dropped)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One INSERT of the batch."""
        rows = b"[" + b",".join([member.body for member in batch]) + b"]"
        ids = [UUID(orjson.loads(member.body)["event_id"]) for member in batch]
        try:
            with anyio.fail_after(LONGEST_INSERT_SECONDS):
                async with self._pool.connection() as connection:
                    inserted, present = await insert_events(connection, rows, ids)
        except TimeoutError:
            return Reply(Uniform(Retry(Fault("the ledger did not answer in time", "timeout"))), 0)
        except psycopg.Error as error:
            return Reply(classify(error), 0)
        outcomes: list[Outcome] = []
        for event_id in ids:
            if event_id in inserted:
                inserted.discard(event_id)
                outcomes.append(Delivered())
            else:
                outcomes.append(
                    Delivered(duplicate="event" if event_id in present else "conversion")
                )
        return Reply(PerEvent(outcomes), 0)


def classify(error: psycopg.Error) -> Verdict:
    """What a failed INSERT means, by its SQLSTATE
    (https://www.postgresql.org/docs/current/errcodes-appendix.html). The server's own message may
    quote the row, so only its code is kept."""
    state = error.sqlstate or ""
    if state[:2] in ("22", "23"):
        fault = Fault(f"the ledger does not take this row (SQLSTATE {state})", state)
        return Refused(Rejected(f"refused by the ledger: {state}", fault))
    if state in ("42P01", "42703", "42501", "42P10") or state[:2] == "28":
        fault = Fault(
            f"the ledger cannot be written (SQLSTATE {state}): run tracking-pipeline migrate", state
        )
        return Uniform(Paused(fault))
    return Uniform(Retry(Fault(f"the database failed (SQLSTATE {state or 'none'})", state or None)))


def storable_json(value: Any) -> bytes:
    """JSON that a jsonb column can hold: without U+0000. Raises TypeError where ``value`` is nested
    too deeply."""
    encoded = orjson.dumps(value)
    # The plain search is a hundred times faster than the pattern, and finds nothing in most rows.
    return _NUL.sub(rb"\1", encoded) if b"\\u0000" in encoded else encoded


def ledger_event_id(event_id: str) -> UUID:
    """The ledger's uuid of an event: its own id where that is one, else one made from its text, the
    same each time."""
    try:
        return UUID(event_id)
    except ValueError:
        return uuid5(EVENT_ID_NAMESPACE, event_id)


def ledger_row(
    event: FailedEvent, conversion: Conversion, keys: Mapping[str, Any], *, country: str = "US"
) -> dict[str, Any]:
    """The event as a row of the ledger by its columns, without raw personal data: ``keys`` are
    Meta's match keys of its person, ``country`` reads phones for Google's."""
    fields = conversion.fields
    metadata = _metadata(fields)
    event_id = ledger_event_id(conversion.event_id)
    if str(event_id) != conversion.event_id.lower():
        metadata["event_id"] = conversion.event_id
    given = first_of_each(fields, _TEXT_COLUMNS)
    row: dict[str, Any] = {
        name: impersonal_text(given[name]) if name in given else None for name in _TEXT_COLUMNS
    }
    for name in _INTEGER_COLUMNS:
        amount = number(first(fields, (name,)))
        row[name] = int(amount) if amount is not None and abs(amount) <= _MOST_INT else None
    row |= {
        "event_id": str(event_id),
        "event_name": conversion.event_name,
        "event_type": row["event_type"] or impersonal_text(event.event_type) or "unknown",
        "event_time": conversion.event_time.isoformat(),
        "lead_id": _uuid(fields.get("lead_id")) or _uuid(event.lead_id),
        "session_id": _uuid(fields.get("session_id")) or _uuid(event.session_id),
        "external_id": _single(keys.get("external_id")),
        "page_path": row["page_path"] or conversion.page_url,
        "fbp": keys.get("fbp"),
        "fbc": keys.get("fbc"),
        "metadata": metadata or None,
        "user_data": {**google_hashes(fields, country), **keys} or None,
        "ingested_by": row["ingested_by"] or "tracking_pipeline",
        "email_sha256": _single(keys.get("em")),
        "phone_sha256": _single(keys.get("ph")),
    }
    return row


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The payload's ``metadata`` and whatever else it says, without personal data."""
    rest = {key: value for key, value in fields.items() if key not in _NOT_METADATA}
    given = fields.get("metadata")
    custom = fields.get("custom_data")
    merged: dict[str, Any] = {
        **rest,
        **(custom if isinstance(custom, dict) else {}),
        **(given if isinstance(given, dict) else {}),
    }
    return impersonal_fields(merged)


def _uuid(value: Any) -> str | None:
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _single(value: str | list[str] | None) -> str | None:
    return value[0] if isinstance(value, list) else value
