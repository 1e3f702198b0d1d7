"""Alerts in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tracking_pipeline.health.alerts.messages import likely_cause, what_and_next_step
from tracking_pipeline.health.formatting import Moment, capital, moment_near
from tracking_pipeline.health.metrics import alert_title, rank_of
from tracking_pipeline.store.alerts import AlertRow


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert in words. ``cause`` is the likely one, empty where none is known. ``handled`` says
    what somebody has done about it, empty where nobody has."""

    alert_type: str
    severity: str
    title: str
    what: str
    cause: str
    next_step: str
    since: Moment
    handled: str
    acknowledged: bool
    silenced: bool
    note: str


@dataclass(frozen=True, slots=True)
class EndedAlert:
    """An alert that is over."""

    title: str
    severity: str
    ended: Moment
    how: str


def open_alerts(alerts: Sequence[AlertRow], now: datetime) -> list[AlertView]:
    """Critical ones first, causes before effects; those that somebody is on, or has silenced, after
    the others."""
    shown = [_alert(each, now) for each in alerts]
    return sorted(
        shown,
        key=lambda each: (
            bool(each.handled),
            each.severity != "critical",
            rank_of(each.alert_type),
        ),
    )


def _alert(alert: AlertRow, now: datetime) -> AlertView:
    handled = []
    silenced = alert.silenced_until is not None and alert.silenced_until > now
    if alert.acknowledged_at is not None:
        handled.append(f"acknowledged {moment_near(alert.acknowledged_at, now).near}")
    if silenced and alert.silenced_until is not None:
        handled.append(f"silenced until {moment_near(alert.silenced_until, now).full}")
    what, next_step = what_and_next_step(alert.alert_type, alert.message)
    return AlertView(
        alert_type=alert.alert_type,
        severity=alert.severity,
        title=alert_title(alert.alert_type),
        what=what or f"{alert.alert_type}: no message on record.",
        cause=likely_cause(what),
        next_step=next_step,
        since=moment_near(alert.created_at, now),
        handled=capital("; ".join(handled)),
        acknowledged=alert.acknowledged_at is not None,
        silenced=silenced,
        note=alert.note or "",
    )


def ended_alerts(alerts: Sequence[AlertRow], now: datetime) -> list[EndedAlert]:
    """Those of the alerts that are over."""
    return [
        EndedAlert(
            title=alert_title(each.alert_type),
            severity=each.severity,
            ended=moment_near(each.resolved_at, now),
            how="resolved by hand" if each.resolved_by else "ended by itself",
        )
        for each in alerts
        if each.resolved_at is not None
    ]
