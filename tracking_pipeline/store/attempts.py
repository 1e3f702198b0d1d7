"""Reads ``tracking_delivery_attempts``, the append-only log of every try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


@dataclass(frozen=True, slots=True)
class LastError:
    """The newest attempt of a destination that failed. What is withheld or postponed did not.
    ``platform_message``, ``trace_id`` and ``field_path`` are the platform's."""

    destination: str
    outcome: str
    message: str
    attempted_at: datetime
    failure_code: str | None = None
    platform_message: str | None = None
    trace_id: str | None = None
    field_path: str | None = None


# One step down an index for each destination, however long the log is.
_LAST_ERRORS: LiteralString = """
select d.destination, a.outcome, coalesce(a.error_message, a.error_code, ''), a.attempted_at,
    a.failure_code, a.platform_message, a.trace_id, a.field_path
from unnest(%s::text[]) as d (destination)
cross join lateral (
    select outcome, error_message, error_code, attempted_at, failure_code, platform_message,
        trace_id, field_path
    from public.tracking_delivery_attempts
    where destination = d.destination and outcome in ('retry', 'throttled', 'paused', 'rejected')
    order by attempted_at desc
    limit 1) as a
"""


def read_last_errors(
    connection: psycopg.Connection[Any], destinations: Sequence[str]
) -> dict[str, LastError]:
    """The last error of each destination that ever had one."""
    rows = connection.execute(_LAST_ERRORS, (list(destinations),)).fetchall()
    return {row[0]: LastError(*row) for row in rows}
