"""The indexes that are built outside a transaction, one by one, while the tables are in use.

This is the wanted state and not a list of steps: each `migrate` builds what is absent and rebuilds
what an interrupted build left invalid, so there is nothing to remember about how far it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row


@dataclass(frozen=True)
class Index:
    """An index of ours. `leading_column` is set where any plain index that starts with it will do.

    A site's own table may have such an index under its own name; a second one would only cost.
    """

    name: str
    table: str
    definition: str
    leading_column: str = ""


CORRECTED_LEADS = """(
    geo_fields #>> '{city,value}' <> coalesce(city::text, '')
    or geo_fields #>> '{state,value}' <> coalesce(state::text, '')
    or geo_fields #>> '{zip,value}' <> coalesce(zip::text, '')
    or geo_fields #>> '{country,value}' <> coalesce(country::text, ''))"""
"""Of a row of ``leads``: a column no longer holds the value that enrichment wrote into it. A query
must use the same expression to be served by its index."""

CUT_ADDRESS = (
    "'^([0-9]+[.][0-9]+[.][0-9]+[.]0/24|[0-9A-Fa-f]+:([0-9A-Fa-f]+:)?([0-9A-Fa-f]+:)?:/48)$'"
)
"""The pattern of an address that was cut to its network. ``8.8.8.8/24``, as an ``inet`` may have
it, is whole: the length alone tells nothing."""
WHOLE_ADDRESS = f"client_ip is not null and client_ip::text !~ {CUT_ADDRESS}"
"""Of a row of ``leads``: its address is still to be cut one day."""

UNCLAIMABLE_EVENT = """(
    status is null or destination is null and status in ('pending', 'retrying'))"""
"""Of a row of ``tracking_failed_events``: nothing ever sends it."""

INDEXES = (
    # Claiming: due events of one destination, oldest due first. The expression makes "due at once"
    # (null) sort first; a claim must use the same expression to be served by it.
    Index(
        "tracking_failed_events_due",
        "tracking_failed_events",
        "(destination, coalesce(next_retry_at, '-infinity'::timestamptz), id)"
        " where status in ('pending', 'retrying')",
    ),
    # Where workers were lost: none, as a rule. Of a lease itself there is no index: then a claim
    # would have to write into all of them. What was lost for the first time is found among what is
    # due.
    Index(
        "tracking_failed_events_suspects",
        "tracking_failed_events",
        "(destination) where lease_losses > 0",
    ),
    Index(
        "tracking_accepted_events_suspects",
        "tracking_accepted_events",
        "(destination) where lease_losses > 0",
    ),
    Index(
        "tracking_failed_events_dead_letters",
        "tracking_failed_events",
        "(destination, updated_at) where status = 'dead_letter'",
    ),
    Index(
        "tracking_failed_events_event",
        "tracking_failed_events",
        "(event_id)",
        leading_column="event_id",
    ),
    # What nothing will ever send: none, as a rule.
    Index(
        "tracking_failed_events_unclaimable",
        "tracking_failed_events",
        f"(id) where {UNCLAIMABLE_EVENT}",
    ),
    # What was withheld within a window of time, and why.
    Index(
        "tracking_failed_events_withheld",
        "tracking_failed_events",
        "(resolved_at, destination, withheld_reason)"
        " where withheld_reason is not null and status = 'resolved'",
    ),
    # What was resolved today.
    Index(
        "tracking_failed_events_resolved",
        "tracking_failed_events",
        "(resolved_at) where status = 'resolved'",
    ),
    # What was put back into the queue lately: few.
    Index(
        "tracking_failed_events_replayed",
        "tracking_failed_events",
        "(replayed_at) where replayed_at is not null",
    ),
    # What failed within a window of time.
    Index(
        "tracking_failed_events_time",
        "tracking_failed_events",
        "(created_at)",
        leading_column="created_at",
    ),
    Index(
        "tracking_delivery_attempts_of_event",
        "tracking_delivery_attempts",
        "(failed_event_id, attempted_at)",
    ),
    # What became of a conversion that was delivered at once and has no failed event.
    Index(
        "tracking_delivery_attempts_delivered",
        "tracking_delivery_attempts",
        "(event_id) where outcome = 'delivered'",
    ),
    # The last error of a destination, for the status.
    Index(
        "tracking_delivery_attempts_faults",
        "tracking_delivery_attempts",
        "(destination, attempted_at) where outcome in ('retry', 'throttled', 'paused', 'rejected')",
    ),
    # The pauses of the last days, whose dead letters may be replayed: few among many attempts.
    Index(
        "tracking_delivery_attempts_paused",
        "tracking_delivery_attempts",
        "(attempted_at) where outcome = 'paused'",
    ),
    # The warnings of the last days: few among many deliveries.
    Index(
        "tracking_delivery_attempts_warned",
        "tracking_delivery_attempts",
        "(attempted_at) where warning is not null",
    ),
    Index(
        "tracking_delivery_attempts_time",
        "tracking_delivery_attempts",
        "(attempted_at)",
    ),
    Index("tracking_ledger_time", "wm_event_log", "(created_at)", leading_column="created_at"),
    # An adopted ledger may lack its unique index; finding "already there" must not scan it.
    Index("tracking_ledger_event", "wm_event_log", "(event_id)", leading_column="event_id"),
    # A lead's own events, for the address that it came from.
    Index(
        "tracking_ledger_lead",
        "wm_event_log",
        "(lead_id, created_at) where lead_id is not null",
        leading_column="lead_id",
    ),
    # The events of leads within a window of time: few among a ledger's page views.
    Index(
        "tracking_ledger_of_leads",
        "wm_event_log",
        "(created_at) where lead_id is not null",
    ),
    Index(
        "tracking_failed_events_lead",
        "tracking_failed_events",
        "(lead_id, created_at) where lead_id is not null",
        leading_column="lead_id",
    ),
    Index("tracking_leads_time", "leads", "(created_at)", leading_column="created_at"),
    # Leads that nobody has looked up yet, or whose next look-up has its time; read backwards, so
    # the newest come first and those without a time last.
    Index(
        "tracking_leads_to_locate",
        "leads",
        "(created_at nulls first, id) where geo_status is null or geo_next_at is not null",
    ),
    # Leads whose place was changed since we wrote it: next to none, and each enters by itself.
    Index("tracking_leads_corrected", "leads", f"(id) where {CORRECTED_LEADS}"),
    # Leads with a whole address, for the day on which it is cut.
    Index(
        "tracking_leads_uncut_address",
        "leads",
        f"(created_at, id) where {WHOLE_ADDRESS}",
    ),
)


def missing_or_invalid(connection: psycopg.Connection[Any]) -> list[tuple[Index, bool]]:
    """Gives the indexes that have to be built, and of each whether an invalid one is in the way.

    One query over the catalogue. The tables must exist.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            """
            select wanted.position, own.indexrelid is not null
              from unnest(%s::text[], %s::text[], %s::text[])
                   with ordinality as wanted (name, relation, leading_column, position)
              left join pg_index as own
                on own.indexrelid = to_regclass('public.' || wanted.name)
             where own.indisvalid is distinct from true
               and not exists (
                   select from pg_index as other
                     join pg_class on pg_class.oid = other.indexrelid
                     join pg_am on pg_am.oid = pg_class.relam and pg_am.amname = 'btree'
                     join pg_attribute as first_key
                       on first_key.attrelid = other.indrelid and first_key.attnum = other.indkey[0]
                    where other.indrelid = to_regclass('public.' || wanted.relation)
                      and first_key.attname = wanted.leading_column
                      and other.indisvalid and other.indpred is null)
             order by wanted.position
            """,
            (
                [index.name for index in INDEXES],
                [index.table for index in INDEXES],
                [index.leading_column for index in INDEXES],
            ),
        ).fetchall()
    return [(INDEXES[position - 1], invalid) for position, invalid in rows]


def build(connection: psycopg.Connection[Any], index: Index, *, invalid: bool) -> str:
    """Builds one index on an autocommit session, over an invalid one if need be; says what it did.

    A build that fails or is killed leaves an invalid index behind, which costs writes and serves
    no reads; it is dropped and built anew.
    """
    if invalid:
        connection.execute(f"drop index concurrently if exists public.{index.name}".encode())
    place = f"public.{index.table} {index.definition}"
    connection.execute(f"create index concurrently {index.name} on {place}".encode())
    return f"{'rebuilt' if invalid else 'built'} index {index.name}"
