"""Who may use a table that we made: nobody by default, and Supabase's roles what they need.

The roles `anon`, `authenticated` and `service_role` exist in a Supabase project and nowhere else;
on a plain server all that happens here is that row security is turned on.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tracking_pipeline.store.migrations.statements import one, rows, run

ADMINS_READ = "tracking_admins_read"
"""The policy by which admins read a table."""


def protect(connection: psycopg.Connection[Any], table: str) -> None:
    """Turns row security on and takes back what default privileges gave away.

    A Supabase project may give `anon`, `authenticated` and `service_role` every right on each new
    table of `public`, TRUNCATE included. Since 2026-10-30 it gives nobody any
    (https://supabase.com/changelog), so that all who need a right must be granted it.
    """
    run(connection, f"alter table public.{table} enable row level security")
    run(connection, f"revoke all on public.{table} from public")
    for role in ("anon", "authenticated", "service_role"):
        take_back(connection, role, table)


def take_back(connection: psycopg.Connection[Any], role: str, table: str) -> None:
    """Takes from a role of Supabase's every right on the table and its sequences."""
    if not _role_exists(connection, role):
        return
    run(connection, f"revoke all on public.{table} from {role}")
    for sequence in _sequences_of(connection, table):
        run(connection, f"revoke all on sequence {sequence} from {role}")


def let_service_role(connection: psycopg.Connection[Any], rights: str, table: str) -> None:
    """Grants rights to what edge functions connect as: it bypasses row security, not grants."""
    if _role_exists(connection, "service_role"):
        run(connection, f"grant {rights} on public.{table} to service_role")


def let_admins_read(connection: psycopg.Connection[Any], table: str) -> None:
    """Lets an admin of the dashboard read the table, where the site says who is one."""
    if not _role_exists(connection, "authenticated") or not _admins_are_known(connection):
        return
    run(connection, f"grant select on public.{table} to authenticated")
    # The inner select is evaluated once a statement instead of once a row.
    run(
        connection,
        f"create policy {ADMINS_READ} on public.{table} for select to authenticated"
        " using ((select public.has_role((select auth.uid()), 'admin')))",
    )


def let_no_admin_read(connection: psycopg.Connection[Any], table: str) -> None:
    """Undoes `let_admins_read`; a policy of the site's own stays."""
    take_back(connection, "authenticated", table)
    run(connection, f"drop policy if exists {ADMINS_READ} on public.{table}")


def _role_exists(connection: psycopg.Connection[Any], role: str) -> bool:
    return bool(one(connection, "select true from pg_roles where rolname = %s", role))


def _sequences_of(connection: psycopg.Connection[Any], table: str) -> list[str]:
    found = rows(
        connection,
        "select objid::regclass::text from pg_depend join pg_class on pg_class.oid = objid"
        " where classid = 'pg_class'::regclass and refobjid = to_regclass(%s) and relkind = 'S'",
        f"public.{table}",
    )
    return [sequence for (sequence,) in found]


def _admins_are_known(connection: psycopg.Connection[Any]) -> bool:
    """Whether a policy may ask `public.has_role(auth.uid(), 'admin')`.

    The second argument is text in some installations and an enum in others; an enum without an
    `admin` would fail the migration.
    """
    return bool(
        one(
            connection,
            """
            select true
              from pg_proc
             where pronamespace = 'public'::regnamespace and proname = 'has_role'
               and pronargs = 2 and proargtypes[0] = 'uuid'::regtype
               and (proargtypes[1] in ('text'::regtype, 'varchar'::regtype)
                    or exists (select from pg_enum
                                where enumtypid = proargtypes[1] and enumlabel = 'admin'))
               and exists (select from pg_namespace
                            where nspname = 'auth' and has_schema_privilege(oid, 'usage'))
               and to_regprocedure('auth.uid()') is not null
             limit 1
            """,
        )
    )
