"""What each worker holds of a destination's limits: one row a destination, read and replaced whole.

    {"host:812/5f0c…": {"joined_at": 1767.2, "expires_at": 1777.2, "in_flight": 2, "per_second": 6}}

Times are seconds since 1970 by the database's clock. What the words mean, and who gets how much, is
decided in ``delivery/engine/allotment``; a holding is a lease, which ends by itself.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

Shares = dict[str, dict[str, Any]]

_READ: LiteralString = """
select coalesce((
        select shares from public.tracking_destination_shares where destination = %s), '{}'),
    extract(epoch from now())::float8
"""


async def read_shares(
    connection: psycopg.AsyncConnection[Any], destination: str
) -> tuple[Shares, float]:
    """The holdings on record, by worker, and the database's clock."""
    cursor = await connection.execute(_READ, (destination,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  a select without a table gives one row
    return row[0], row[1]


# Compared and replaced in one statement: of two workers that have read the same, one writes.
_REPLACE: LiteralString = """
insert into public.tracking_destination_shares as s (destination, shares)
values (%(destination)s, %(shares)s)
on conflict (destination) do update
set shares = excluded.shares, updated_at = now()
where s.shares = %(read)s
returning destination
"""


async def replace_shares(
    connection: psycopg.AsyncConnection[Any], destination: str, *, read: Shares, shares: Shares
) -> bool:
    """Writes the holdings; False, and nothing written, where they are not as they were read."""
    cursor = await connection.execute(
        _REPLACE, {"destination": destination, "read": Jsonb(read), "shares": Jsonb(shares)}
    )
    return await cursor.fetchone() is not None
