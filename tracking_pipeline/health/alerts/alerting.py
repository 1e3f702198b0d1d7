"""Steps the alerts: what their state machines decide becomes rows, states and due messages.

All of it is one transaction under one lock, so two checks at once make one alert, and no alert is
committed without its message. The machines are in ``health/alerts/rules.py``; this file only keeps
three things together: the state, the open row of the type, and the outbox.

Others write alerts, too, and the row has the last word:

- A row that is open while the machine rests (delivery paused a destination, or the table came with
  open alerts) is an episode that began when the row was made; the machine goes on from there.
- A row that was resolved while the machine fires ended the episode. A metric that is still bad
  begins another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.alerts.due import due_digest, due_message
from tracking_pipeline.health.alerts.evaluation import Evaluation
from tracking_pipeline.health.alerts.messages import (
    AlertFacts,
    alert_message,
    digest,
    ended_message,
    notification,
)
from tracking_pipeline.health.alerts.rules import (
    AlertState,
    adopt,
    closed,
    recovery_of,
    rules_for,
    step,
)
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import AlertType
from tracking_pipeline.health.readings.queue import batches_of
from tracking_pipeline.store.alert_notifications import enqueue, owe_new_channels
from tracking_pipeline.store.alerts import (
    AlertRow,
    lock_alerts,
    lock_open_alerts,
    raise_alert,
    read_alert_states,
    resolve_alert,
    save_alert_state,
)
from tracking_pipeline.store.health_readings import count_new_dead_letters

# Beside the states of the alerts, in the same table and under the same lock.
_DIGEST = "dead_letters/digest"
# Of what died before the first check, one day is news.
_FIRST_HOURS = 24


def open_book(connection: psycopg.Connection[Any], config: HealthConfig) -> AlertBook:
    """The alerts as they stand, locked against every other step until the caller's transaction
    ends."""
    now = lock_alerts(connection)
    rows, states = lock_open_alerts(connection), read_alert_states(connection)
    return AlertBook(connection, config, now, rows, states)


@dataclass
class AlertBook:
    """The open rows and the states under the lock, and what has been done to them. It lives as long
    as the transaction in which :func:`open_book` made it."""

    connection: psycopg.Connection[Any]
    config: HealthConfig
    now: datetime
    rows: Mapping[str, AlertRow]
    states: Mapping[str, Mapping[str, Any]]
    created: list[AlertType] = field(default_factory=list)
    resolved: list[AlertType] = field(default_factory=list)
    told: list[AlertType] = field(default_factory=list)

    def step(self, alert_type: AlertType, evaluation: Evaluation, taken_at: datetime) -> None:
        """One check of one type."""
        row = self.rows.get(alert_type)
        state = self.state(alert_type)
        if row is None and state.phase == "firing":
            state, _ = closed(state, self.now)
            # Delivery ends its own alert when the last destination goes on.
            by_hand = alert_type != "destination_paused"
            state = self._tell(alert_type, state, None, (), by_hand=by_hand)
        rules = rules_for(alert_type, self.config.alerts)
        state, transitions = step(
            state,
            evaluation.result,
            self.now,
            rules,
            taken_at=taken_at,
            began_at=evaluation.began_at,
        )
        kinds = {transition.kind for transition in transitions}
        alert_id = row.id if row else None
        if "ended" in kinds:
            words = ended_message(self._facts(alert_type, state, ()), self.now)
            resolve_alert(self.connection, alert_type, message=words)
            self.resolved.append(alert_type)
        elif state.phase == "firing" and self._is_news(state, evaluation):
            alert_id = self._write(alert_type, state, evaluation.causes)
            if "started" in kinds:
                self.created.append(alert_type)
        state = self._tell(alert_type, state, alert_id, evaluation.causes, by_hand=False)
        self.save(alert_type, state)

    def _is_news(self, state: AlertState, evaluation: Evaluation) -> bool:
        """Whether the step took the reading: it had data, and no later check was faster."""
        return state.checked_at == self.now and evaluation.result.level != "no_data"

    def _write(self, alert_type: AlertType, state: AlertState, causes: tuple[str, ...]) -> UUID:
        facts = self._facts(alert_type, state, causes)
        return raise_alert(
            self.connection,
            alert_type,
            severity=facts.severity,
            message=alert_message(facts),
            value=facts.value,
            threshold=facts.threshold,
            silenced_until=state.silenced_until if state.is_silenced(self.now) else None,
        )

    def resolve(self, alert_type: AlertType, *, by: str, note: str | None) -> None:
        """Ends the open alert of this type by hand."""
        row = self.rows[alert_type]
        state, _ = closed(self.state(alert_type), self.now)
        facts = self._facts(alert_type, state, (), by_hand=True)
        # While the metric is as bad as it was, the message with its cause is still true.
        words = ended_message(facts, self.now) if facts.recovery else None
        resolve_alert(self.connection, alert_type, message=words, by=by, note=note)
        state = self._tell(alert_type, state, row.id, (), by_hand=True)
        self.save(alert_type, state)

    def state(self, alert_type: AlertType) -> AlertState:
        """The state of this type, with an open row that no step has made taken over."""
        state = AlertState.from_json(self.states.get(alert_type, {}))
        row = self.rows.get(alert_type)
        if row is None or state.phase == "firing":
            return state
        return replace(
            adopt(
                "critical" if row.severity == "critical" else "warning",
                min(row.created_at, self.now),
            ),
            silenced_until=state.silenced_until,
            value=row.metric_value,
            threshold=row.threshold,
        )

    def save(self, alert_type: AlertType, state: AlertState) -> None:
        """Keeps the state for the next step."""
        save_alert_state(self.connection, alert_type, state.as_json())

    def _tell(
        self,
        alert_type: AlertType,
        state: AlertState,
        alert_id: UUID | None,
        causes: tuple[str, ...],
        *,
        by_hand: bool,
    ) -> AlertState:
        told, message = due_message(alert_type, state, self.now, self.config.notifications)
        if message is None:
            return told
        if not self.config.channels:
            # Nobody is there to be told: a channel that is set later is owed what goes on then.
            return told if state.phase == "resolved" else state
        facts = self._facts(alert_type, told, causes, by_hand=by_hand)
        words = notification(message, facts, now=self.now, alert_id=alert_id)
        enqueue(self.connection, [words], self.config.channels)
        self.told.append(alert_type)
        return told

    def _facts(
        self,
        alert_type: AlertType,
        state: AlertState,
        causes: tuple[str, ...],
        *,
        by_hand: bool = False,
    ) -> AlertFacts:
        return AlertFacts(
            alert_type=alert_type,
            severity=state.severity or "warning",
            value=state.value,
            threshold=state.threshold,
            since=state.since or self.now,
            recovery=recovery_of(state, rules_for(alert_type, self.config.alerts)),
            causes=causes,
            ended_by_hand=by_hand,
        )

    def tell_new_channels(self) -> None:
        """Owes what is open to channels that are new. To be called after the alerts were
        stepped."""
        owe_new_channels(self.connection, self.config.channels)

    def tell_dead_letters(self, until: datetime) -> None:
        """Owes a message of the dead letters since the last one, up to ``until``, in batches by
        destination and reason, never one message an event. To be called after the alerts were
        stepped.

        The first ones raise the alert ``dead_letters``, whose own message names them. While it is
        open, those that come later are told together, at most once an hour
        (:func:`~tracking_pipeline.health.alerts.due.due_digest`). What has been told is known by
        the time up to which it reached.
        """
        stored = self.states.get(_DIGEST, {}).get("told_until")
        told_until = datetime.fromisoformat(stored) if stored else None
        if "dead_letters" not in self.told:
            alert = self.state("dead_letters")
            if alert.is_silenced(self.now) or alert.acknowledged_at is not None:
                return
            since = told_until or until - timedelta(hours=_FIRST_HOURS)
            batches = batches_of(
                count_new_dead_letters(self.connection, DESTINATIONS, since, until)
            )
            message = due_digest(batches, told_until, until, self.config.notifications)
            if message is None:
                return
            enqueue(self.connection, [digest(message, batches)], self.config.channels)
        save_alert_state(self.connection, _DIGEST, {"told_until": until.isoformat()})
