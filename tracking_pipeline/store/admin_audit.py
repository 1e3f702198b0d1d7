"""Every statement on ``tracking_admin_actions``, the append-only log of who did what by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString


@dataclass(frozen=True, slots=True)
class AdminAction:
    """One action. ``actor`` is a token's fingerprint or a user's id, ``remote`` the address that
    the request came from. ``detail`` holds ids, filters and counts; no secret, and nothing of an
    event."""

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
