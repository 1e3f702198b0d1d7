"""What online sources said about addresses, so that each address is asked about once.

    no row, or expired          nobody knows: the first to take it asks
    status null                 somebody is asking, until next_ask_at
    ok, no_data                 known, until expires_at
    rate_limited, error         asked in vain; asked again at next_ask_at, or given up where that is
                                null, until expires_at

Only the database's ``now()`` counts. Here, too, stand the addresses of leads that are old enough to
be cut.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from typing_extensions import LiteralString

from tracking_pipeline.store.migrations.indexes import WHOLE_ADDRESS


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """What is on record about an address. ``status`` None: somebody is asking just now.

    ``wait_seconds`` is the time until it is asked about again, None where it is known or given up.
    """

    address: str
    status: str | None
    city: str | None
    state: str | None
    state_code: str | None
    zip: str | None
    country: str | None
    hosting: bool
    source: str | None
    attempts: int
    wait_seconds: float | None


# The spelling that was asked for comes back: the server's own differs for some IPv6 addresses.
_READ: LiteralString = """
select asked.address, t.status, t.city, t.state, t.state_code, t.zip, t.country, t.hosting,
    t.source, t.attempts,
    case when t.next_ask_at > now() then extract(epoch from t.next_ask_at - now())::float8 end
        as wait_seconds
from unnest(%(addresses)s::text[]) as asked (address)
join public.tracking_ip_locations t on t.ip = asked.address::inet
where t.next_ask_at > now()
   or t.next_ask_at is null and t.expires_at > now()
"""


async def read_known_addresses(
    connection: psycopg.AsyncConnection[Any], addresses: Collection[str]
) -> dict[str, KnownAddress]:
    """What is on record about these addresses. An address that is missing may be asked about."""
    async with connection.cursor(row_factory=class_row(KnownAddress)) as cursor:
        await cursor.execute(_READ, {"addresses": list(addresses)})
        return {known.address: known for known in await cursor.fetchall()}


# Ordered, so that two workers with the same addresses do not wait for each other in a circle. A
# failure that has its time begins a series of its own where the last one ended.
_TAKE: LiteralString = """
with asked as (
    select address, address::inet as ip from unnest(%(addresses)s::text[]) as a (address)
), taken as (
    insert into public.tracking_ip_locations as t (ip, next_ask_at)
    select ip, now() + make_interval(secs => %(seconds)s) from asked order by ip
    on conflict (ip) do update
    set next_ask_at = excluded.next_ask_at,
        attempts = case when t.next_ask_at is null then 0 else t.attempts end
    where coalesce(t.next_ask_at <= now(), true)
      and (%(again)s or t.next_ask_at is not null or coalesce(t.expires_at <= now(), true))
    returning t.ip, t.attempts
)
select asked.address, taken.attempts from taken join asked using (ip)
"""


async def take_addresses(
    connection: psycopg.AsyncConnection[Any],
    addresses: Collection[str],
    seconds: float,
    *,
    again: bool = False,
) -> dict[str, int]:
    """Takes the right to ask about addresses for that long: nobody else asks about them.

    Returns those that the caller may ask about, with how often each was asked about in vain. The
    others are being asked about, or became known a moment ago. ``again`` takes those too that are
    known, or were asked in vain and given up.
    """
    cursor = await connection.execute(
        _TAKE, {"addresses": list(addresses), "seconds": seconds, "again": again}
    )
    return dict(await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """What the sources said about one address. ``keep_seconds`` is how long that holds,
    ``wait_seconds`` the time until it is asked about again, None for never."""

    address: str
    status: str
    keep_seconds: float
    attempts: int = 0
    wait_seconds: float | None = None
    city: str | None = None
    state: str | None = None
    state_code: str | None = None
    zip: str | None = None
    country: str | None = None
    hosting: bool = False
    source: str | None = None


_RECORD: LiteralString = """
insert into public.tracking_ip_locations as t (
    ip, status, expires_at, attempts, next_ask_at, city, state, state_code, zip, country, hosting,
    source, looked_up_at)
select address, status, now() + make_interval(secs => keep_seconds), attempts,
    now() + make_interval(secs => wait_seconds), city, state, state_code, zip, country, hosting,
    source, now()
from unnest(%(address)s::inet[], %(status)s::text[], %(keep_seconds)s::float8[],
    %(attempts)s::integer[], %(wait_seconds)s::float8[], %(city)s::text[], %(state)s::text[],
    %(state_code)s::text[], %(zip)s::text[], %(country)s::text[], %(hosting)s::boolean[],
    %(source)s::text[])
    as answer (address, status, keep_seconds, attempts, wait_seconds, city, state, state_code, zip,
        country, hosting, source)
order by address
on conflict (ip) do update
set status = excluded.status, expires_at = excluded.expires_at, attempts = excluded.attempts,
    next_ask_at = excluded.next_ask_at, city = excluded.city, state = excluded.state,
    state_code = excluded.state_code, zip = excluded.zip, country = excluded.country,
    hosting = excluded.hosting, source = excluded.source, looked_up_at = excluded.looked_up_at
"""


async def record_addresses(
    connection: psycopg.AsyncConnection[Any], answers: Sequence[AddressAnswer]
) -> None:
    """Keeps what the sources said, in one statement; whoever was asking has an answer now."""
    await connection.execute(
        _RECORD,
        {
            field.name: [getattr(answer, field.name) for answer in answers]
            for field in fields(AddressAnswer)
        },
    )


_GIVE_BACK: LiteralString = """
update public.tracking_ip_locations t
set next_ask_at = now()
where t.ip = any(%s::inet[]) and t.next_ask_at > now()
"""


async def give_addresses_back(
    connection: psycopg.AsyncConnection[Any], addresses: Collection[str]
) -> None:
    """Lets others ask about addresses that were taken and that no source was asked about."""
    await connection.execute(_GIVE_BACK, (list(addresses),))


_FORGET: LiteralString = """
delete from public.tracking_ip_locations t
where t.ip in (
    select ip from public.tracking_ip_locations
    where coalesce(next_ask_at <= now(), true)
      and (expires_at <= now()
           or coalesce(looked_up_at, next_ask_at) <= now() - make_interval(days => %(days)s))
    limit %(limit)s
    for update skip locked)
"""


def forget_addresses(connection: psycopg.Connection[Any], days: int, limit: int) -> int:
    """Removes up to ``limit`` addresses that are older than that many days, or whose answer holds
    no longer. Returns how many there were."""
    return connection.execute(_FORGET, {"days": days, "limit": limit}).rowcount


_HOSTING: LiteralString = """
select asked.address
from unnest(%s::text[]) as asked (address)
join public.tracking_ip_locations t on t.ip = asked.address::inet
where t.hosting
"""


def find_hosting_addresses(
    connection: psycopg.Connection[Any], addresses: Collection[str]
) -> set[str]:
    """Which of these addresses a source knows as a data centre's or a proxy's."""
    return {row[0] for row in connection.execute(_HOSTING, (list(addresses),)).fetchall()}


# A cut address is a network. The index tracking_leads_uncut_address has this very condition,
# and holds no lead that is done with.
_CLAIM: LiteralString = f"""
select l.id, l.client_ip::text
from public.leads l
where {WHOLE_ADDRESS}
  and l.geo_status is not null and l.geo_next_at is null
  and coalesce(l.created_at, l.geo_at) < now() - make_interval(days => %s)
  and l.id <> all(%s)
limit %s
for no key update skip locked
"""  # noqa: S608  a constant of ours


def claim_old_addresses(
    connection: psycopg.Connection[Any],
    days: int,
    limit: int,
    passed_over: Collection[UUID] = (),
) -> dict[UUID, str]:
    """The stored addresses of up to ``limit`` enriched leads that are older than that many days, by
    lead, locked to the end of the caller's transaction; none of those ``passed_over``."""
    return dict(connection.execute(_CLAIM, (days, list(passed_over), limit)).fetchall())


# A site's own column may be an inet: the row's type reads the text as what the column is. The row
# itself stands behind it, since the domain of any other column may refuse null.
_CUT: LiteralString = """
update public.leads l
set client_ip = (jsonb_populate_record(
    l, jsonb_build_object('client_ip', cut.client_ip))).client_ip
from unnest(%s::uuid[], %s::text[]) as cut (id, client_ip)
where l.id = cut.id
"""


def cut_addresses(connection: psycopg.Connection[Any], kept: Mapping[UUID, str | None]) -> None:
    """Leaves of each lead's address what is given, None for nothing. Raises psycopg errors for
    what the site's table does not take."""
    connection.execute(_CUT, (list(kept), list(kept.values())))
