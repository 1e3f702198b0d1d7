"""What became of the ledger's conversions at each destination, by hour; and the conversions
themselves: what was said of consent, what they were worth, and the orders that they are about."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import Adoption, Column, Table
from tracking_pipeline.store.migrations.statements import run

revision = "0014"
down_revision = "0013"
# There is no downgrade: attempts may be gone by the time that an hour is counted anew.

_HOUR = Column("hour", "timestamptz", not_null=True, required=True)
_NAME = Column("event_name", "text", not_null=True, required=True)
_EVENTS = Column("events", "bigint", not_null=True, required=True)
# Empty where an event has no value.
_CURRENCY = Column("currency", "text", not_null=True, required=True)

ACCOUNTING = Table(
    "tracking_delivery_hourly",
    (
        _HOUR,
        Column("destination", "text", not_null=True, required=True),
        _NAME,
        # False: a failed event whose conversion is not in the ledger.
        Column("in_ledger", "boolean", not_null=True, required=True),
        # What became of it, and how or why; health/readings/arrivals.py.
        Column("became", "text", not_null=True, required=True),
        Column("reason", "text", not_null=True, required=True),
        _CURRENCY,
        _EVENTS,
        Column("value", "double precision", not_null=True, required=True),
        Column("samples", "uuid[]", default="'{}'", not_null=True, required=True),
    ),
)
CONVERSIONS = Table(
    "tracking_conversion_hourly",
    (
        _HOUR,
        _NAME,
        Column("consent", "text", not_null=True, required=True),
        _CURRENCY,
        _EVENTS,
        # Some of their values, in order, each for as many events as the others.
        Column("value_sample", "double precision[]", default="'{}'", not_null=True, required=True),
    ),
)
ORDERS = Table(
    "tracking_order_events",
    (
        Column("order_id", "text", not_null=True, required=True),
        _NAME,
        Column("event_id", "uuid", not_null=True, required=True),
        Column("created_at", "timestamptz", not_null=True, required=True),
    ),
)
PROGRESS = Table(
    "tracking_rollup_progress",
    (Column("stale_hours", "timestamp with time zone[]", default="'{}'", not_null=True),),
)

_OF_NEW_TABLES = {
    ACCOUNTING.name: (
        "alter table public.tracking_delivery_hourly add primary key"
        " (hour, destination, event_name, in_ledger, became, reason, currency)",
    ),
    CONVERSIONS.name: (
        "alter table public.tracking_conversion_hourly add primary key"
        " (hour, event_name, consent, currency)",
    ),
    ORDERS.name: (
        "alter table public.tracking_order_events add primary key (order_id, event_name, event_id)",
        "create index tracking_order_events_time on public.tracking_order_events (created_at)",
    ),
}


def upgrade() -> None:
    """Creates the tables with their keys; lets a roll-up remember the hours that it owes."""
    adoption = Adoption.of(op.get_context())
    created = adoption.create_or_adopt((ACCOUNTING, CONVERSIONS, ORDERS, PROGRESS))
    for table, statements in _OF_NEW_TABLES.items():
        if table in created:
            for statement in statements:
                run(adoption.connection, statement)
