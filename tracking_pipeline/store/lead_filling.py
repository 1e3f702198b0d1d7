"""What a person adds to a lead of theirs: into columns that are blank or that we filled from their
address, and never over what they said before.

Which columns are ours, ``geo_fields`` tells; :mod:`tracking_pipeline.store.lead_places`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.importing import TableColumn
from tracking_pipeline.store.lead_places import PLACE_COLUMNS
from tracking_pipeline.store.lead_text import NOT_SAID

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
