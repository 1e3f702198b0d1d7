"""Places into ``leads``: only into columns that are blank, with a note of where each came from.

A column is blank when it is null or says nothing, which is decided inside the statement that fills
it, because the site writes the same rows at the same time. ``geo_fields`` notes for each field its
source and, for ours, the value: ``{"city": {"source": "mmdb ...", "value": "Austin"}, "zip":
{"source": "user"}}``. A column that no longer holds our value was changed by a person, who knows
better; one that is blank and has a note was emptied by a person, and stays so. ``"hosting": true``
says that the address is of a data centre, a proxy, a VPN or a relay.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.lead_text import NOT_SAID, SAID
from tracking_pipeline.store.migrations.indexes import CORRECTED_LEADS

PLACE_COLUMNS = ("city", "state", "zip", "country")
"""The columns of ``leads`` that hold its place, in the order in which they tell its source."""


class FoundPlace(NamedTuple):
    """What a look-up found for one lead, and how it stands from now on.

    A field that was not found is None, and each field has its source. ``status`` None: nobody could
    be asked, the lead is taken again. ``wait_seconds`` None: it is not taken again by itself.
    ``hosting``: the address is of a data centre, a proxy, a VPN or a relay. ``is_refill``: the lead
    has a place already, and what it lacks is added to it.
    """

    id: UUID
    status: str | None
    attempts: int = 0
    wait_seconds: float | None = None
    city: str | None = None
    city_source: str | None = None
    state: str | None = None
    state_source: str | None = None
    state_code: str | None = None
    zip: str | None = None
    zip_source: str | None = None
    country: str | None = None
    country_source: str | None = None
    hosting: bool = False
    is_refill: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the fields of this finding come from, in the order of :data:`PLACE_COLUMNS`; empty
        where none was found."""
        fields = (self.city_source, self.state_source, self.zip_source, self.country_source)
        return tuple(source for source in fields if source)


_FOUND_TYPES: dict[str, LiteralString] = {
    "id": "uuid",
    "status": "text",
    "attempts": "integer",
    "wait_seconds": "float8",
    "city": "text",
    "city_source": "text",
    "state": "text",
    "state_source": "text",
    "state_code": "text",
    "zip": "text",
    "zip_source": "text",
    "country": "text",
    "country_source": "text",
    "hosting": "boolean",
    "is_refill": "boolean",
}

_SAID: LiteralString = f"l.{{column}}::text {SAID}"
_OURS: LiteralString = f"{_SAID} and l.geo_fields #>> {{value}} = l.{{column}}::text"
# A blank with a note was emptied since: that is a person's word too.
_OPEN: LiteralString = (
    f"coalesce(l.{{column}}::text, '') {NOT_SAID} and l.geo_fields -> {{name}} is null"
)
_FILLED: LiteralString = f"case when {_OPEN} then fit.{{column}} else l.{{column}} end"
_VALUE: LiteralString = "{name}, f.{column}"
# What is there and is not what we wrote is a person's.
_KEPT: LiteralString = f"""
            when {_OURS} then l.geo_fields -> {{name}}
            when {_SAID} or l.geo_fields -> {{name}} is not null
            then '{{{{"source": "user"}}}}'::jsonb"""
_FIELD: LiteralString = f"""{{name}}, case {_KEPT}
            when f.{{column}} is not null
            then jsonb_build_object('source', f.{{its_source}}, 'value', f.{{column}},
                'hosting', case when f.hosting and f.{{its_source}} <> 'session' then true end)
        end"""
_NEW_SOURCE: LiteralString = f"case when {_OPEN} then f.{{its_source}} end"
_ALTERED: LiteralString = "l.geo_fields #>> {value} <> coalesce(l.{column}::text, '')"

# What was found is never unfound: a worker that lost its lease comes too late. The row's type reads
# the texts as what a site's own columns are, and refuses what they do not hold. Where nothing was
# found the row keeps its own blank: a column, or the domain of any other, may refuse null.
_SAVE: LiteralString = """
update public.leads l
set ({columns}) = (
        select {filled} from jsonb_populate_record(
            l, jsonb_strip_nulls(jsonb_build_object({values}))) as fit),
    state_code = case when {open_state} and f.state is not null
        then f.state_code else l.state_code end,
    geo_fields = nullif(jsonb_strip_nulls(jsonb_build_object({fields})), '{{}}'),
    geo_source = coalesce({new_sources}, l.geo_source, case when {said} then 'user' end),
    geo_status = f.status,
    geo_at = now(),
    geo_attempts = f.attempts,
    geo_next_at = now() + make_interval(secs => f.wait_seconds)
from unnest({arrays}) as f ({names})
where l.id = f.id and (l.geo_status is distinct from 'ok' or f.is_refill)
returning l.id, l.geo_source, coalesce({altered}, false)
"""


def _of_column(template: LiteralString, column: str) -> sql.Composed:
    return sql.SQL(template).format(
        column=sql.Identifier(column),
        its_source=sql.Identifier(f"{column}_source"),
        name=sql.Literal(column),
        value=sql.Literal(f"{{{column},value}}"),
        source=sql.Literal(f"{{{column},source}}"),
    )


def _per_column(template: LiteralString, separator: LiteralString) -> sql.Composed:
    return sql.SQL(separator).join(_of_column(template, column) for column in PLACE_COLUMNS)


_SAVE_STATEMENT = sql.SQL(_SAVE).format(
    columns=sql.SQL(", ").join(map(sql.Identifier, PLACE_COLUMNS)),
    filled=_per_column(_FILLED, ", "),
    open_state=_of_column(_OPEN, "state"),
    fields=_per_column(_FIELD, ", "),
    new_sources=_per_column(_NEW_SOURCE, ", "),
    said=_per_column(_SAID, " or "),
    values=_per_column(_VALUE, ", "),
    altered=_per_column(_ALTERED, " or "),
    arrays=sql.SQL(", ").join(
        sql.SQL("{}::{}[]").format(sql.Placeholder(name), sql.SQL(kind))
        for name, kind in _FOUND_TYPES.items()
    ),
    names=sql.SQL(", ").join(map(sql.Identifier, _FOUND_TYPES)),
)

# A site's trigger may have written the value its own way, its column may hold a number: what stands
# there now is still ours.
_NOTE_STORED: LiteralString = """
update public.leads l
set geo_fields = nullif(jsonb_strip_nulls(jsonb_build_object({fields})), '{{}}')
where l.id = any(%s)
"""
_STORED_FIELD: LiteralString = f"""{{name}}, case
            when l.geo_fields #> {{value}} is null then l.geo_fields -> {{name}}
            when {_SAID} then jsonb_set(
                l.geo_fields -> {{name}}, '{{{{value}}}}', to_jsonb(l.{{column}}::text))
        end"""
_NOTE_STORED_STATEMENT = sql.SQL(_NOTE_STORED).format(fields=_per_column(_STORED_FIELD, ", "))


async def save_found(
    connection: psycopg.AsyncConnection[Any], found: Sequence[FoundPlace]
) -> dict[UUID, str | None]:
    """Fills the blank columns of the leads, and notes how they stand. In a transaction of the
    caller's: where the site's own trigger alters what was written, a second statement notes it.

    Returns the ``geo_source`` of each lead that was written; one that is missing has its place
    already, or is gone. Raises psycopg errors for what the site's table does not take: then nothing
    of it was written.
    """
    arrays = {name: [getattr(each, name) for each in found] for name in _FOUND_TYPES}
    rows = await (await connection.execute(_SAVE_STATEMENT, arrays)).fetchall()
    if altered := [lead for lead, _, is_altered in rows if is_altered]:
        await connection.execute(_NOTE_STORED_STATEMENT, (altered,))
    return {lead: source for lead, source, _ in rows}


# Served by the index tracking_leads_corrected, which holds next to no rows.
_CLAIM_CORRECTED = sql.SQL(
    "select id from public.leads where {corrected} and id <> all(%s) limit %s"
    " for no key update skip locked"
).format(corrected=sql.SQL(CORRECTED_LEADS))


async def claim_corrected(
    connection: psycopg.AsyncConnection[Any], limit: int, passed_over: Collection[UUID] = ()
) -> list[UUID]:
    """Up to ``limit`` leads in which a person has changed a field since we wrote it, locked to the
    end of the caller's transaction; none of those ``passed_over``."""
    cursor = await connection.execute(_CLAIM_CORRECTED, (list(passed_over), limit))
    return [row[0] for row in await cursor.fetchall()]


_NOTE_CORRECTIONS: LiteralString = """
update public.leads l
set geo_fields = nullif(jsonb_strip_nulls(jsonb_build_object({fields})), '{{}}'),
    geo_source = coalesce({kept_sources}, case when {said} then 'user' end),
    state_code = case
        when l.geo_fields #>> '{{state,value}}' <> coalesce(l.state::text, '') then null
        else l.state_code end
where l.id = any(%s)
"""
_KEPT_FIELD: LiteralString = f"{{name}}, case {_KEPT} end"
_KEPT_SOURCE: LiteralString = (
    "case when l.geo_fields #>> {value} = l.{column}::text then l.geo_fields #>> {source} end"
)
_NOTE_CORRECTIONS_STATEMENT = sql.SQL(_NOTE_CORRECTIONS).format(
    fields=_per_column(_KEPT_FIELD, ", "),
    kept_sources=_per_column(_KEPT_SOURCE, ", "),
    said=_per_column(_SAID, " or "),
)


async def note_corrections(connection: psycopg.AsyncConnection[Any], ids: Collection[UUID]) -> None:
    """Notes that a person has changed a field of these leads. What was emptied stays empty: its
    note says that it is the person's, and holds no value. Raises psycopg errors for what the site's
    table does not take."""
    await connection.execute(_NOTE_CORRECTIONS_STATEMENT, (list(ids),))
