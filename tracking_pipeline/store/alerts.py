"""Reads ``tracking_health_alerts``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not resolved."""

    alert_type: str
    severity: str
    message: str
    created_at: datetime


_OPEN: LiteralString = """
select alert_type, severity, coalesce(message, ''), created_at
from public.tracking_health_alerts
where resolved_at is null
order by severity, created_at
limit 100
"""


def read_open_alerts(connection: psycopg.Connection[Any]) -> list[OpenAlert]:
    """The open alerts, critical ones first."""
    return [OpenAlert(*row) for row in connection.execute(_OPEN).fetchall()]
