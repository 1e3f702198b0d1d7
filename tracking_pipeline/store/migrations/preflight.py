"""What of a site's own table the pipeline could not work with, told before anything is changed.

Later statements read, compare and write columns that somebody else has typed. One that they cannot
work with would show in the middle of a run: an event that was sent and cannot be settled is sent
again by each run. So the catalogue is asked once, when a table is adopted, and what decides is the
kind of a type, never its name: what a domain is made of, how long a text it holds, whether it takes
null, whether the server writes it itself, and whether its text may stand in an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import psycopg

from tracking_pipeline.store.migrations.statements import rows

if TYPE_CHECKING:
    from tracking_pipeline.store.migrations.adoption import Column, Table


class CannotAdoptError(Exception):
    """A table of the right name is not one that the pipeline can work with. One line."""


class Use(Enum):
    """What our statements do with a column of an adopted table."""

    TYPED = "compared and written as the type that it is described with"
    AS_TEXT = "read, written and indexed by way of its text, whatever its type"
    LOOSE = "read as whatever it is, if at all"


@dataclass(frozen=True)
class FoundColumn:
    """A column as the server's catalogue has it.

    ``type`` is as PostgreSQL writes it, ``plain_type`` the same without a length; ``base`` the
    short name of what a domain is made of, else of the type itself, ``category`` its category in
    ``pg_type``. ``length`` is the most characters that it holds, None without a limit;
    ``has_fixed_text`` whether its text is the same in every session, as an index needs it.
    """

    name: str
    type: str
    plain_type: str
    base: str
    category: str
    length: int | None
    has_fixed_text: bool
    is_generated: bool
    is_identity: bool
    column_takes_null: bool
    type_takes_null: bool
    has_default: bool

    @property
    def takes_null(self) -> bool:
        """Whether it may be null: a domain may refuse it as well as the column."""
        return self.column_takes_null and self.type_takes_null

    @property
    def fills_itself(self) -> bool:
        """Whether a row may be added without it."""
        return self.takes_null or self.has_default or self.is_generated or self.is_identity


# A domain is followed down to its type; each on the way may have a length and refuse null.
_FIND = """
with recursive layers as (
    select a.attnum, a.atttypid as type, a.atttypmod as modifier
      from pg_attribute as a
     where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
    union all
    select layers.attnum, domain.typbasetype, domain.typtypmod
      from layers join pg_type as domain on domain.oid = layers.type and domain.typtype = 'd'
), bottoms as (
    select attnum, max(layers.type::oid::bigint) filter (where typtype <> 'd') as type,
           min(modifier - 4) filter (where modifier >= 4) as length,
           bool_or(typtype = 'd' and typnotnull) as refuses_null,
           bool_or(typtype = 'd' and typdefault is not null) as has_default
      from layers join pg_type on pg_type.oid = layers.type group by attnum
)
select a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, null),
       base.typname::text, base.typcategory::text,
       case when base.typname in ('varchar', 'bpchar') then bottoms.length end,
       (select provolatile = 'i' from pg_proc
         where pg_proc.oid = coalesce(
             (select castfunc from pg_cast where castsource = base.oid
                 and casttarget = 'text'::regtype and castfunc <> 0), base.typoutput)),
       a.attgenerated <> '', a.attidentity <> '',
       not a.attnotnull, not bottoms.refuses_null, a.atthasdef or bottoms.has_default
  from pg_attribute as a
  join bottoms on bottoms.attnum = a.attnum
  join pg_type as base on base.oid = bottoms.type::oid
 where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
 order by a.attnum
"""


def find_columns(connection: psycopg.Connection[Any], table: str) -> dict[str, FoundColumn]:
    """The columns of a relation of ``public`` by name; empty where there is none."""
    relation = f"public.{table}"
    found = (FoundColumn(*row) for row in rows(connection, _FIND, relation, relation))
    return {column.name: column for column in found}


_TIMES = frozenset({"timestamptz", "timestamp", "date"})
_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8"})
_FAMILIES = {
    "timestamptz": _TIMES,
    "timestamp with time zone": _TIMES,
    "integer": _NUMBERS,
    "bigint": _NUMBERS,
    "numeric": _NUMBERS,
    "double precision": _NUMBERS,
    "boolean": frozenset({"bool"}),
}


def refuse_what_cannot_be_used(
    connection: psycopg.Connection[Any], table: Table, there: Mapping[str, FoundColumn]
) -> None:
    """Raises :class:`CannotAdoptError` for the first column of a table that is there which later
    statements could not work with, with the remedy. Nothing is changed."""
    for column in table.columns:
        found = there.get(column.name)
        if found is None:
            if column.required:
                _refuse(
                    f"public.{table.name} has no column {column.name}",
                    "if the table belongs to another application, rename it or use another"
                    " database; else add the column",
                )
            continue
        for obstacle, remedy in _obstacles(connection, table.name, column, found):
            _refuse(
                f"public.{table.name}.{column.name} {obstacle}",
                f"alter table public.{table.name} {remedy}; if the table belongs to another"
                " application, rename it or use another database",
            )
    for found in there.values() if table.left_to_default is not None else ():
        if not found.fills_itself and table.leaves_out(found.name):
            _refuse(
                f"public.{table.name}.{found.name} takes no null and has no default, and the"
                " pipeline adds rows without it",
                "give it a default or let it be null",
            )


def _refuse(obstacle: str, remedy: str) -> None:
    raise CannotAdoptError(
        f"{obstacle}: {remedy}; then run tracking-pipeline migrate again; nothing was changed"
    )


def _obstacles(
    connection: psycopg.Connection[Any], table: str, column: Column, found: FoundColumn
) -> Iterator[tuple[str, str]]:
    """What is wrong with a column, and what ``alter table`` mends it, the first first."""
    alter = f"alter column {column.name}"
    retyped = f"{alter} type {column.type}" + (
        "" if column.type == "text" else f" using {column.name}::text::{column.type}"
    )
    kind = {"E": "an enum", "A": "a list"}.get(found.category, found.type)
    if column.exact and found.plain_type != column.type:
        yield f"is {found.plain_type}, not {column.type}", retyped
    if column.use is Use.LOOSE:
        return
    if column.use is Use.TYPED and not _is_of_family(column, found):
        yield f"is {kind}, not {column.type}", retyped
    if column.use is Use.AS_TEXT and not found.has_fixed_text:
        yield f"is {kind}, whose text cannot be indexed or written freely", retyped
    if found.is_generated:
        yield "is a generated column, which takes no value", f"{alter} drop expression"
    if found.is_identity and "identity" not in column.rest:
        yield "is an identity column, which counts by itself", f"{alter} drop identity"
    if column.cleared and not found.takes_null:
        mended = retyped if found.column_takes_null else f"{alter} drop not null"
        yield "takes no null, which is written there", mended
    longest = max(map(len, column.words), default=column.longest)
    if longest and found.base == "bpchar":
        yield f"is {found.type}, which pads what is written there with blanks", retyped
    if found.length is not None and found.length < longest:
        yield f"holds {found.length} characters, and up to {longest} are written", retyped
    if refused := _refused_by_type(connection, found, column.words):
        yield f"is {found.type}, which refuses {', '.join(refused)}", retyped
    if column.words and not column.is_widened:
        for name, _, refused in checks_refusing(connection, table, column.name, column.words):
            obstacle = f"refuses {', '.join(refused)} by the constraint {name}"
            yield obstacle, f"drop constraint {name}"


def _is_of_family(column: Column, found: FoundColumn) -> bool:
    """Whether our statements on a column of this description hold for the one that is there."""
    if column.type == "text":
        return found.category == "S"
    if column.type.endswith("[]"):
        return found.plain_type == column.type
    return found.base in _FAMILIES.get(column.type, {column.type})


def _refused_by_type(
    connection: psycopg.Connection[Any], found: FoundColumn, words: Sequence[str]
) -> list[str]:
    """The words that a domain does not take; the server itself is asked."""
    refused = []
    for word in words:
        try:
            with connection.transaction():
                # The type is the catalogue's own word, which is SQL already.
                rows(connection, f"select '{word}'::{found.type}")
        except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
            refused.append(word)
    return refused


def checks_refusing(
    connection: psycopg.Connection[Any], table: str, column: str, values: Sequence[str]
) -> list[tuple[str, str, list[str]]]:
    """Gives the name and the expression of each CHECK on this one text column that refuses one of
    the values, and which; the server itself is asked."""
    checks = rows(
        connection,
        """
        select quote_ident(conname), pg_get_expr(conbin, conrelid) from pg_constraint
         where conrelid = to_regclass(%s) and contype = 'c'
           and conkey = array(select attnum from pg_attribute
                               where attrelid = conrelid and attname = %s)
        """,
        f"public.{table}",
        column,
    )
    candidates = ", ".join(f"('{value}')" for value in values)
    found = []
    for name, expression in checks:
        # The expression comes from the server's own catalogue.
        refusing = f"select {column} from (values {candidates}) as candidate ({column})"  # noqa: S608
        refused = [value for (value,) in rows(connection, f"{refusing} where not ({expression})")]
        if refused:
            found.append((name, expression, refused))
    return found
