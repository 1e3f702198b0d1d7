"""Readings, the roll-up they are read from, alerts' states and the outbox of messages."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0004"
down_revision = "0003"
# There is no downgrade: what was measured and what was told cannot be measured and told again.

# How many events of an hour carried which match keys (a bit each, health/emq/keys.py). Made from
# the ledger, and can be made again.
MATCH_KEYS = Table(
    "tracking_match_key_hourly",
    (
        Column("hour", "timestamptz", not_null=True, required=True),
        Column("event_name", "text", not_null=True, required=True),
        Column("keys", "integer", not_null=True, required=True),
        Column("events", "bigint", not_null=True, required=True),
    ),
)

# How far a roll-up has come; its columns are explained in store/rollup_progress.py.
PROGRESS = Table(
    "tracking_rollup_progress",
    (
        Column("name", "text", rest="primary key", required=True),
        Column("rolled_until", "timestamptz"),
        Column("rule", "text"),
        Column("seen_at", "timestamptz"),
        Column("seen_transactions", "text[]", default="'{}'", not_null=True),
        Column("recount_from", "timestamptz"),
        Column("recount_begun_at", "timestamptz"),
        Column("updated_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)

SNAPSHOTS = Table(
    "tracking_health_snapshots",
    (
        Column("id", "bigint", rest="generated always as identity primary key", required=True),
        Column("check_id", "uuid", not_null=True, required=True),
        Column("metric", "text", not_null=True),
        Column("dimension", "text"),
        Column("value", "double precision"),
        Column("state", "text"),
        Column("warning", "double precision"),
        Column("critical", "double precision"),
        Column("detail", "jsonb"),
        Column("run_id", "text"),
        Column("taken_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)

ALERT_STATE = Table(
    "tracking_alert_state",
    (
        Column("alert_type", "text", rest="primary key", required=True),
        Column("state", "jsonb", default="'{}'", not_null=True, required=True),
        Column("updated_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)

# No reference to the alert: a site may delete its old alerts, and what was told stays told.
NOTIFICATIONS = Table(
    "tracking_alert_notifications",
    (
        Column("id", "bigint", rest="generated always as identity primary key", required=True),
        Column("alert_id", "uuid"),
        Column("alert_type", "text"),
        Column(
            "kind",
            "text",
            not_null=True,
            rest="check (kind in ('started', 'worsened', 'ended', 'reminder', 'digest'))",
        ),
        Column("severity", "text"),
        # A fingerprint: the channel's address is a secret.
        Column("channel", "text", not_null=True, required=True),
        Column("title", "text", not_null=True),
        Column("body", "text", not_null=True),
        Column("dedupe_key", "text", not_null=True, required=True),
        Column("created_at", "timestamptz", default_for_new_rows="now()", not_null=True),
        Column("next_attempt_at", "timestamptz", default_for_new_rows="now()"),
        Column("attempts", "integer", default="0", not_null=True),
        Column("lease_token", "bigint", default="0", not_null=True),
        Column("lease_expires_at", "timestamptz"),
        Column("sent_at", "timestamptz"),
        Column("last_error", "text"),
    ),
)

# What an operator did about an alert. `resolved_by` is null where the alert ended by itself.
ALERTS = Table(
    "tracking_health_alerts",
    (
        Column("acknowledged_at", "timestamptz"),
        Column("acknowledged_by", "text"),
        Column("silenced_until", "timestamptz"),
        Column("resolved_by", "text"),
        Column("note", "text"),
        Column("updated_at", "timestamptz"),
    ),
)

# The keys of several columns, and the indexes of tables that are new and so need no patience.
_OF_NEW_TABLES = {
    MATCH_KEYS.name: (
        "alter table public.tracking_match_key_hourly add primary key (hour, event_name, keys)",
    ),
    SNAPSHOTS.name: (
        "create index tracking_health_snapshots_series on public.tracking_health_snapshots"
        " (metric, taken_at)",
    ),
    NOTIFICATIONS.name: (
        "alter table public.tracking_alert_notifications"
        " add constraint tracking_alert_notifications_once unique (dedupe_key, channel)",
        "create index tracking_alert_notifications_unsent on public.tracking_alert_notifications"
        " (channel, next_attempt_at) where sent_at is null",
    ),
}


def upgrade() -> None:
    """Creates the tables with their indexes; adds to alerts what an operator did about them."""
    adoption = Adoption.of(op.get_context())
    created = adoption.create_or_adopt(
        (MATCH_KEYS, PROGRESS, SNAPSHOTS, ALERT_STATE, NOTIFICATIONS, ALERTS)
    )
    for table, statements in _OF_NEW_TABLES.items():
        if table in created:
            for statement in statements:
                run(adoption.connection, statement)
