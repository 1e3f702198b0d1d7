"""The verbs that a revision is written in: each of them only ever adds.

The tables may already be there, made by somebody else and in use. So a table is described once, as
a `Table`, and `Adoption` either creates it from that description or adds the columns that it
lacks. What is there is not renamed, retyped, rewritten or dropped. Each verb records what it did
in one line for the operator; a verb that found nothing to do records nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tracking_pipeline.store.migrations.preflight import (
    CannotAdoptError,
    FoundColumn,
    Use,
    checks_refusing,
    find_columns,
    refuse_what_cannot_be_used,
)
from tracking_pipeline.store.migrations.protection import (
    let_admins_read,
    let_service_role,
    protect,
)
from tracking_pipeline.store.migrations.statements import one, run

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

VERSION_TABLE = "tracking_schema_version"
"""Alembic's version table under our own name: Dagster's `alembic_version` may be in this schema."""

REJECT_CHANGE = "tracking_reject_change"
"""The trigger function, and the trigger, that keep a table append-only."""

REJECT_TRUNCATE = "tracking_reject_truncate"
"""The trigger that keeps a table from being emptied at once."""


class TableBusyError(Exception):
    """Another session kept a table locked for longer than the lock timeout."""

    def __init__(self, table: str) -> None:
        super().__init__(f"public.{table} is locked by another session")
        self.table = table


@dataclass(frozen=True)
class Column:
    """One column, with what it gets when its table is created and when it is added later.

    `default` is a constant and is given to the rows that are already there too (PostgreSQL stores
    it once, the table is not rewritten). `default_for_new_rows` is an expression such as `now()`:
    the rows that are already there stay null, since the time of the migration would be a lie in a
    column that says when something happened.

    `not_null` holds for a created table; in an adopted one only together with `default`, because
    nothing else is known about the old rows. `rest` (key, check, reference) is for a created table
    alone.

    The rest is for `preflight`, which refuses a table that lacks a `required` column, has an
    `exact` one with another type, or one whose type does not allow its `use`. Of a text that we
    write, `words` are all that there are (a CHECK of a created table), or it has up to `longest`
    characters. `cleared`: our statements set it to null. `is_widened`: a CHECK that is there is
    replaced by a superset of itself (`let_in`).
    """

    name: str
    type: str
    default: str = ""
    default_for_new_rows: str = ""
    not_null: bool = False
    rest: str = ""
    required: bool = False
    exact: bool = False
    use: Use = Use.TYPED
    words: tuple[str, ...] = ()
    longest: int = 0
    cleared: bool = False
    is_widened: bool = False

    def when_created(self) -> str:
        """Gives the column as it stands in `create table`."""
        default = self.default or self.default_for_new_rows
        parts = [
            f"{self.name} {self.type}",
            f"default {default}" if default else "",
            "not null" if self.not_null else "",
            f"check ({self.name} in ({_listed(self.words)}))" if self.words else "",
            self.rest,
        ]
        return " ".join(part for part in parts if part)

    def when_added(self) -> str:
        """Gives the column as it stands in `alter table ... add column`."""
        constant = f" default {self.default}" if self.default else ""
        return (
            f"{self.name} {self.type}{constant}{' not null' if constant and self.not_null else ''}"
        )


@dataclass(frozen=True)
class Table:
    """A table of the schema `public` as the pipeline needs it."""

    name: str
    columns: tuple[Column, ...]
    append_only: bool = False
    admins_read: bool = True
    """Whether an admin of the dashboard may read a created table."""
    storage: str = ""
    """Storage parameters of a created table, as in `with (...)`; an adopted one keeps its own."""
    left_to_default: tuple[str, ...] | None = None
    """The described columns that our inserts do not name; None: rows are added as the table in
    question has it, if at all."""

    def leaves_out(self, column: str) -> bool:
        """Whether our inserts do not name this column of an adopted table."""
        if self.left_to_default is None:
            return False
        described = {each.name for each in self.columns}
        return column in self.left_to_default or column not in described


class Adoption:
    """One revision at work inside the transaction of its migration."""

    def __init__(self, connection: psycopg.Connection[Any], applied: list[str]) -> None:
        self.connection = connection
        self.applied = applied

    @classmethod
    def of(cls, context: MigrationContext) -> Adoption:
        """Gives the adoption of the migration that Alembic is running (`op.get_context()`)."""
        assert context.config is not None  # noqa: S101
        adoption = context.config.attributes["adoption"]
        assert isinstance(adoption, cls)  # noqa: S101
        return adoption

    def create_or_adopt(self, tables: Iterable[Table]) -> set[str]:
        """Creates each table, or adds the columns it lacks; gives the names of those created.

        They are taken in this order, so one that is referred to comes first.

        All that exist are looked at and locked before the first change, so that a refusal and a
        lock that cannot be had both leave everything as it was.

        Raises `CannotAdoptError` or `TableBusyError`.
        """
        tables = tuple(tables)
        found = {table.name: self._columns_of(table.name) for table in tables}
        for table in tables:
            if columns := found[table.name]:
                refuse_what_cannot_be_used(self.connection, table, columns)
        self.lock(table.name for table in tables if found[table.name])
        for table in tables:
            if columns := found[table.name]:
                self._add_missing_columns(table, columns)
            else:
                self._create(table)
            if table.append_only:
                self._keep_append_only(table.name)
        return {name for name, columns in found.items() if not columns}

    def lock(self, tables: Iterable[str]) -> None:
        """Locks the tables one by one, so that a refusal names the one that could not be had.

        A deadlock is a lock that could not be had, too: another transaction took the same tables
        in another order, and the server picked this one to give way. Raises `TableBusyError`.
        """
        for table in tables:
            try:
                run(self.connection, f"lock table public.{table} in access exclusive mode")
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                raise TableBusyError(table) from None

    def let_in(self, table: str, column: str, values: Sequence[str]) -> None:
        """Replaces each CHECK on this one text column that refuses one of our values by a superset
        of itself. The table must be locked.

        The new CHECK is the old expression or one of our values: whatever the site allowed stays
        allowed, however it was written. PostgreSQL itself says whether the old one refuses
        something. All rows that fit the old one fit the new one, so it is added unvalidated: to
        read them again would hold the lock for as long as the table is long.
        """
        for name, expression, refused in checks_refusing(self.connection, table, column, values):
            run(self.connection, f"alter table public.{table} drop constraint {name}")
            run(
                self.connection,
                f"alter table public.{table} add constraint {name}"
                f" check (({expression}) or {column} in ({_listed(values)})) not valid",
            )
            self.applied.append(f"widened constraint {name} of {table} by {', '.join(refused)}")

    def refuse_truncate(self, table: str) -> None:
        """Rejects TRUNCATE by a trigger. Only for a table of our own: a site may empty its ledger.

        The owner who means it can disable the trigger.
        """
        self._create_reject_function()
        run(
            self.connection,
            f"create trigger {REJECT_TRUNCATE} before truncate on public.{table}"
            f" for each statement execute function public.{REJECT_CHANGE}()",
        )
        self.applied.append(f"made {table} refuse truncate")

    def _columns_of(self, table: str) -> dict[str, FoundColumn]:
        """Gives the columns by name; empty when there is no such relation.

        Raises `CannotAdoptError` when the name belongs to a view or another thing that is no plain
        table. A partitioned one has no key of its own: nothing keeps an event from being there
        twice, and its indexes cannot be built while it is in use.
        """
        kind = one(
            self.connection,
            "select relkind::text from pg_class where oid = to_regclass(%s)",
            f"public.{table}",
        )
        if kind not in (None, "r"):
            obstacle = "partitioned, which is not supported" if kind == "p" else "not a table"
            raise CannotAdoptError(
                f"public.{table} is {obstacle}: rename it, then run tracking-pipeline migrate"
                " again, which makes a table of this name; nothing was changed"
            )
        return find_columns(self.connection, table)

    def _create(self, table: Table) -> None:
        columns = ", ".join(column.when_created() for column in table.columns)
        storage = f" with ({table.storage})" if table.storage else ""
        run(self.connection, f"create table public.{table.name} ({columns}){storage}")
        self.applied.append(f"created table {table.name}")
        protect(self.connection, table.name)
        rights = "select, insert" if table.append_only else "select, insert, update, delete"
        let_service_role(self.connection, rights, table.name)
        if table.admins_read:
            let_admins_read(self.connection, table.name)

    def _add_missing_columns(self, table: Table, there: dict[str, FoundColumn]) -> None:
        for column in table.columns:
            if column.name in there:
                continue
            run(
                self.connection, f"alter table public.{table.name} add column {column.when_added()}"
            )
            if column.default_for_new_rows:
                run(
                    self.connection,
                    f"alter table public.{table.name} alter column {column.name}"
                    f" set default {column.default_for_new_rows}",
                )
            self.applied.append(f"added column {table.name}.{column.name}")

    def _keep_append_only(self, table: str) -> None:
        """Rejects UPDATE and DELETE by a trigger, unless triggers there reject both already.

        A trigger counts as rejecting when it is enabled and its function raises; one that merely
        notes changes does not. TRUNCATE is for `refuse_truncate`.
        """
        already = one(
            self.connection,
            """
            select bit_or(tgtype::int) & 24 = 24  -- 8 is DELETE, 16 is UPDATE (pg_trigger.h)
              from pg_trigger join pg_proc on pg_proc.oid = tgfoid
             where tgrelid = to_regclass(%s) and not tgisinternal and tgenabled in ('O', 'A')
               and prosrc ~* '\\mraise\\M(?!\\s+(debug|log|info|notice|warning))'
            """,
            f"public.{table}",
        )
        if already:
            return
        self._create_reject_function()
        run(
            self.connection,
            f"create trigger {REJECT_CHANGE} before update or delete on public.{table}"
            f" for each row execute function public.{REJECT_CHANGE}()",
        )
        self.applied.append(f"made {table} append-only")

    def _create_reject_function(self) -> None:
        run(
            self.connection,
            f"""
            create or replace function public.{REJECT_CHANGE}() returns trigger
            language plpgsql set search_path = '' as $$
            begin
                raise exception '% is append-only: % is not allowed', tg_table_name, tg_op
                    using errcode = 'restrict_violation';
            end $$
            """,
        )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
