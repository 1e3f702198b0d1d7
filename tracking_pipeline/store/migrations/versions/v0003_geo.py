"""Where a lead is, how that is known, and what each address was found to be."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import one, run

revision = "0003"
down_revision = "0002"
# There is no downgrade: adoption only adds, and geo_fields alone tells our values from a person's.

# What enrichment notes beside a lead's own columns. `geo_source` is `user`, `session`, or a
# provider with the date of its data; `geo_fields` says it for each field, with the value that we
# wrote: a column that holds another value by now was changed by somebody who knows better.
LEADS = Table(
    "leads",
    (
        Column("state_code", "text"),
        Column("geo_source", "text"),
        Column("geo_fields", "jsonb"),
        Column("geo_status", "text"),
        Column("geo_at", "timestamptz"),
        Column("geo_attempts", "integer", default="0", not_null=True),
        Column("geo_next_at", "timestamptz"),
    ),
)
LEADS_CHECK = "tracking_leads_geo_status"

# What the online sources said about each address. Without a status: somebody is asking just now.
IP_LOCATIONS = Table(
    "tracking_ip_locations",
    (
        Column("ip", "inet", rest="primary key", required=True, exact=True),
        Column("city", "text"),
        Column("state", "text"),
        Column("state_code", "text"),
        Column("zip", "text"),
        Column("country", "text"),
        Column("hosting", "boolean", default="false", not_null=True),
        Column(
            "status",
            "text",
            rest="check (status in ('ok', 'no_data', 'rate_limited', 'error'))",
        ),
        Column("source", "text"),
        Column("looked_up_at", "timestamptz"),
        Column("expires_at", "timestamptz"),
        Column("attempts", "integer", default="0", not_null=True),
        Column("next_ask_at", "timestamptz"),
    ),
)

# What each online source of places allows, shared by all workers: they have one address between
# them, and it is the address that the source counts by.
GEO_PROVIDERS = Table(
    "tracking_geo_providers",
    (
        Column("provider", "text", rest="primary key", required=True),
        Column("not_before", "timestamptz"),
        Column("requests_left", "integer"),
        Column("window_ends_at", "timestamptz"),
        Column("busy_until", "timestamptz"),
        Column("failures", "integer", default="0", not_null=True),
        Column("reason", "text"),
        Column("updated_at", "timestamptz", default_for_new_rows="now()", not_null=True),
    ),
)


def upgrade() -> None:
    """Creates the tables of addresses and of their sources; gives leads room for what is known."""
    adoption = Adoption.of(op.get_context())
    adoption.create_or_adopt((GEO_PROVIDERS, IP_LOCATIONS, LEADS))
    _let_known_statuses_in(adoption)


def _let_known_statuses_in(adoption: Adoption) -> None:
    """Keeps other statuses out. Not valid: the column is new, and a long table is not read for it
    while it is locked."""
    there = "select true from pg_constraint where conrelid = to_regclass(%s) and conname = %s"
    if one(adoption.connection, there, f"public.{LEADS.name}", LEADS_CHECK):
        return
    run(
        adoption.connection,
        f"alter table public.{LEADS.name} add constraint {LEADS_CHECK} check (geo_status in"
        " ('ok', 'no_data', 'private', 'invalid', 'rate_limited', 'error')) not valid",
    )
