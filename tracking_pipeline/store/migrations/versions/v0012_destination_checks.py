"""What destinations said when they were asked whether events would get in, and the alert that tells
of a token or a version that ends."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.versions.v0001_delivery_tables import text

revision = "0012"
down_revision = "0011"
# There is no downgrade: an alert of the new type would fit no older check.

CHECKS = Table(
    "tracking_destination_checks",
    (
        Column("destination", "text", rest="primary key", required=True),
        Column("state", "text", not_null=True),
        Column("detail", "text", not_null=True),
        *text("failure_code", "error_code"),
        Column("duration_ms", "integer", not_null=True),
        # What ends, by its name, and when: ISO 8601.
        Column("endings", "jsonb", not_null=True),
        Column("checked_at", "timestamptz", not_null=True),
    ),
)
ALERTS = "tracking_health_alerts"


def upgrade() -> None:
    """Creates the table; lets the new type of alert in."""
    adoption = Adoption.of(op.get_context())
    adoption.create_or_adopt((CHECKS,))
    adoption.lock((ALERTS,))
    adoption.let_in(ALERTS, "alert_type", ("destination_expiring",))
