"""What Supabase's roles may do with the tables of ours, also where an earlier version made them.

A project's default privileges had left every right on them with `service_role`, and every admin
could read the log of admins' actions with its addresses. The four tables that a site may have had
before are its own: their grants are not touched.
"""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import VERSION_TABLE, Adoption
from tracking_pipeline.store.migrations.protection import (
    let_no_admin_read,
    let_service_role,
    take_back,
)

revision = "0006"
down_revision = "0005"
# There is no downgrade: what was open is to stay closed.

ADMIN_ACTIONS = "tracking_admin_actions"
APPEND_ONLY = ("tracking_delivery_attempts", ADMIN_ACTIONS)

RIGHTS = {
    VERSION_TABLE: "select",
    **dict.fromkeys(APPEND_ONLY, "select, insert"),
    **dict.fromkeys(
        (
            "tracking_destination_state",
            "tracking_google_requests",
            "tracking_geo_providers",
            "tracking_ip_locations",
            "tracking_match_key_hourly",
            "tracking_rollup_progress",
            "tracking_health_snapshots",
            "tracking_alert_state",
            "tracking_alert_notifications",
            "tracking_accepted_events",
        ),
        "select, insert, update, delete",
    ),
}


def upgrade() -> None:
    """Leaves `service_role` what it needs; closes the audit to admins; lets nobody empty a log."""
    adoption = Adoption.of(op.get_context())
    adoption.lock(APPEND_ONLY)
    for table in APPEND_ONLY:
        adoption.refuse_truncate(table)
    for table, rights in RIGHTS.items():
        take_back(adoption.connection, "service_role", table)
        let_service_role(adoption.connection, rights, table)
    let_no_admin_read(adoption.connection, ADMIN_ACTIONS)
