"""What each worker holds of a destination's limits, so that all of them together keep to these."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0011"
down_revision = "0010"
# There is no downgrade: an earlier version leaves the table alone.

SHARES = Table(
    "tracking_destination_shares",
    (
        Column("destination", "text", rest="primary key", required=True),
        Column("shares", "jsonb", default="'{}'", not_null=True, required=True, exact=True),
        Column("updated_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)


def upgrade() -> None:
    """Creates the table of the workers' shares; store/destination_state.py."""
    Adoption.of(op.get_context()).create_or_adopt((SHARES,))
