"""What the role of TRACKING_WORKER_ROLE is given: grants and policies, as narrow as its work.

Like the indexes this is a wanted state, because the role may be named long after the tables were
made. What the role already has, by whatever grant or policy, is not given again.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from tracking_pipeline.store.access import COMMANDS


class NoSuchRoleError(Exception):
    """TRACKING_WORKER_ROLE names no role of this server. One line."""


def grant_worker(connection: psycopg.Connection[Any], role: str) -> list[str]:
    """Give the role what `COMMANDS` says, in the caller's transaction; give what was done.

    A policy is written for tables without row security, too: it has no effect there until somebody
    turns row security on, and then the pipeline goes on working. Nothing is for DELETE, and an
    append-only table gets nothing for UPDATE. Identity columns need no right on their sequence.

    Raises `NoSuchRoleError`.
    """
    cursor = connection.cursor(row_factory=tuple_row)
    if cursor.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        raise NoSuchRoleError(
            f"TRACKING_WORKER_ROLE names the role {role}, which does not exist:"
            " create the role or correct the name"
        )
    done = []
    worker = sql.Identifier(role)
    if not _one(cursor, "select has_schema_privilege(%s, 'public', 'usage')", role):
        cursor.execute(sql.SQL("grant usage on schema public to {}").format(worker))
        done.append(f"granted usage on schema public to {role}")
    for table, commands in COMMANDS.items():
        name = sql.Identifier("public", table)
        for command in commands:
            if not _one(
                cursor,
                "select has_table_privilege(%s, to_regclass('public.' || %s), %s)",
                role,
                table,
                command,
            ):
                cursor.execute(
                    sql.SQL("grant {} on {} to {}").format(sql.SQL(command), name, worker)
                )
                done.append(f"granted {command} on {table} to {role}")
            # The role is in the name, cut like every identifier, so that a second role gets its
            # own policies beside those of the first.
            policy = f"tracking_worker_{command}_{role}"
            if not _one(
                cursor,
                "select true from pg_policy"
                " where polrelid = to_regclass('public.' || %s) and polname = %s::name",
                table,
                policy,
            ):
                rows = {"select": "using (true)", "insert": "with check (true)"}.get(
                    command, "using (true) with check (true)"
                )
                cursor.execute(
                    sql.SQL("create policy {} on {} for {} to {} {}").format(
                        sql.Identifier(policy), name, sql.SQL(command), worker, sql.SQL(rows)
                    )
                )
                done.append(f"created policy {policy} on {table}")
    return done


def _one(cursor: psycopg.Cursor[tuple[Any, ...]], query: str, *parameters: object) -> Any:
    row = cursor.execute(query.encode(), parameters).fetchone()
    return row[0] if row else None
