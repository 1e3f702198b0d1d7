"""Parts that several statements on the queues share, so that they mean the same by them."""

from __future__ import annotations

from typing_extensions import LiteralString

from tracking_pipeline.store.lead_places import PLACE_COLUMNS

# Those of the lead's place columns that came from an address of a data centre, a proxy, a VPN or a
# relay, and that nobody has changed since.
HOSTING_FIELDS: LiteralString = """case when jsonb_path_exists(l.geo_fields, '$.*.hosting')
    then array_remove(array[{fields}], null) end""".replace(
    "{fields}",
    ", ".join(
        [
            f"""case when l.geo_fields #> '{{{column},hosting}}' = 'true'
                and l.geo_fields #>> '{{{column},value}}' = l.{column}::text
            then '{column}' end"""
            for column in PLACE_COLUMNS
        ]
    ),
)
# What delivery may know of the lead ``l`` behind an event, named as ``events/row.Lead`` has it.
LEAD_COLUMNS: LiteralString = f"""l.id as known_lead_id, l.email, l.phone, l.first_name,
    l.last_name, l.city, l.state, l.zip, l.country, l.fbp, l.fbc, l.client_user_agent, l.client_ip,
    {HOSTING_FIELDS} as hosting_fields"""


def lease_is_free(row: LiteralString) -> LiteralString:
    """The condition: no worker holds the row, or the one that did is lost."""
    return f"({row}.lease_expires_at is null or {row}.lease_expires_at <= now())"


def due_at(row: LiteralString) -> LiteralString:
    """When a failed event may be tried: the expression of the index tracking_failed_events_due. A
    row that entered the queue without a time is due at once."""
    return f"coalesce({row}.next_retry_at, '-infinity'::timestamptz)"
