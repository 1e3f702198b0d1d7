"""An hour with many conversions is counted in slices, so that a change costs a slice of it."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0017"
down_revision = "0016"
# There is no downgrade: a version without slices counts whole hours, and does not mind them.

SLICES = Table(
    "tracking_delivery_slices",
    (
        Column("since", "timestamptz", not_null=True, required=True),
        Column("until", "timestamptz", not_null=True, required=True),
        # What it came to: the rows of the two tables by hour, without the hour.
        Column("counted", "jsonb", not_null=True, required=True),
    ),
)


def upgrade() -> None:
    """Creates the table with its key."""
    adoption = Adoption.of(op.get_context())
    if SLICES.name in adoption.create_or_adopt((SLICES,)):
        run(
            adoption.connection,
            "alter table public.tracking_delivery_slices add primary key (since)",
        )
