"""What happened at a destination since its last success: the trace of an outage, or of a wrong
configuration, that a site of few events meets over several runs."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table

revision = "0010"
down_revision = "0009"
# There is no downgrade: an earlier version leaves the columns alone.

WITHOUT_SUCCESS = Table(
    "tracking_destination_state",
    (
        Column("failed_runs", "integer", default="0", not_null=True),
        Column("failed_since", "timestamptz"),
        Column("failed_run_at", "timestamptz"),
        # The one event that failed; null where several did.
        Column("failed_event_id", "uuid"),
        Column("refusal", "text"),
        Column("refused_runs", "integer", default="0", not_null=True),
        Column("refused_events", "integer", default="0", not_null=True),
        Column("refused_run_at", "timestamptz"),
        Column("refused_event_id", "uuid"),
    ),
)


def upgrade() -> None:
    """Gives the state of destinations these counts; store/destination_state.py."""
    Adoption.of(op.get_context()).create_or_adopt((WITHOUT_SUCCESS,))
