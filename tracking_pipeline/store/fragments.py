"""Parts that several statements on the queues share, so that they mean the same by them."""

from __future__ import annotations

from typing_extensions import LiteralString

# What delivery may know of the lead ``l`` behind an event, named as ``events/row.Lead`` has it.
LEAD_COLUMNS: LiteralString = """l.id as known_lead_id, l.email, l.phone, l.first_name, l.last_name,
    l.city, l.state, l.zip, l.country, l.fbp, l.fbc, l.client_user_agent, l.client_ip"""


def lease_is_free(row: LiteralString) -> LiteralString:
    """The condition: no worker holds the row, or the one that did is lost."""
    return f"({row}.lease_expires_at is null or {row}.lease_expires_at <= now())"


def due_at(row: LiteralString) -> LiteralString:
    """When a failed event may be tried: the expression of the index tracking_failed_events_due. A
    row that entered the queue without a time is due at once."""
    return f"coalesce({row}.next_retry_at, '-infinity'::timestamptz)"
