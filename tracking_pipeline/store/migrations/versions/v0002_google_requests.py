"""The requests that Google accepted and whose outcome it tells later.

One row a request, with the failed events it carried: Google's own answer has no list of events.
"""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0002"
down_revision = "0001"
# There is no downgrade: the rows hold the only link from Google's answers to failed events.

# No reference to the queue: what Google said outlives the failed event that a site deletes.
GOOGLE_REQUESTS = Table(
    "tracking_google_requests",
    (
        Column("request_id", "text", rest="primary key", required=True),
        Column("failed_event_ids", "uuid[]", default="'{}'", not_null=True, required=True),
        Column("lease_tokens", "bigint[]", default="'{}'", not_null=True, required=True),
        Column("events", "integer", default="0", not_null=True),
        Column("sent_at", "timestamptz", default_for_new_rows="now()", not_null=True),
        # Null once the outcome is known.
        Column("next_check_at", "timestamptz"),
        Column("checks", "integer", default="0", not_null=True),
        Column(
            "outcome",
            "text",
            rest="check (outcome in ('delivered', 'refused', 'narrowed', 'unknown'))",
        ),
        Column("detail", "text"),
    ),
)


def upgrade() -> None:
    """Creates the table, and the index that finds what is due without reading what is done."""
    adoption = Adoption.of(op.get_context())
    if GOOGLE_REQUESTS.name in adoption.create_or_adopt((GOOGLE_REQUESTS,)):
        run(
            adoption.connection,
            "create index tracking_google_requests_due on public.tracking_google_requests"
            " (next_check_at) where next_check_at is not null",
        )
