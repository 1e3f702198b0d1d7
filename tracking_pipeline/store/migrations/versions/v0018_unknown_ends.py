"""Under which lease an event began to be sent: where nobody settles it, nobody knows its end."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0018"
down_revision = "0017"
# There is no downgrade: without the column such an event would be sent a second time.

_SENT = (Column("sent_lease_token", "bigint"),)
TABLES = (Table("tracking_failed_events", _SENT), Table("tracking_accepted_events", _SENT))


def upgrade() -> None:
    """Gives both queues the token under which a request with a row began; store/leases.py."""
    Adoption.of(op.get_context()).create_or_adopt(TABLES)
