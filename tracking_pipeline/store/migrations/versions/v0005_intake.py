"""Accepted events on their way to their first attempt, and who did what by hand."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0005"
down_revision = "0004"
# There is no downgrade: that an event was replayed by hand is written nowhere else.

# The trace that a replay leaves in an event.
FAILED_EVENTS = Table(
    "tracking_failed_events",
    (
        Column("replayed_at", "timestamptz"),
        Column("replays", "integer", default="0", not_null=True),
    ),
)

# Who did what through the API, and from where; store/admins.py. It holds addresses, and those
# whom it is about need not read it.
ADMIN_ACTIONS = Table(
    "tracking_admin_actions",
    (
        Column("id", "bigint", rest="generated always as identity primary key", required=True),
        Column("at", "timestamptz", default_for_new_rows="now()", not_null=True),
        Column("actor", "text", not_null=True, required=True),
        Column("action", "text", not_null=True, required=True),
        Column("detail", "jsonb", default="'{}'", not_null=True),
        Column("outcome", "text", not_null=True),
        Column("remote", "text"),
    ),
    append_only=True,
    admins_read=False,
)

# Events that the API accepted and that no destination was sent yet; store/accepted_events.py. No
# reference to leads: a lead may be deleted before its event goes out.
ACCEPTED_EVENTS = Table(
    "tracking_accepted_events",
    (
        Column(
            "id",
            "uuid",
            default_for_new_rows="gen_random_uuid()",
            not_null=True,
            rest="primary key",
            required=True,
            exact=True,
        ),
        Column("event_id", "uuid", not_null=True, required=True, exact=True),
        Column("event_name", "text", not_null=True),
        Column("event_type", "text"),
        Column("event_payload", "jsonb", not_null=True, required=True),
        Column("destination", "text", not_null=True, required=True),
        Column("lead_id", "uuid"),
        Column("session_id", "uuid"),
        Column("created_at", "timestamptz", default_for_new_rows="now()", not_null=True),
        Column("delivered_at", "timestamptz"),
        Column("lease_token", "bigint", default="0", not_null=True),
        Column("lease_expires_at", "timestamptz"),
        Column("lease_losses", "integer", default="0", not_null=True),
    ),
    # Rows live for seconds: at the default, dead ones would outnumber those that wait.
    storage="autovacuum_vacuum_scale_factor = 0.02, fillfactor = 70",
)
_OF_ACCEPTED_EVENTS = (
    "create unique index tracking_accepted_events_once on public.tracking_accepted_events"
    " (event_id, destination)",
    "create index tracking_accepted_events_due on public.tracking_accepted_events"
    " (destination, created_at, id) where delivered_at is null",
    "create index tracking_accepted_events_delivered on public.tracking_accepted_events"
    " (delivered_at) where delivered_at is not null",
)


def upgrade() -> None:
    """Adds to failed events the trace of their replays; creates the log of admins' actions and the
    queue of accepted events."""
    adoption = Adoption.of(op.get_context())
    created = adoption.create_or_adopt((FAILED_EVENTS, ADMIN_ACTIONS, ACCEPTED_EVENTS))
    if ACCEPTED_EVENTS.name in created:
        for statement in _OF_ACCEPTED_EVENTS:
            run(adoption.connection, statement)
