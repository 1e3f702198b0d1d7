"""How many events of a request Google had already, by its reason."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0020"
down_revision = "0019"

TABLES = (Table("tracking_google_requests", (Column("duplicates", "jsonb"),)),)


def upgrade() -> None:
    """Gives the requests to Google a column for it; store/google_requests.py."""
    Adoption.of(op.get_context()).create_or_adopt(TABLES)
