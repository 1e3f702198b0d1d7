"""How many leads have a place, where it comes from, and what stands in the way: for readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from typing_extensions import LiteralString

from tracking_pipeline.store.lead_text import SAID, STORED_ADDRESS


@dataclass(frozen=True, slots=True)
class CoverageCounts:
    """Leads of one window. ``said_*`` count what people said themselves, ``with_*`` all that is
    there now; a whole place is city, state and zip of one lead. ``open`` leads were not looked up
    to an end yet, ``open_for_hours`` of them for more than an hour."""

    leads: int
    said_city: int
    said_state: int
    said_zip: int
    with_city: int
    with_state: int
    with_zip: int
    with_whole_place: int
    open: int
    open_for_hours: int


# What is there and is not what we wrote is a person's own.
_COUNT: LiteralString = f"""
with windowed as (
    select l.city::text {SAID} as city, l.state::text {SAID} as state, l.zip::text {SAID} as zip,
        l.geo_fields #>> '{{city,value}}' = l.city::text as our_city,
        l.geo_fields #>> '{{state,value}}' = l.state::text as our_state,
        l.geo_fields #>> '{{zip,value}}' = l.zip::text as our_zip,
        l.geo_status is null or l.geo_next_at is not null as open,
        l.created_at < now() - interval '1 hour' as old
    from public.leads l
    where l.created_at >= now() - make_interval(days => %s)
)
select count(*) as leads,
    count(*) filter (where city and our_city is not true) as said_city,
    count(*) filter (where state and our_state is not true) as said_state,
    count(*) filter (where zip and our_zip is not true) as said_zip,
    count(*) filter (where city) as with_city,
    count(*) filter (where state) as with_state,
    count(*) filter (where zip) as with_zip,
    count(*) filter (where city and state and zip) as with_whole_place,
    count(*) filter (where open) as open,
    count(*) filter (where open and old) as open_for_hours
from windowed
"""  # noqa: S608  a constant of ours


def count_coverage(connection: psycopg.Connection[Any], window_days: int) -> CoverageCounts:
    """The leads of the last ``window_days`` days, counted by what is known of their place."""
    with connection.cursor(row_factory=class_row(CoverageCounts)) as cursor:
        counts = cursor.execute(_COUNT, (window_days,)).fetchone()
    assert counts is not None  # noqa: S101  an aggregate without groups gives one row
    return counts


# The first word of a source stays the same from month to month: mmdb, ip_api, session, user.
_BY_SOURCE: LiteralString = """
select split_part(source, ' ', 1), count(*)
from (
    select {sources} as source
    from public.leads l
    where l.created_at >= now() - make_interval(days => %s)
) as located
where source is not null
group by 1
order by 2 desc, 1
"""
_SOURCE_OF: LiteralString = f"""case
            when l.{{column}}::text {SAID} and l.geo_fields #>> {{value}} = l.{{column}}::text
            then l.geo_fields #>> {{source}}
            when l.{{column}}::text {SAID} then 'user' end"""


def count_by_source(connection: psycopg.Connection[Any], window_days: int) -> dict[str, int]:
    """The same leads by where their place comes from: their city, else their state, else their zip.
    The most frequent source first; leads without any of the three are left out."""
    sources = sql.SQL(", ").join(
        sql.SQL(_SOURCE_OF).format(
            column=sql.Identifier(column),
            value=sql.Literal(f"{{{column},value}}"),
            source=sql.Literal(f"{{{column},source}}"),
        )
        for column in ("city", "state", "zip")
    )
    statement = sql.SQL(_BY_SOURCE).format(sources=sql.SQL("coalesce({})").format(sources))
    return dict(connection.execute(statement, (window_days,)).fetchall())


_HAS_PLACES: LiteralString = """
select exists (
    select from public.leads l
    where l.created_at >= now() - make_interval(days => %s) and starts_with(l.geo_source, %s))
"""


def has_places_from(
    connection: psycopg.Connection[Any], window_days: int, source_prefix: str
) -> bool:
    """Whether one of the same leads has a place from a source that begins so."""
    row = connection.execute(_HAS_PLACES, (window_days, source_prefix)).fetchone()
    return bool(row and row[0])


@dataclass(frozen=True, slots=True)
class StoredAddress:
    """An address as it is stored, and how many leads came with it; None for those without one."""

    address: str | None
    leads: int


# A bounded number of the newest leads: what a site stores wrongly, it stores wrongly for all.
_ADDRESSES: LiteralString = f"""
with newest as materialized (
    select l.id, l.client_ip::text as client_ip
    from public.leads l
    where l.created_at >= now() - make_interval(days => %(days)s)
    order by l.created_at desc
    limit %(limit)s
)
select {STORED_ADDRESS} as address,
    count(*) as leads
from newest w
group by 1
"""  # noqa: S608  a constant of ours


def count_stored_addresses(
    connection: psycopg.Connection[Any], window_days: int, newest: int
) -> list[StoredAddress]:
    """The addresses of the ``newest`` leads of the last ``window_days`` days, where a look-up would
    take them from."""
    with connection.cursor(row_factory=class_row(StoredAddress)) as cursor:
        return cursor.execute(_ADDRESSES, {"days": window_days, "limit": newest}).fetchall()
