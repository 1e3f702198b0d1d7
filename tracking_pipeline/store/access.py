"""May the connected role do to each table what the pipeline does to it?

Under row security a role without a policy reads zero rows and gets no error: a pipeline that
connects as such a role would report an empty queue for ever. So each start asks first and refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.store.migrations.adoption import VERSION_TABLE

COMMANDS: dict[str, tuple[str, ...]] = {
    VERSION_TABLE: ("select",),
    "leads": ("select", "insert", "update"),
    "tracking_failed_events": ("select", "insert", "update"),
    "wm_event_log": ("select", "insert"),
    "tracking_health_alerts": ("select", "insert", "update"),
    "tracking_delivery_attempts": ("select", "insert", "delete"),
    "tracking_destination_state": ("select", "insert", "update"),
    "tracking_destination_shares": ("select", "insert", "update"),
    "tracking_destination_checks": ("select", "insert", "update"),
    "tracking_google_requests": ("select", "insert", "update", "delete"),
    "tracking_match_key_hourly": ("select", "insert", "update", "delete"),
    "tracking_rollup_progress": ("select", "insert", "update"),
    "tracking_delivery_hourly": ("select", "insert", "delete"),
    "tracking_conversion_hourly": ("select", "insert", "delete"),
    "tracking_delivery_slices": ("select", "insert", "delete"),
    "tracking_order_events": ("select", "insert", "delete"),
    "tracking_setting_changes": ("select", "insert"),
    "tracking_health_snapshots": ("select", "insert", "delete"),
    "tracking_alert_state": ("select", "insert", "update"),
    "tracking_alert_notifications": ("select", "insert", "update", "delete"),
    "tracking_launches": ("select", "insert", "update"),
    "tracking_geo_providers": ("select", "insert", "update"),
    "tracking_ip_locations": ("select", "insert", "update", "delete"),
    "tracking_admin_actions": ("select", "insert"),
    "tracking_accepted_events": ("select", "insert", "update", "delete"),
}
"""What the pipeline does to each table: checked here, granted by `migrate`."""


class AccessError(ExplainedError):
    """The connected role cannot work on a table. One line: table, role and remedy."""


@dataclass(frozen=True)
class Obstacle:
    """The first thing that keeps the connected role from working on a table."""

    table: str
    role: str
    command: str
    exists: bool
    granted: bool


def check_access(connection: psycopg.Connection[Any]) -> None:
    """Returns when the connected role can do all that the pipeline does to its tables.

    One read of the catalogue; the connection is left as it was, in or out of a transaction.
    Raises `AccessError` for the first table that is missing, lacks a privilege, or has row security
    on with no policy that lets this role's rows through; and where the tables are behind. Tables of
    a later release will do: a migration only adds, so that workers of both releases can work.
    """
    obstacle = first_obstacle(connection)
    if obstacle is None:
        if is_behind(connection):
            raise AccessError("the tables are of an earlier release: run tracking-pipeline migrate")
        return
    table, role = f"public.{obstacle.table}", obstacle.role
    if not obstacle.exists:
        raise AccessError(f"table {table} is missing: run tracking-pipeline migrate")
    remedy = f"set TRACKING_WORKER_ROLE={role} and run tracking-pipeline migrate as the owner"
    if not obstacle.granted:
        raise AccessError(f"role {role} may not {obstacle.command} on {table}: {remedy}")
    raise AccessError(
        f"row security hides {table} from role {role}, which has no policy for"
        f" {obstacle.command}: {remedy}"
    )


def is_behind(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables lack a revision of this release. Revisions are numbers of four digits."""
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(f"select max(version_num) from public.{VERSION_TABLE}").fetchone()  # noqa: S608
    return row is None or (row[0] or "") < newest_revision()


@cache
def newest_revision() -> str:
    """The newest revision that this release knows, by the names of its files: to ask Alembic takes
    a second."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(file.name[1:5] for file in versions.glob("v[0-9]*.py"))


def first_obstacle(connection: psycopg.Connection[Any]) -> Obstacle | None:
    """Looks for what `check_access` refuses; None when the role can work.

    A policy counts when it lets every row through and applies to the role (by name, by membership
    or as PUBLIC), or when it names the connected role itself, which somebody did on purpose. A
    policy such as "admins, by their token" for PUBLIC applies to every role and yet lets no row
    through on a direct connection, so it does not count.
    """
    needed = [(table, command) for table, commands in COMMANDS.items() for command in commands]
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            """
            select needed.relation, current_user::text, needed.command,
                   found.oid is not null,
                   has_schema_privilege('public', 'usage')
                   and has_table_privilege(found.oid, needed.command)
              from unnest(%s::text[], %s::text[])
                   with ordinality as needed (relation, command, position)
              -- Not to_regclass: it fails where the role may not use the schema.
              left join pg_class as found
                on found.relname = needed.relation
               and found.relnamespace = 'public'::regnamespace
             where found.oid is null
                or not has_schema_privilege('public', 'usage')
                or not has_table_privilege(found.oid, needed.command)
                or row_security_active(found.oid) and not exists (
                   select from pg_policy as policy
                    where policy.polrelid = found.oid and policy.polpermissive
                      and policy.polcmd in ('*', case needed.command when 'select' then 'r'
                                                      when 'insert' then 'a'
                                                      when 'delete' then 'd' else 'w' end)
                      and (quote_ident(current_user)::regrole = any (policy.polroles)
                           or coalesce(pg_get_expr(policy.polqual, found.oid), 'true') = 'true'
                          and coalesce(pg_get_expr(policy.polwithcheck, found.oid), 'true') = 'true'
                          and exists (select from unnest(policy.polroles) as member (role)
                                       where role = 0 or pg_has_role(role, 'usage'))))
             order by needed.position
             limit 1
            """,
            ([table for table, _ in needed], [command for _, command in needed]),
        ).fetchone()
    return None if row is None else Obstacle(*row)
