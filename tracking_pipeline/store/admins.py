"""Whether a user of the site is an admin, and what admins did by hand.

The first is read from ``public.user_roles``, a table of the site's own. Its usual shape on
Supabase: ``user_id uuid``, ``role`` (text or an enum of the site's), row security on, and
``public.has_role(uuid, role)``, a function that sees past it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString


class RolesUnreadableError(Exception):
    """The connected role cannot find out who is an admin. One line with the remedy."""


# Not to_regclass: it fails where the role may not use the schema.
_TABLE: LiteralString = """
select has_table_privilege(c.oid, 'select'), not row_security_active(c.oid)
from pg_class c
where c.relname = 'user_roles' and c.relnamespace = 'public'::regnamespace
"""
_FUNCTION: LiteralString = """
select true
from pg_proc p
where p.proname = 'has_role' and p.pronamespace = 'public'::regnamespace
  and p.pronargs = 2 and p.proargtypes[0] = 'uuid'::regtype
  and has_function_privilege(p.oid, 'execute')
limit 1
"""
_ROW: LiteralString = """
select true from public.user_roles where user_id = %s and role::text = 'admin' limit 1
"""
# The literal takes the type of the function's own second argument, text or enum.
_CALL: LiteralString = "select public.has_role(%s, 'admin')"


async def is_admin(connection: psycopg.AsyncConnection[Any], user_id: UUID) -> bool:
    """Whether the user has the role ``admin``.

    Under row security a table may show no rows and no error, so there the site's function is asked
    first; where there is none, the table's policies decide, and a hidden row means no.
    Raises :class:`RolesUnreadableError` where there is nothing to ask.
    """
    readable, unhidden = await _first(connection, _TABLE) or (False, False)
    if readable and unhidden:
        return await _first(connection, _ROW, user_id) is not None
    if await _first(connection, _FUNCTION):
        return await _first(connection, _CALL, user_id) == (True,)
    if readable:
        return await _first(connection, _ROW, user_id) is not None
    raise RolesUnreadableError(
        "public.user_roles cannot be read, so no user is an admin: grant select on it to the"
        " connected role, with a policy where row security is on"
    )


async def _first(
    connection: psycopg.AsyncConnection[Any], statement: LiteralString, *arguments: object
) -> tuple[Any, ...] | None:
    cursor = await connection.execute(statement, arguments)
    return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class AdminAction:
    """One action, for the append-only ``tracking_admin_actions``. ``actor`` is a token's
    fingerprint or a user's id, ``remote`` the address that the request came from. ``detail`` holds
    ids, filters and counts; no secret, and nothing of an event.
    """

    actor: str
    action: str
    outcome: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    remote: str | None = None


_RECORD: LiteralString = """
insert into public.tracking_admin_actions (actor, action, outcome, detail, remote)
values (%s, %s, %s, %s, %s)
"""


def record_action(connection: psycopg.Connection[Any], action: AdminAction) -> None:
    """Writes the action, in the caller's transaction where there is one: what is not on record
    is then not done either."""
    connection.execute(
        _RECORD,
        (
            action.actor,
            action.action,
            action.outcome,
            Jsonb(dict(action.detail)),
            action.remote,
        ),
    )
