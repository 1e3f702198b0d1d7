"""What the role of TRACKING_WORKER_ROLE is given: grants and policies, as narrow as its work.

Like the indexes this is a wanted state, because the role may be named long after the tables were
made. What the role has already is not given again.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tracking_pipeline.store.access import COMMANDS
from tracking_pipeline.store.migrations.adoption import TableBusyError
from tracking_pipeline.store.migrations.statements import one


class NoSuchRoleError(Exception):
    """TRACKING_WORKER_ROLE names no role of this server. One line."""


def grant_worker(connection: psycopg.Connection[Any], role: str) -> list[str]:
    """Gives the role what `COMMANDS` says, in the caller's transaction; gives what was done.

    DELETE is for what we made and prune alone, and an append-only table gets nothing for UPDATE. An
    identity column needs no right on its sequence. Raises `NoSuchRoleError` or `TableBusyError`.
    """
    if one(connection, "select true from pg_roles where rolname = %s", role) is None:
        raise NoSuchRoleError(
            f"TRACKING_WORKER_ROLE names the role {role}, which does not exist:"
            " create the role or correct the name"
        )
    done = []
    if not one(connection, "select has_schema_privilege(%s, 'public', 'usage')", role):
        connection.execute(
            sql.SQL("grant usage on schema public to {}").format(sql.Identifier(role))
        )
        done.append(f"granted usage on schema public to {role}")
    for table, commands in COMMANDS.items():
        for command in commands:
            done += _grant(connection, role, command, table)
            done += _admit(connection, role, command, table)
    return done


def _grant(connection: psycopg.Connection[Any], role: str, command: str, table: str) -> list[str]:
    granted = one(
        connection,
        "select has_table_privilege(%s, to_regclass('public.' || %s), %s)",
        role,
        table,
        command,
    )
    if granted:
        return []
    connection.execute(
        sql.SQL("grant {} on {} to {}").format(
            sql.SQL(command),
            sql.Identifier("public", table),
            sql.Identifier(role),
        )
    )
    return [f"granted {command} on {table} to {role}"]


def _admit(connection: psycopg.Connection[Any], role: str, command: str, table: str) -> list[str]:
    """Writes the policy that lets the role's rows through.

    Tables without row security get it, too: it has no effect there until somebody turns row
    security on, and then the pipeline goes on working.
    """
    # The role is in the name, cut like every identifier, so that a second role gets policies of
    # its own beside those of the first.
    policy = f"tracking_worker_{command}_{role}"
    written = one(
        connection,
        "select true from pg_policy"
        " where polrelid = to_regclass('public.' || %s) and polname = %s::name",
        table,
        policy,
    )
    if written:
        return []
    rows = {
        "select": "using (true)",
        "insert": "with check (true)",
        "update": "using (true) with check (true)",
        "delete": "using (true)",
    }
    try:
        connection.execute(
            sql.SQL("create policy {} on {} for {} to {} {}").format(
                sql.Identifier(policy),
                sql.Identifier("public", table),
                sql.SQL(command),
                sql.Identifier(role),
                sql.SQL(rows[command]),
            )
        )
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise TableBusyError(table) from None
    return [f"created policy {policy} on {table}"]
