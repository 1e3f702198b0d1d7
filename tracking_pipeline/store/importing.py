"""Inserts of rows that come from a file, into tables that may have columns of the site's own.

The columns are read from the server's catalogue. A row is given as JSON; PostgreSQL itself converts
its values to the columns' types, so whatever type a site chose, it is right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from typing_extensions import LiteralString

from tracking_pipeline.store.database import DatabaseError, read_now
from tracking_pipeline.store.refusals import is_of_the_row


class RowsRefusedError(Exception):
    """The table does not take one of the rows: none was inserted. The server's own message may
    quote the row, so only codes and names are kept.
    """

    def __init__(self, error: psycopg.Error) -> None:
        self.sqlstate = error.sqlstate or "unknown"
        self.column = error.diag.column_name
        self.constraint = error.diag.constraint_name
        super().__init__(f"SQLSTATE {self.sqlstate}")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column that an insert may fill. ``type`` is as PostgreSQL writes it, with its length;
    ``kind`` the short name of the type (``int4``, ``timestamptz``); ``default`` an expression.
    """

    name: str
    type: str
    kind: str
    not_null: bool
    default: str | None


# Not information_schema, which leaves out lengths. Identity and generated columns fill themselves.
# A domain is read as the type that it is made of: its own conditions are for the value that is
# stored, which may be the column's default.
_COLUMNS: LiteralString = """
select a.attname, format_type(t.oid, made_of.modifier), t.typname,
    a.attnotnull or made_of.refuses_null, pg_get_expr(d.adbin, d.adrelid)
from pg_attribute a
cross join lateral (
    with recursive layers (depth, type, modifier, refuses_null) as (
        values (0, a.atttypid, a.atttypmod, false)
        union all
        select layers.depth + 1, domain.typbasetype, domain.typtypmod,
            layers.refuses_null or domain.typnotnull
        from layers join pg_type domain on domain.oid = layers.type and domain.typtype = 'd')
    select type, modifier, refuses_null from layers order by depth desc limit 1) made_of
join pg_type t on t.oid = made_of.type
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = to_regclass('public.' || %s) and a.attnum > 0 and not a.attisdropped
  and a.attidentity = '' and a.attgenerated = ''
order by a.attnum
"""


def read_columns(connection: psycopg.Connection[Any], table: str) -> dict[str, TableColumn]:
    """The columns of a table of ``public`` that can be filled, by name. Raises
    :class:`DatabaseError` where there is no such table.
    """
    try:
        rows = connection.execute(_COLUMNS, (table,)).fetchall()
    except psycopg.Error as error:
        raise _failure(error, table) from None
    if not rows:
        raise DatabaseError(f"table public.{table} is missing: run tracking-pipeline migrate")
    return {row[0]: TableColumn(*row) for row in rows}


_INSERT: LiteralString = """
insert into {table} ({names})
select {values} from json_to_recordset(%s::json) as given ({definitions})
on conflict do nothing
"""


def insert_rows(
    connection: psycopg.Connection[Any],
    table: str,
    columns: Iterable[TableColumn],
    rows: Sequence[bytes],
) -> int:
    """Inserts ``rows``, JSON objects with the names of ``columns``, in one statement, all or none.

    Null and absent mean the column's default. A row that a unique index knows already is left as it
    is there. Returns how many were inserted. Raises :class:`RowsRefusedError` for what the table
    does not take, :class:`DatabaseError` for everything else.
    """
    statement = insert_statement(table, columns)
    try:
        # Inside of a longer transaction, what is refused costs only itself.
        with connection.transaction():
            return connection.execute(statement, (f"[{b','.join(rows).decode()}]",)).rowcount
    except psycopg.Error as error:
        if is_of_the_row(error):
            raise RowsRefusedError(error) from None
        raise _failure(error, table) from None


def insert_statement(table: str, columns: Iterable[TableColumn]) -> sql.Composed:
    """The statement that inserts the rows of its one parameter, a JSON list of objects with the
    names of ``columns``. Null and absent mean the column's default; a row that a unique index knows
    already is left as it is there."""
    columns = tuple(columns)
    return sql.SQL(_INSERT).format(
        table=sql.Identifier("public", table),
        names=sql.SQL(", ").join(_identifier(column.name) for column in columns),
        values=sql.SQL(", ").join(map(_value_or_default, columns)),
        definitions=sql.SQL(", ").join(map(_definition, columns)),
    )


def _value_or_default(column: TableColumn) -> sql.Composable:
    given = _identifier("given", column.name)
    if column.default is None:
        return given
    # Types and defaults are the catalogue's own words, which are SQL already.
    return sql.SQL("coalesce({}, {})").format(given, _written(column.default))


def _definition(column: TableColumn) -> sql.Composable:
    return sql.SQL("{} {}").format(_identifier(column.name), _written(column.type))


def _written(fragment: str) -> sql.Composable:
    return sql.SQL(_without_placeholders(fragment))


def _identifier(*parts: str) -> sql.Identifier:
    return sql.Identifier(*map(_without_placeholders, parts))


def _without_placeholders(fragment: str) -> str:
    # psycopg reads a percent sign as the beginning of a placeholder, even in a quoted name.
    return fragment.replace("%", "%%")


def find_refused_column(
    connection: psycopg.Connection[Any], columns: Iterable[TableColumn], row: bytes
) -> TableColumn | None:
    """The first of ``columns`` whose value in ``row`` PostgreSQL cannot convert to its type."""
    for column in columns:
        statement = sql.SQL("select given.* from json_to_recordset(%s::json) as given ({})").format(
            _definition(column)
        )
        try:
            with connection.transaction():
                connection.execute(statement, (f"[{row.decode()}]",))
        except psycopg.Error as error:
            if is_of_the_row(error):
                return column
            raise _failure(error, "") from None
    return None


def find_leads(connection: psycopg.Connection[Any], ids: Collection[str]) -> set[str]:
    """Which of ``ids`` (uuids as text) are in ``leads``."""
    if not ids:
        return set()
    try:
        rows = connection.execute(
            "select id::text from public.leads where id = any(%s::uuid[])", (list(ids),)
        ).fetchall()
    except psycopg.Error as error:
        raise _failure(error, "leads") from None
    return {row[0] for row in rows}


def read_time_of_import(connection: psycopg.Connection[Any]) -> datetime:
    """The database's clock. Raises as the whole import does."""
    try:
        return read_now(connection)
    except psycopg.Error as error:
        raise _failure(error, "") from None


_CONSTRAINED: LiteralString = """
select a.attname
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
where c.conrelid = to_regclass('public.' || %s) and c.conname = %s
order by a.attnum
"""


def find_constrained_columns(
    connection: psycopg.Connection[Any], table: str, constraint: str
) -> list[str]:
    """The columns of ``table`` that a constraint of it is about."""
    try:
        rows = connection.execute(_CONSTRAINED, (table, constraint)).fetchall()
    except psycopg.Error as error:
        raise _failure(error, table) from None
    return [row[0] for row in rows]


def _failure(error: psycopg.Error, table: str) -> DatabaseError:
    state = error.sqlstate or "no SQLSTATE"
    if state == "42501":
        return DatabaseError(
            f"the connected role may not import into public.{table}: connect as the tables' owner"
        )
    if state in ("42P01", "42703"):
        return DatabaseError(f"public.{table} has changed: run tracking-pipeline migrate")
    return DatabaseError(
        f"the database failed during the import ({state}): what was imported stays,"
        " import the file again for the rest"
    )
