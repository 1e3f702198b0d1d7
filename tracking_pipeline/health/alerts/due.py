"""Which message an alert has due for its receivers. Pure.

What is due is the difference between how the alert stands and what was told of it, so a message is
owed until it is enqueued and then no more, whatever was restarted in between:

    firing, nothing told                    started
    critical, told as a warning             worsened
    critical, told 4 hours ago              reminder    (not when acknowledged)
    resolved, and its start was told        ended

While silenced nothing is due. What is still true when the silence ends is due then; what ended in
silence is not told at all. From critical back to warning is no news. An alert that is healthy at
the moment, and only waits for its next check to end, does not begin to be told.

Each message has a key made of the alert's type, the moment it fired and the kind, so that the
outbox takes it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tracking_pipeline.health.alerts.rules import AlertState
from tracking_pipeline.health.config import NotificationRules
from tracking_pipeline.health.metrics import AlertType, Severity, metric_of
from tracking_pipeline.health.readings.causes import DeadLetterBatch
from tracking_pipeline.store.alert_notifications import Kind


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message to be written and enqueued; ``dedupe_key`` is the same for the same message."""

    kind: Kind
    severity: Severity
    dedupe_key: str


def due_message(
    alert_type: AlertType, state: AlertState, now: datetime, rules: NotificationRules
) -> tuple[AlertState, DueMessage | None]:
    """The message that is due now, at most one, and the state once it is enqueued: both are to be
    stored in the same transaction."""
    severity, fired_at = state.severity, state.fired_at
    if fired_at is None or severity is None:
        return state, None
    episode = f"{alert_type}/{fired_at.isoformat()}"
    if state.phase == "resolved":
        return _at_the_end(episode, state, now)
    if state.phase != "firing" or state.is_silenced(now):
        return state, None
    if state.told_at is not None and state.told_at > now:
        # The clock went back: a reminder would be late by as much.
        state = replace(state, told_at=now)
    kind = _due_kind(alert_type, state, now, rules)
    if kind is None:
        return state, None
    key = f"{episode}/{kind}"
    if kind == "reminder" and state.told_at is not None:
        key += f"/{state.told_at.isoformat()}"
    told = replace(state, told_severity=severity, told_at=now, told_value=state.value)
    return told, DueMessage(kind, severity, key)


def due_digest(
    batches: Sequence[DeadLetterBatch],
    told_until: datetime | None,
    until: datetime,
    rules: NotificationRules,
) -> DueMessage | None:
    """The message about new dead letters: those since ``told_until``, where the last digest ended
    (None: there was none), up to ``until``. One for all of them, never one an event, and none
    within ``digest_minutes`` of the last; what comes meanwhile is in the next."""
    if not any(batch.events > 0 for batch in batches):
        return None
    pause = timedelta(minutes=rules.digest_minutes)
    if told_until is not None and timedelta(0) <= until - told_until < pause:
        return None
    interval = f"after {told_until.isoformat()}" if told_until else f"until {until.isoformat()}"
    return DueMessage("digest", "warning", f"dead_letters/digest/{interval}")


def _due_kind(
    alert_type: AlertType, state: AlertState, now: datetime, rules: NotificationRules
) -> Kind | None:
    if state.told_severity is None or state.told_at is None:
        return "started" if state.healthy_checks == 0 else None
    if state.severity != "critical":
        return "reminder" if _passes_a_mark(alert_type, state) else None
    if state.told_severity == "warning":
        return "worsened" if state.healthy_checks == 0 else None
    if state.acknowledged_at is not None:
        return None
    return "reminder" if now - state.told_at >= timedelta(hours=rules.reminder_hours) else None


def _passes_a_mark(alert_type: AlertType, state: AlertState) -> bool:
    """Whether a warning that nobody has acknowledged is worse by as much as is told once more."""
    metric = metric_of(alert_type)
    if metric is None or metric.alert is None or state.acknowledged_at is not None:
        return False
    if state.told_value is None or state.value is None:
        return False
    return metric.alert.passes_a_mark(state.told_value, state.value)


def _at_the_end(
    episode: str, state: AlertState, now: datetime
) -> tuple[AlertState, DueMessage | None]:
    told = replace(state, told_severity=None, told_at=None)
    if state.told_severity is None or state.is_silenced(now):
        return told, None
    return told, DueMessage("ended", state.told_severity, f"{episode}/ended")
