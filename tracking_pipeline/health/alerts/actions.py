"""What an operator does about alerts: acknowledge, silence, resolve.

acknowledge   somebody is on it: no reminders until it ends or worsens
silence       no message of this type for so long, also of episodes to come; the alert goes on
resolve       the episode ends by hand; a metric that is still bad begins another at the next
              check

An open alert of a type that is not ours (the site wrote it into the table) has no state machine and
no messages: it is acted on all the same, and only its row changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import psycopg

from tracking_pipeline.health.alerts.alerting import AlertBook, open_book
from tracking_pipeline.health.alerts.rules import acknowledged, silenced
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import AlertType, alert_types
from tracking_pipeline.store.alerts import acknowledge_alert, resolve_alert, silence_alert

AlertAction = Literal["acknowledge", "silence", "resolve"]


@dataclass(frozen=True, slots=True)
class AlertActions:
    """``changed``: the types of alert that were acted on. ``not_open``: those named (a type, or an
    alert's id) that have no open alert, and so nothing to act on."""

    changed: tuple[str, ...] = ()
    not_open: tuple[str, ...] = ()


def act_on_alerts(
    connection: psycopg.Connection[Any],
    action: AlertAction,
    config: HealthConfig,
    *,
    types: Sequence[AlertType] = (),
    ids: Sequence[UUID] = (),
    by: str,
    silence_hours: float = 0.0,
    note: str | None = None,
) -> AlertActions:
    """Acts on the open alerts of these types and ids, in one transaction; on all open ones where
    neither is named. An alert of a type that is not ours is named by its id.

    ``by`` says who; it is shown. ``silence_hours`` from now, by the database's clock; 0 ends a
    silence. A type that is named can be silenced before it has an alert.
    """
    with connection.transaction():
        book = open_book(connection, config)
        chosen = _chosen(book, types, ids)
        changed, not_open = [], []
        for name, alert_type in chosen.items():
            silenced = action == "silence" and alert_type is not None
            if alert_type is None or (alert_type not in book.rows and not silenced):
                not_open.append(name)
                continue
            _act(book, action, alert_type, by=by, silence_hours=silence_hours, note=note)
            changed.append(alert_type)
    return AlertActions(tuple(changed), tuple(not_open))


def _chosen(
    book: AlertBook, types: Sequence[AlertType], ids: Sequence[UUID]
) -> dict[str, str | None]:
    """The type of alert behind each name that was given; None where an id is of no open alert."""
    if not types and not ids:
        return {name: name for name in book.rows}
    type_of = {row.id: name for name, row in book.rows.items()}
    named: dict[str, str | None] = {name: name for name in types}
    for alert_id in ids:
        alert_type = type_of.get(alert_id)
        named.setdefault(alert_type or str(alert_id), alert_type)
    return named


def _act(
    book: AlertBook,
    action: AlertAction,
    alert_type: str,
    *,
    by: str,
    silence_hours: float,
    note: str | None,
) -> None:
    ours = alert_type in alert_types()
    if action == "resolve":
        if not ours:
            resolve_alert(book.connection, alert_type, by=by, note=note)
        else:
            book.resolve(alert_type, by=by, note=note)
    elif action == "acknowledge":
        acknowledge_alert(book.connection, alert_type, by=by, note=note)
        if ours:
            book.save(alert_type, acknowledged(book.state(alert_type), book.now))
    else:
        until = book.now + timedelta(hours=silence_hours) if silence_hours > 0 else None
        silence_alert(book.connection, alert_type, until=until, note=note)
        if ours:
            book.save(alert_type, silenced(book.state(alert_type), until))
