"""With how many others an event was claimed: the search for one that takes its workers down."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0008"
down_revision = "0007"
# There is no downgrade: without the column every search would begin anew.

# Null in rows that were claimed by an earlier version: nobody knows with how many others.
_GROUP = (Column("lease_group", "integer"),)
TABLES = (Table("tracking_failed_events", _GROUP), Table("tracking_accepted_events", _GROUP))


def upgrade() -> None:
    """Gives both queues the size of the group that a row was claimed with; store/leases.py."""
    Adoption.of(op.get_context()).create_or_adopt(TABLES)
