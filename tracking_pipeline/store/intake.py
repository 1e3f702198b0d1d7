"""What the API writes when it accepts something: ledger rows, hand-overs to delivery, leads.

A ledger row and its hand-overs are written by one statement, so that there is never one without the
others, whenever the process or the server dies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.importing import TableColumn, insert_statement
from tracking_pipeline.store.lead_places import PLACE_COLUMNS
from tracking_pipeline.store.lead_text import NOT_SAID
from tracking_pipeline.store.ledger import GIVEN, NAMES

# Without a conflict target, as in store/ledger.py. What is in the ledger already is not handed over
# again: whoever put it there did that, or did not want it.
_ACCEPT: LiteralString = """
with given as ({given}), inserted as (
    insert into public.wm_event_log ({names})
    select {names} from given
    on conflict do nothing
    returning event_id
), handed_over as (
    insert into public.tracking_accepted_events (
        event_id, event_name, event_type, event_payload, destination, lead_id, session_id)
    select h.event_id, h.event_name, h.event_type, h.event_payload, d.destination, h.lead_id,
        h.session_id
    from json_to_recordset(%(hand_overs)s::json) as h (
        event_id uuid, event_name text, event_type text, event_payload jsonb, destinations text[],
        lead_id uuid, session_id uuid)
    join inserted using (event_id)
    cross join unnest(h.destinations) as d (destination)
    on conflict do nothing
)
select clock.now, i.event_id
from (select now()) as clock (now)
left join inserted i on true
"""
_ACCEPT_STATEMENT: LiteralString = _ACCEPT.replace("{given}", GIVEN).replace("{names}", NAMES)
_PRESENT: LiteralString = "select event_id from public.wm_event_log where event_id = any(%s)"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch: the ids that were ``inserted``, and those that were ``present``
    before. An id in neither met the site's unique index on lead and event name. ``now`` is the
    database's clock."""

    now: datetime
    inserted: frozenset[UUID]
    present: frozenset[UUID]


async def accept_events(
    connection: psycopg.AsyncConnection[Any],
    rows: bytes,
    hand_overs: bytes,
    event_ids: Collection[UUID],
) -> Accepted:
    """Inserts ledger rows with their hand-overs to delivery, in one statement, as far as nothing is
    in the way.

    ``rows`` and ``hand_overs`` are JSON lists of objects with the columns of the ledger and of
    accepted events (``destinations`` is a list); ``event_ids`` are those of ``rows``, each once.
    Raises psycopg errors for rows that a table does not take: then nothing was inserted.
    """
    cursor = await connection.execute(
        _ACCEPT_STATEMENT, {"rows": rows.decode(), "hand_overs": hand_overs.decode()}
    )
    found = await cursor.fetchall()
    inserted = frozenset(row[1] for row in found if row[1] is not None)
    missing = [event_id for event_id in event_ids if event_id not in inserted]
    present: frozenset[UUID] = frozenset()
    if missing:
        # A statement of its own, so that it sees what another transaction has just committed.
        cursor = await connection.execute(_PRESENT, (missing,))
        present = frozenset(row[0] for row in await cursor.fetchall())
    return Accepted(found[0][0], inserted, present)


async def insert_lead(
    connection: psycopg.AsyncConnection[Any], columns: Iterable[TableColumn], row: bytes
) -> bool:
    """Inserts one lead, a JSON object with the names of ``columns``; False where a unique index
    knows it already, and nothing of it is changed. Raises psycopg errors for what the table does
    not take.
    """
    statement = insert_statement("leads", columns)
    cursor = await connection.execute(statement, (f"[{row.decode()}]",))
    return cursor.rowcount == 1


@dataclass(frozen=True, slots=True)
class KnownLead:
    """A lead that is there already, with its e-mail address as the site has it."""

    id: UUID
    email: str | None


async def find_lead_by_id(
    connection: psycopg.AsyncConnection[Any], lead_id: UUID
) -> KnownLead | None:
    """The lead of this id."""
    cursor = await connection.execute(
        "select id, email::text from public.leads where id = %s", (lead_id,)
    )
    row = await cursor.fetchone()
    return KnownLead(*row) if row else None


# Each by itself, so that an index on either serves it: a site's own unique one is in the way.
_BY_EMAIL: tuple[LiteralString, ...] = (
    "select id, email::text from public.leads where email = %s"
    " order by created_at desc nulls last limit 1",
    "select id, email::text from public.leads where lower(email::text) = lower(%s)"
    " order by created_at desc nulls last limit 1",
)


async def find_lead_by_email(
    connection: psycopg.AsyncConnection[Any], email: str
) -> KnownLead | None:
    """The newest lead with this e-mail address, else with it in another case."""
    for statement in _BY_EMAIL:
        cursor = await connection.execute(statement, (email,))
        if row := await cursor.fetchone():
            return KnownLead(*row)
    return None


# What a person adds to a lead of theirs: into columns that are blank or that we filled from their
# address, and never over what they said before.
#
# Which columns are ours, ``geo_fields`` tells; :mod:`tracking_pipeline.store.lead_places`.

_FILL: LiteralString = """
update public.leads l
set {changes}
from json_to_recordset(%s::json) as given ({definitions})
where l.id = %s and ({any_open})
"""
_BLANK: LiteralString = f"coalesce(l.{{column}}::text, '') {NOT_SAID}"
_OURS: LiteralString = "coalesce(l.geo_fields #>> {value} = l.{column}::text, false)"
# What came from the session, the person said.
_SESSION: LiteralString = "coalesce(l.geo_fields #>> {source} = 'session', false)"
_OPEN_PLACE: LiteralString = f"({_BLANK} or ({_OURS} and not {_SESSION}))"
_SET: LiteralString = "{column} = case when {open} then given.{column} else l.{column} end"
_NOTED: LiteralString = '{name}, case when {open} then \'{{"source": "user"}}\'::jsonb end'
_KEPT_SOURCE: LiteralString = "case when {ours} then l.geo_fields #>> {source} end"
_PLACE_SET: LiteralString = """
    geo_fields = coalesce(l.geo_fields, '{{}}')
        || jsonb_strip_nulls(jsonb_build_object({noted})),
    geo_source = case when l.geo_source is not null then coalesce({kept_sources}, 'user') end"""
_STATE_SET: LiteralString = "state_code = case when {open} then null else l.state_code end"


async def fill_lead(
    connection: psycopg.AsyncConnection[Any],
    lead_id: UUID,
    columns: Sequence[TableColumn],
    row: bytes,
) -> None:
    """Fills what is open of ``columns``, from a JSON object with a value for each of them. Raises
    psycopg errors for what the table does not take."""
    if columns:
        await connection.execute(_statement(columns), (f"[{row.decode()}]", lead_id))


def _statement(columns: Sequence[TableColumn]) -> sql.Composed:
    names = [column.name for column in columns]
    changes = [_of(name, _SET) for name in names]
    places = [name for name in PLACE_COLUMNS if name in names]
    if places:
        changes.append(_place_changes(places))
    if "state" in places:
        changes.append(_of("state", _STATE_SET))
    return sql.SQL(_FILL).format(
        changes=sql.SQL(", ").join(changes),
        definitions=sql.SQL(", ").join(
            # The type is the catalogue's own word, which is SQL already.
            sql.SQL("{} {}").format(
                sql.Identifier(column.name), sql.SQL(column.type.replace("%", "%%"))
            )
            for column in columns
        ),
        # A row in which nothing changes is not written.
        any_open=sql.SQL(" or ").join(_open(name) for name in names),
    )


def _place_changes(places: Sequence[str]) -> sql.Composed:
    # What the form says as well is ours no more, unless the person said it before.
    ours: dict[str, LiteralString] = {
        name: f"{_OURS} and {_SESSION}" if name in places else _OURS for name in PLACE_COLUMNS
    }
    return sql.SQL(_PLACE_SET).format(
        noted=sql.SQL(", ").join(_of(name, _NOTED) for name in places),
        kept_sources=sql.SQL(", ").join(
            sql.SQL(_KEPT_SOURCE).format(ours=_named(name, ours[name]), **_parts(name))
            for name in PLACE_COLUMNS
        ),
    )


def _of(name: str, template: LiteralString) -> sql.Composed:
    return sql.SQL(template).format(open=_open(name), **_parts(name))


def _open(name: str) -> sql.Composed:
    return _named(name, _OPEN_PLACE if name in PLACE_COLUMNS else _BLANK)


def _named(name: str, template: LiteralString) -> sql.Composed:
    return sql.SQL(template).format(**_parts(name))


def _parts(name: str) -> dict[str, sql.Composable]:
    return {
        "column": sql.Identifier(name),
        "name": sql.Literal(name),
        "value": sql.Literal(f"{{{name},value}}"),
        "source": sql.Literal(f"{{{name},source}}"),
    }
