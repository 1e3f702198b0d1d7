"""The public code of each failure, and what the platform said of it."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0013"
down_revision = "0012"
# There is no downgrade: what a platform said is written nowhere else.

# Null in what was written by an earlier version.
_FAILURE = Column("failure_code", "text")
_SAID = tuple(Column(name, "text") for name in ("platform_message", "trace_id", "field_path"))
TABLES = (
    Table("tracking_failed_events", (_FAILURE,)),
    Table("tracking_destination_state", (_FAILURE,)),
    Table("tracking_delivery_attempts", (_FAILURE, *_SAID)),
)


def upgrade() -> None:
    """Gives attempts, failed events and paused destinations the code of their failure."""
    Adoption.of(op.get_context()).create_or_adopt(TABLES)
