"""Which sensor or schedule launched what just now, so that two at once do not launch the same."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0016"
down_revision = "0015"
# There is no downgrade: an earlier version leaves the table alone.

LAUNCHES = Table(
    "tracking_launches",
    (
        Column("job", "text", not_null=True, required=True),
        Column("place", "integer", not_null=True, required=True),
        Column("launched_by", "text", not_null=True, required=True),
        Column("launched_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)


def upgrade() -> None:
    """Creates the table with its key; store/launches.py."""
    adoption = Adoption.of(op.get_context())
    if adoption.create_or_adopt((LAUNCHES,)):
        run(
            adoption.connection,
            "alter table public.tracking_launches add primary key (job, place)",
        )
