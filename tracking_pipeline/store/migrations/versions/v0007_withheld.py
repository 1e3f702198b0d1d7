"""Events that were withheld and are no failures, and those that wait for their own time."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import one, run

revision = "0007"
down_revision = "0006"
# There is no downgrade: why an event was withheld is written nowhere else.

# Set on a row that is `resolved` and was never sent; store/withheld_events.py.
FAILED_EVENTS = Table("tracking_failed_events", (Column("withheld_reason", "text"),))

ATTEMPTS = "tracking_delivery_attempts"
OUTCOMES = ("withheld", "postponed")

# It holds every attempt that did not deliver, and most of those are no errors any more; the index
# tracking_delivery_attempts_faults takes its place.
OLD_INDEX = "tracking_delivery_attempts_failed"


def upgrade() -> None:
    """Gives failed events the reason why one was withheld; lets both outcomes into the log."""
    adoption = Adoption.of(op.get_context())
    adoption.create_or_adopt((FAILED_EVENTS,))
    adoption.lock((ATTEMPTS,))
    adoption.let_in(ATTEMPTS, "outcome", OUTCOMES)
    if one(adoption.connection, "select to_regclass(%s)", f"public.{OLD_INDEX}"):
        run(adoption.connection, f"drop index public.{OLD_INDEX}")
        adoption.applied.append(f"dropped index {OLD_INDEX}, which another replaces")
