"""What a destination warned of in a delivery, and whom it found no match for."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0009"
down_revision = "0008"
# There is no downgrade: what a destination warned of is written nowhere else.

TABLES = (
    # The kinds of warning, with a comma between them; null: none.
    Table("tracking_delivery_attempts", (Column("warning", "text"),)),
    # How many of its events, by Google's reason; Google does not say which.
    Table("tracking_google_requests", (Column("warnings", "jsonb"), Column("unmatched", "jsonb"))),
)


def upgrade() -> None:
    """Gives the log of attempts and Google's requests room for it."""
    Adoption.of(op.get_context()).create_or_adopt(TABLES)
