"""The addresses of leads that are old enough to be cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.migrations.indexes import WHOLE_ADDRESS

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
