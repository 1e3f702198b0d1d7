"""The four tables that a site may already have, and what delivery and alerts need beside them."""

from __future__ import annotations

from dataclasses import replace

from alembic import op

from tracking_pipeline.store.migrations.adoption import VERSION_TABLE, Adoption, Column, Table
from tracking_pipeline.store.migrations.preflight import Use
from tracking_pipeline.store.migrations.protection import let_service_role, protect
from tracking_pipeline.store.migrations.statements import run

revision = "0001"
down_revision = None
# There is no downgrade: adoption only adds, and the columns may hold the only copy of a reason.

OPEN_ALERT_INDEX = "tracking_health_alerts_one_open"

ALERT_TYPES = (
    "emq_critical",
    "failed_events_critical",
    "error_rate_critical",
    "dead_letters",
    "destination_paused",
    "geo_provider_down",
    "no_data",
    "pipeline_stalled",
)

# The longest texts that are written, in characters.
LONGEST_ERROR = 300
LONGEST_CODE = 100
LONGEST_ALERT = 2_000

# The last two came with revision 0007, which lets them into a table that is older.
OUTCOMES = ("delivered", "retry", "throttled", "paused", "rejected", "withheld", "postponed")


def text(*names: str, use: Use = Use.TYPED) -> tuple[Column, ...]:
    """Gives plain nullable text columns."""
    return tuple(Column(name, "text", use=use) for name in names)


ID = Column(
    "id",
    "uuid",
    default_for_new_rows="gen_random_uuid()",
    not_null=True,
    rest="primary key",
    required=True,
    exact=True,
)
CREATED_AT = Column("created_at", "timestamptz", default_for_new_rows="now()", not_null=True)
UPDATED_AT = Column("updated_at", "timestamptz", default_for_new_rows="now()", not_null=True)

# A site's own table has some fifty columns more, which the pipeline neither needs nor touches.
LEADS = Table(
    "leads",
    (
        ID,
        Column("email", "text", not_null=True),
        *text("name", "first_name", "last_name", "phone", use=Use.LOOSE),
        *text("city", "state", "zip", use=Use.AS_TEXT),
        *text("fbp", "fbc", "gclid", "client_user_agent", "ip_hash", use=Use.LOOSE),
        Column("session_data", "jsonb", use=Use.LOOSE),
        CREATED_AT,
        replace(UPDATED_AT, use=Use.LOOSE),
        *text("client_ip", "country", use=Use.AS_TEXT),
    ),
)

LEDGER = Table(
    "wm_event_log",
    (
        Column(
            "id",
            "uuid",
            default_for_new_rows="gen_random_uuid()",
            rest="primary key",
            use=Use.LOOSE,
        ),
        *text("client_id"),
        Column("lead_id", "uuid"),
        Column("session_id", "uuid"),
        Column("event_id", "uuid", rest="unique", required=True, exact=True),
        *text("event_name"),
        Column("event_type", "text", default="'unknown'"),
        Column("event_time", "timestamptz"),
        *text("external_id", "source_tool", "page_path", "funnel_stage"),
        Column("intent_tier", "integer"),
        *text("traffic_source", "traffic_medium", "campaign_id", "fbclid", "gclid", "fbp", "fbc"),
        Column("lead_score", "integer"),
        Column("metadata", "jsonb"),
        Column("user_data", "jsonb"),
        *text("source_system", "ingested_by"),
        CREATED_AT,
        *text("email_sha256", "phone_sha256"),
    ),
    append_only=True,
    left_to_default=("id", "created_at"),
)

FAILED_EVENTS = Table(
    "tracking_failed_events",
    (
        ID,
        Column("event_id", "uuid", not_null=True, required=True, exact=True),
        Column("event_name", "text", not_null=True),
        Column("event_type", "text", default="'conversion'"),
        Column("event_payload", "jsonb", not_null=True, required=True),
        Column("user_data", "jsonb"),
        Column(
            "destination",
            "text",
            not_null=True,
            required=True,
            words=("meta_capi", "google_ec", "gtm_server", "supabase"),
            is_widened=True,
        ),
        Column("error_message", "text", not_null=True, longest=LONGEST_ERROR),
        Column("error_code", "text", longest=LONGEST_CODE, cleared=True),
        Column("http_status", "integer", cleared=True),
        Column("retry_count", "integer", default="0", not_null=True),
        Column("max_retries", "integer", default="5", not_null=True),
        # Without a time zone it would mean another moment for each session, and have no index.
        Column("next_retry_at", "timestamp with time zone", exact=True, cleared=True),
        Column(
            "status",
            "text",
            default="'pending'",
            not_null=True,
            required=True,
            words=("pending", "retrying", "resolved", "dead_letter"),
        ),
        Column("resolved_at", "timestamptz", cleared=True),
        Column("resolved_by", "text", longest=LONGEST_CODE, cleared=True),
        CREATED_AT,
        UPDATED_AT,
        Column("lead_id", "uuid", rest="references public.leads (id) on delete set null"),
        Column("session_id", "uuid"),
        Column("lease_token", "bigint", default="0", not_null=True),
        Column("lease_expires_at", "timestamptz", cleared=True),
        Column("lease_losses", "integer", default="0", not_null=True),
        Column("dead_letter_reason", "text", longest=LONGEST_ERROR, cleared=True),
    ),
    left_to_default=(),
    # Each attempt updates its row: at the default of 20 % dead rows, a queue of a million would
    # carry 200,000 dead versions through its hot indexes before they are cleared.
    # Room for the row that a claim makes of a row: in the same page it writes into no index.
    storage="autovacuum_vacuum_scale_factor = 0.02, fillfactor = 70",
)

ALERTS = Table(
    "tracking_health_alerts",
    (
        ID,
        Column(
            "alert_type",
            "text",
            not_null=True,
            required=True,
            words=ALERT_TYPES,
            is_widened=True,
        ),
        Column("severity", "text", not_null=True, words=("warning", "critical")),
        Column("message", "text", not_null=True, longest=LONGEST_ALERT),
        Column("metric_value", "numeric", cleared=True),
        Column("threshold", "numeric", cleared=True),
        Column("resolved_at", "timestamptz", cleared=True),
        CREATED_AT,
    ),
    left_to_default=("id", "created_at"),
)

# No reference to the queue: an attempt outlives the failed event that a site deletes.
ATTEMPTS = Table(
    "tracking_delivery_attempts",
    (
        Column("id", "bigint", rest="generated always as identity primary key", required=True),
        Column("failed_event_id", "uuid", not_null=True, required=True),
        Column("event_id", "uuid", not_null=True),
        Column("destination", "text", not_null=True),
        Column("attempt", "integer", not_null=True),
        Column(
            "outcome",
            "text",
            not_null=True,
            words=OUTCOMES,
        ),
        Column("requests", "integer", default="1", not_null=True),
        Column("request_id", "uuid"),
        Column("http_status", "integer"),
        *text("error_code", "error_message"),
        Column("duration_ms", "integer"),
        Column("lease_token", "bigint", not_null=True),
        *text("worker", "run_id"),
        Column("attempted_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
    append_only=True,
)

DESTINATION_STATE = Table(
    "tracking_destination_state",
    (
        Column("destination", "text", rest="primary key", required=True),
        Column(
            "state",
            "text",
            default="'closed'",
            not_null=True,
            words=("closed", "open", "half_open"),
        ),
        *text("reason"),
        Column("opened_at", "timestamptz"),
        Column("probe_at", "timestamptz"),
        Column("probe_interval_seconds", "integer"),
        Column("not_before", "timestamptz"),
        Column("window_started_at", "timestamptz"),
        Column("window_requests", "integer", default="0", not_null=True),
        Column("window_failures", "integer", default="0", not_null=True),
        UPDATED_AT,
    ),
)


def upgrade() -> None:
    """Creates or adopts the tables, lets new alert types in, keeps one open alert of each type."""
    adoption = Adoption.of(op.get_context())
    protect(adoption.connection, VERSION_TABLE)
    let_service_role(adoption.connection, "select", VERSION_TABLE)
    created = adoption.create_or_adopt(
        (LEADS, FAILED_EVENTS, LEDGER, ALERTS, ATTEMPTS, DESTINATION_STATE)
    )
    if LEDGER.name in created:
        # A lead converts once, however often its form is sent. A site's own ledger has its own.
        run(
            adoption.connection,
            "create unique index tracking_ledger_one_submission on public.wm_event_log"
            " (lead_id, event_name) where event_name = 'lead_submission_success'",
        )
    adoption.let_in(ALERTS.name, "alert_type", ALERT_TYPES)
    close_surplus_alerts(adoption)
    # Alerts are few and their table is locked, so this one need not be built concurrently; in here
    # nobody can open a second alert between the statement above and the index.
    run(
        adoption.connection,
        f"create unique index {OPEN_ALERT_INDEX} on public.{ALERTS.name} (alert_type)"
        " where resolved_at is null",
    )


def close_surplus_alerts(adoption: Adoption) -> None:
    """Keeps the newest open alert of each type and says so in the others, which are closed."""
    closed = run(
        adoption.connection,
        """
        update public.tracking_health_alerts as surplus
           set resolved_at = now(),
               message = concat_ws(' ', message, '[closed by migration: a newer one is open]')
         where resolved_at is null
           and exists (select from public.tracking_health_alerts as newer
                        where newer.alert_type = surplus.alert_type and newer.resolved_at is null
                          and (coalesce(newer.created_at, '-infinity'), newer.id)
                              > (coalesce(surplus.created_at, '-infinity'), surplus.id))
        """,
    )
    if closed:
        adoption.applied.append(f"closed {closed} surplus open alerts of {ALERTS.name}")
