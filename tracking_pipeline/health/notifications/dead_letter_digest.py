"""Tells of new dead letters in batches by destination and reason, never one message an event.

The first ones raise the alert ``dead_letters``, whose own message names them. While it is open,
those that come later are told together, at most once an hour (``notification_rules.digest_owed``).
What has been told is known by the time up to which it reached.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.alerts.alerting import AlertBook
from tracking_pipeline.health.alerts.messages import digest
from tracking_pipeline.health.notifications.rules import digest_owed
from tracking_pipeline.health.readings.queue import batches_of
from tracking_pipeline.store.alert_notifications import enqueue
from tracking_pipeline.store.alerts import save_alert_state
from tracking_pipeline.store.health_readings import count_new_dead_letters

# Beside the states of the alerts, in the same table and under the same lock.
_TOLD = "dead_letters/digest"
# Of what died before the first check, one day is news.
_FIRST_HOURS = 24


def tell_dead_letters(book: AlertBook, until: datetime) -> None:
    """Owes a message of the dead letters since the last one, up to ``until``, where the time has
    come. To be called after the alerts were stepped."""
    stored = book.states.get(_TOLD, {}).get("told_until")
    told_until = datetime.fromisoformat(stored) if stored else None
    if "dead_letters" in book.told:
        _remember(book.connection, until)
        return
    alert = book.state("dead_letters")
    if alert.is_silenced(book.now) or alert.acknowledged_at is not None:
        return
    since = told_until or until - timedelta(hours=_FIRST_HOURS)
    batches = batches_of(count_new_dead_letters(book.connection, DESTINATIONS, since, until))
    message = digest_owed(batches, told_until, until, book.policy.notifications)
    if message is not None:
        enqueue(book.connection, [digest(message, batches)], book.policy.channels)
        _remember(book.connection, until)


def _remember(connection: psycopg.Connection[Any], told_until: datetime) -> None:
    save_alert_state(connection, _TOLD, {"told_until": told_until.isoformat()})
