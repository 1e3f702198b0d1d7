"""Leads on their way to a place: every statement on ``leads`` that enrichment needs.

    geo_status null, geo_next_at null    nobody has looked yet, or nobody who knows cities
    geo_status null, geo_next_at set     somebody is asking an online source until then
    geo_status set,  geo_next_at set     asked in vain; asked again then
    geo_status set,  geo_next_at null    done, or given up

The site writes the same rows at the same time, so a statement locks them for a moment at most. How
a place gets into them is in :mod:`tracking_pipeline.store.lead_places`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from typing_extensions import LiteralString

from tracking_pipeline.store.lead_text import NOT_SAID, SAID, STORED_ADDRESS

# A session of more, compressed, is no session; a thousand of them have to fit into memory.
_LONGEST_SESSION_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk over leads has come to: newest first, those without a time last."""

    created_at: str | None
    id: UUID


BEGINNING = Position("infinity", UUID(int=2**128 - 1))
UNDATED = Position(None, UUID(int=2**128 - 1))
"""Before the first lead, and before the first of those without a time: a walk ends only after
both."""


@dataclass(frozen=True, slots=True)
class UnplacedLead:
    """A lead without a complete place, or not yet known to have one. A blank column is None.

    ``session`` is the text of ``session_data``, ``address`` the IP address as the site stored it;
    both are None for a lead whose city, state and zip are there already. ``is_new`` for the first
    day, while the event that carries its address may still come. ``is_located``: a look-up found
    some of its place before, and a recheck wants the rest.
    """

    id: UUID
    created_at: str | None
    city: str | None
    state: str | None
    zip: str | None
    country: str | None
    session: str | None
    address: str | None
    attempts: int
    is_new: bool
    is_located: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing has to be looked up."""
        return bool(self.city and self.state and self.zip)

    @property
    def position(self) -> Position:
        return Position(self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class LeadsWanted:
    """Which leads a run takes. ``failed`` adds those that were asked in vain and given up, and
    those of which a look-up found only a part; ``never_seen`` leaves out those that an earlier run,
    without any source to ask, has seen; ``never_located`` those that wait for a source of cities.
    """

    failed: bool = False
    never_seen: bool = False
    never_located: bool = False


# The index tracking_leads_to_locate has this very condition.
_TO_LOCATE: LiteralString = "(l.geo_status is null or l.geo_next_at is not null)"
# What a person emptied has its note: see lead_places.
_LACKING: LiteralString = " or ".join(
    f"coalesce(l.{column}::text, '') {NOT_SAID} and l.geo_fields -> '{column}' is null"
    for column in ("city", "state", "zip")
)
_FAILED_TOO: LiteralString = f"(l.geo_status is distinct from 'ok' or {_LACKING})"
_NOT_SEEN: LiteralString = "l.geo_at is null"
_NOT_LOCATED: LiteralString = "(l.geo_at is null or l.geo_status is not null)"
_DUE: LiteralString = "coalesce(l.geo_next_at <= now(), true)"
# Two conditions for two stretches of the walk: a null is neither before nor after a time.
_AFTER: LiteralString = "(l.created_at, l.id) < (%(created_at)s, %(id)s)"
_AFTER_WITHOUT_TIME: LiteralString = "l.created_at is null and l.id < %(id)s"

# No key update: rows that refer to the lead can still be inserted. MATERIALIZED: what stands
# outside is then done for the rows of the batch alone.
_CLAIM: LiteralString = f"""
with wanted as materialized (
    select l.id, l.created_at, l.city::text, l.state::text, l.zip::text, l.country::text,
        l.session_data, l.client_ip::text, coalesce(l.geo_attempts, 0) as attempts,
        coalesce(l.geo_status = 'ok', l.geo_source not in ('user', 'session'), false) as is_located,
        l.city::text {SAID} and l.state::text {SAID} and l.zip::text {SAID} as complete
    from public.leads l
    where {{conditions}}
    order by l.created_at desc nulls last, l.id desc
    limit %(limit)s
    {{lock}}
)
select w.id, w.created_at::text,
    case when w.city {SAID} then w.city end as city,
    case when w.state {SAID} then w.state end as state,
    case when w.zip {SAID} then w.zip end as zip,
    case when w.country {SAID} then w.country end as country,
    case when w.complete is not true and pg_column_size(w.session_data) <= %(session_bytes)s
        then w.session_data::text end as session,
    case when w.complete is not true then {{address}} end as address,
    w.attempts, w.is_located,
    coalesce(w.created_at > now() - interval '1 day', false) as is_new
from wanted w
order by w.created_at desc nulls last, w.id desc
"""  # noqa: S608  constants of ours


async def claim_leads(
    connection: psycopg.AsyncConnection[Any],
    wanted: LeadsWanted,
    after: Position,
    limit: int,
) -> list[UnplacedLead]:
    """Gives the next ``limit`` leads behind ``after``, locked to the end of the caller's
    transaction. Leads that another worker has locked are passed over."""
    return await _read(connection, wanted, after, limit, sql.SQL("for no key update skip locked"))


async def read_leads(
    connection: psycopg.AsyncConnection[Any],
    wanted: LeadsWanted,
    after: Position,
    limit: int,
) -> list[UnplacedLead]:
    """Gives what :func:`claim_leads` would give, and locks nothing."""
    return await _read(connection, wanted, after, limit, sql.SQL(""))


async def _read(
    connection: psycopg.AsyncConnection[Any],
    wanted: LeadsWanted,
    after: Position,
    limit: int,
    lock: sql.SQL,
) -> list[UnplacedLead]:
    conditions: list[LiteralString] = [
        _FAILED_TOO if wanted.failed else _TO_LOCATE,
        _DUE,
        _AFTER_WITHOUT_TIME if after.created_at is None else _AFTER,
    ]
    if wanted.never_seen:
        conditions.append(_NOT_SEEN)
    if wanted.never_located:
        conditions.append(_NOT_LOCATED)
    statement = sql.SQL(_CLAIM).format(
        conditions=sql.SQL(" and ").join(map(sql.SQL, conditions)),
        address=sql.SQL(STORED_ADDRESS),
        lock=lock,
    )
    arguments = {
        "created_at": after.created_at,
        "id": after.id,
        "limit": limit,
        "session_bytes": _LONGEST_SESSION_BYTES,
    }
    async with connection.cursor(row_factory=class_row(UnplacedLead)) as cursor:
        await cursor.execute(statement, arguments)
        return await cursor.fetchall()


_LEASE: LiteralString = """
update public.leads l
set geo_next_at = now() + make_interval(secs => %s)
where l.id = any(%s) and l.geo_status is distinct from 'ok'
"""


async def lease_leads(
    connection: psycopg.AsyncConnection[Any], ids: Collection[UUID], seconds: float
) -> None:
    """Nobody takes these leads for that long: their addresses are being asked about. With 0, they
    are due at once."""
    await connection.execute(_LEASE, (seconds, list(ids)))


BACKLOG_CAP = 1_000


@dataclass(frozen=True, slots=True)
class LocateBacklog:
    """What waits for its place among the newest :data:`BACKLOG_CAP` leads that have none.

    ``new`` leads were never looked at, ``waiting`` ones are asked again later or wait for a source;
    ``newest`` is the newest one of the new.
    """

    new: int
    waiting: int
    newest: UUID | None


# Cheap however many leads wait: a bounded stretch of the index.
_BACKLOG: LiteralString = """
with newest as (
    select l.id, l.created_at, l.geo_at is null and {due} as is_new
    from public.leads l
    where {to_locate}
    order by l.created_at desc nulls last, l.id desc
    limit %s
)
select count(*) filter (where is_new), count(*) filter (where not is_new),
    (array_agg(id order by created_at desc nulls last, id desc) filter (where is_new))[1]
from newest
"""


def read_locate_backlog(connection: psycopg.Connection[Any]) -> LocateBacklog:
    """What waits for its place: for a sensor, which must be quick."""
    statement = sql.SQL(_BACKLOG).format(due=sql.SQL(_DUE), to_locate=sql.SQL(_TO_LOCATE))
    row = connection.execute(statement, (BACKLOG_CAP,)).fetchone()
    assert row is not None  # noqa: S101  an aggregate without groups gives one row
    return LocateBacklog(*row)
