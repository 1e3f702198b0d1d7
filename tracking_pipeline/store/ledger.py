"""Inserts into ``wm_event_log``, the append-only ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from typing_extensions import LiteralString

# The columns that delivery fills, with their types; the rest of the table is the site's own.
COLUMNS: dict[str, str] = {
    "event_id": "uuid",
    "event_name": "text",
    "event_type": "text",
    "event_time": "timestamptz",
    "client_id": "text",
    "lead_id": "uuid",
    "session_id": "uuid",
    "external_id": "text",
    "source_tool": "text",
    "page_path": "text",
    "funnel_stage": "text",
    "intent_tier": "integer",
    "traffic_source": "text",
    "traffic_medium": "text",
    "campaign_id": "text",
    "fbclid": "text",
    "gclid": "text",
    "fbp": "text",
    "fbc": "text",
    "lead_score": "integer",
    "metadata": "jsonb",
    "user_data": "jsonb",
    "source_system": "text",
    "ingested_by": "text",
    "email_sha256": "text",
    "phone_sha256": "text",
}

NAMES: LiteralString = """event_id, event_name, event_type, event_time, client_id, lead_id,
    session_id, external_id, source_tool, page_path, funnel_stage, intent_tier, traffic_source,
    traffic_medium, campaign_id, fbclid, gclid, fbp, fbc, lead_score, metadata, user_data,
    source_system, ingested_by, email_sha256, phone_sha256"""
"""The names of :data:`COLUMNS`, as SQL."""

GIVEN: LiteralString = """
    select * from json_to_recordset(%(rows)s::json) as g (
        event_id uuid, event_name text, event_type text, event_time timestamptz, client_id text,
        lead_id uuid, session_id uuid, external_id text, source_tool text, page_path text,
        funnel_stage text, intent_tier integer, traffic_source text, traffic_medium text,
        campaign_id text, fbclid text, gclid text, fbp text, fbc text, lead_score integer,
        metadata jsonb, user_data jsonb, source_system text, ingested_by text, email_sha256 text,
        phone_sha256 text)"""
"""The rows of the parameter ``rows``, a JSON list of objects with :data:`COLUMNS`, as SQL."""

# Without a conflict target, so that both unique indexes count: the one on event_id and the site's
# own on (lead_id, event_name). What was not inserted and is not there under its event_id met the
# second.
_INSERT: LiteralString = """
with given as ({given}), inserted as (
    insert into public.wm_event_log ({names})
    select {names} from given
    on conflict do nothing
    returning event_id
)
select event_id, 'inserted' from inserted
"""
_PRESENT: LiteralString = "select event_id from public.wm_event_log where event_id = any(%s)"


async def insert_events(
    connection: psycopg.AsyncConnection[Any], rows: bytes, event_ids: Sequence[UUID]
) -> tuple[set[UUID], set[UUID]]:
    """Inserts ``rows``, a JSON list of objects with :data:`COLUMNS`, as far as nothing is in the
    way.

    Returns (the ids that were inserted, those of ``event_ids`` that are now in the ledger). An id
    in neither met the unique index on lead and event name. Raises psycopg errors for rows that the
    table does not take: then none was inserted.
    """
    statement = _INSERT.replace("{given}", GIVEN).replace("{names}", NAMES)
    cursor = await connection.execute(statement, {"rows": rows.decode()})
    inserted = {row[0] for row in await cursor.fetchall()}
    cursor = await connection.execute(_PRESENT, (list(event_ids),))
    return inserted, {row[0] for row in await cursor.fetchall()}
