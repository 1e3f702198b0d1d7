"""Alerts as a dashboard lists them: all that are open, and the last ones that ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from typing_extensions import LiteralString

_MOST_OPEN = 100


@dataclass(frozen=True, slots=True)
class ListedAlert:
    """One row of ``tracking_health_alerts``. ``resolved_at`` None: it is open."""

    id: UUID
    alert_type: str
    severity: str
    message: str
    metric_value: float | None
    threshold: float | None
    created_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    silenced_until: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    note: str | None


_COLUMNS: LiteralString = """
select id, alert_type, severity, coalesce(message, '') as message,
    metric_value::float8 as metric_value, threshold::float8 as threshold, created_at,
    acknowledged_at, acknowledged_by, silenced_until, resolved_at, resolved_by, note
from public.tracking_health_alerts
"""
# `severity` sorts critical before warning.
_OPEN: LiteralString = (
    _COLUMNS + " where resolved_at is null order by severity, created_at, id limit %s"
)
_RESOLVED: LiteralString = (
    _COLUMNS + " where resolved_at is not null order by resolved_at desc, id limit %s"
)


def list_alerts(connection: psycopg.Connection[Any], *, resolved: int) -> list[ListedAlert]:
    """The open alerts, critical ones first, then so many ``resolved`` ones, the last first."""
    with connection.cursor(row_factory=class_row(ListedAlert)) as cursor:
        found = cursor.execute(_OPEN, (_MOST_OPEN,)).fetchall()
        return found + cursor.execute(_RESOLVED, (resolved,)).fetchall()
