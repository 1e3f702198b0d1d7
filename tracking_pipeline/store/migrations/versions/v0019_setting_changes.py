"""When a setting was changed, by its name: a cause to look for when something else changes."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0019"
down_revision = "0018"
# There is no downgrade: an earlier version leaves the table alone.

CHANGES = Table(
    "tracking_setting_changes",
    (
        Column("id", "bigint", rest="generated always as identity primary key", required=True),
        Column("name", "text", not_null=True, required=True),
        # Of 8 bits: it tells that a value is another one, and nothing of what it is.
        Column("digest", "text", not_null=True, required=True),
        # The setting was not known before.
        Column("is_first", "boolean", not_null=True, required=True),
        Column("changed_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)


def upgrade() -> None:
    """Creates the table with its index."""
    adoption = Adoption.of(op.get_context())
    if CHANGES.name in adoption.create_or_adopt((CHANGES,)):
        run(
            adoption.connection,
            "create index tracking_setting_changes_of_name"
            " on public.tracking_setting_changes (name, changed_at)",
        )
