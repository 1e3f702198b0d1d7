"""Every statement on ``tracking_health_alerts`` and ``tracking_alert_state``.

An open alert has no ``resolved_at``; of each type there is at most one, which a unique index sees
to. What the alert's state machine remembers from one check to the next is the state, one row a
type. Whoever changes either holds the lock until the end of the transaction. Others may write
alerts all the same: delivery pauses a destination, a dashboard resolves by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

# The advisory lock of whoever steps alerts.
_LOCK_KEY = int.from_bytes(b"trackalt", "big")


# Beyond it nobody reads on; there is at most one of each type of ours.
_MOST_OPEN = 100
# More than a page can show, and than a month of a sound installation has.
_MOST_SINCE = 500


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One row of ``tracking_health_alerts``: an alert from its beginning to its end.
    ``resolved_at`` None: it is open. One that somebody wrote without a time is as of now."""

    id: UUID
    alert_type: str
    severity: str
    message: str
    created_at: datetime
    metric_value: float | None = None
    threshold: float | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    silenced_until: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    note: str | None = None


_ALERTS: LiteralString = """
select id, alert_type, severity, coalesce(message, '') as message,
    coalesce(created_at, now()) as created_at, metric_value::float8 as metric_value,
    threshold::float8 as threshold, acknowledged_at, acknowledged_by, silenced_until, resolved_at,
    resolved_by, note
from public.tracking_health_alerts a
"""
# `severity` sorts critical before warning. Those of one check began at one moment: by their type,
# which is the same order each time.
_OPEN: LiteralString = (
    _ALERTS + " where resolved_at is null order by severity, a.created_at, alert_type, id limit %s"
)
_RESOLVED: LiteralString = (
    _ALERTS + " where resolved_at is not null order by resolved_at desc, alert_type, id limit %s"
)
_SINCE: LiteralString = (
    _ALERTS
    + """
where resolved_at is null or resolved_at >= %s
order by (resolved_at is null) desc, a.created_at desc nulls first, alert_type
limit %s
"""
)


def read_open_alerts(connection: psycopg.Connection[Any]) -> list[AlertRow]:
    """The open alerts, critical ones first."""
    return _read(connection, _OPEN, _MOST_OPEN)


def read_resolved_alerts(connection: psycopg.Connection[Any], most: int) -> list[AlertRow]:
    """So many of the alerts that ended, the last first."""
    return _read(connection, _RESOLVED, most)


def read_alerts_since(connection: psycopg.Connection[Any], since: datetime) -> list[AlertRow]:
    """The alerts that were open at some time from ``since`` on: the open ones first, then the
    newest."""
    return _read(connection, _SINCE, since, _MOST_SINCE)


def lock_open_alerts(connection: psycopg.Connection[Any]) -> dict[str, AlertRow]:
    """The open alerts by type, locked against everybody until the transaction ends."""
    found = _read(connection, _ALERTS + " where resolved_at is null for update")
    return {each.alert_type: each for each in found}


def _read(
    connection: psycopg.Connection[Any], statement: LiteralString, *arguments: Any
) -> list[AlertRow]:
    with connection.cursor(row_factory=class_row(AlertRow)) as cursor:
        return cursor.execute(statement, arguments or None).fetchall()


def lock_alerts(connection: psycopg.Connection[Any]) -> datetime:
    """Keeps everybody else from stepping alerts until the transaction ends. Returns the moment at
    which the lock was had."""
    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  a select without a table gives one row
    moment: datetime = row[0]
    return moment


# Delivery may have opened the alert a moment ago: then that one is taken over.
_RAISE: LiteralString = """
insert into public.tracking_health_alerts (
    alert_type, severity, message, metric_value, threshold, silenced_until, updated_at)
values (%(alert_type)s, %(severity)s, %(message)s, %(value)s, %(threshold)s, %(silenced_until)s,
    now())
on conflict (alert_type) where resolved_at is null do update
set severity = excluded.severity, message = excluded.message,
    metric_value = excluded.metric_value, threshold = excluded.threshold,
    silenced_until = coalesce(excluded.silenced_until, tracking_health_alerts.silenced_until),
    updated_at = now()
returning id
"""


def raise_alert(
    connection: psycopg.Connection[Any],
    alert_type: str,
    *,
    severity: str,
    message: str,
    value: float | None,
    threshold: float | None,
    silenced_until: datetime | None = None,
) -> UUID:
    """Opens the alert of this type, or brings the open one up to date. Returns its id.

    ``silenced_until``: the silence of its type, which may have begun in an earlier episode.
    """
    row = connection.execute(
        _RAISE,
        {
            "alert_type": alert_type,
            "severity": severity,
            "message": message,
            "value": value,
            "threshold": threshold,
            "silenced_until": silenced_until,
        },
    ).fetchone()
    assert row is not None  # noqa: S101  an upsert returns its row
    alert_id: UUID = row[0]
    return alert_id


_RESOLVE: LiteralString = """
update public.tracking_health_alerts
set resolved_at = now(), resolved_by = %(by)s, message = coalesce(%(message)s, message),
    note = coalesce(%(note)s, note), updated_at = now()
where alert_type = %(alert_type)s and resolved_at is null
"""


def resolve_alert(
    connection: psycopg.Connection[Any],
    alert_type: str,
    *,
    message: str | None = None,
    by: str | None = None,
    note: str | None = None,
) -> None:
    """Ends the open alert of this type; ``by`` None: it is over by itself. ``message`` None: it
    keeps the one that it has."""
    connection.execute(
        _RESOLVE, {"alert_type": alert_type, "message": message, "by": by, "note": note}
    )


_ACKNOWLEDGE: LiteralString = """
update public.tracking_health_alerts
set acknowledged_at = now(), acknowledged_by = %(by)s, note = coalesce(%(note)s, note),
    updated_at = now()
where alert_type = %(alert_type)s and resolved_at is null
"""


def acknowledge_alert(
    connection: psycopg.Connection[Any], alert_type: str, *, by: str, note: str | None
) -> None:
    """Notes on the open alert of this type that somebody is on it."""
    connection.execute(_ACKNOWLEDGE, {"alert_type": alert_type, "by": by, "note": note})


_SILENCE: LiteralString = """
update public.tracking_health_alerts
set silenced_until = %(until)s, note = coalesce(%(note)s, note), updated_at = now()
where alert_type = %(alert_type)s and resolved_at is null
"""


def silence_alert(
    connection: psycopg.Connection[Any],
    alert_type: str,
    *,
    until: datetime | None,
    note: str | None,
) -> None:
    """Notes on the open alert of this type until when nothing is told of it."""
    connection.execute(_SILENCE, {"alert_type": alert_type, "until": until, "note": note})


def read_alert_states(connection: psycopg.Connection[Any]) -> dict[str, Mapping[str, Any]]:
    """What the state machines remember, as JSON values, by type of alert."""
    rows = connection.execute("select alert_type, state from public.tracking_alert_state")
    return dict(rows.fetchall())


_SAVE_STATE: LiteralString = """
insert into public.tracking_alert_state (alert_type, state)
values (%s, %s)
on conflict (alert_type) do update set state = excluded.state, updated_at = now()
"""


def save_alert_state(
    connection: psycopg.Connection[Any], alert_type: str, state: Mapping[str, Any]
) -> None:
    """Writes what the state machine of one type of alert remembers."""
    connection.execute(_SAVE_STATE, (alert_type, Jsonb(dict(state))))
