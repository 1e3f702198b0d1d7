"""How tracking stands as a whole, in words: the status, and the numbers beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from tracking_pipeline.health.alerts.heartbeat import Heartbeat
from tracking_pipeline.health.standing import verdicts_of
from tracking_pipeline.health.system_status import SystemState, system_status
from tracking_pipeline.store.alert_list import ListedAlert
from tracking_pipeline.store.alerts import OpenAlert
from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline.web.page import words
from tracking_pipeline.web.page.reading import PageReading
from tracking_pipeline.web.page.words import Moment, moment

_TITLES: dict[SystemState, str] = {
    "healthy": "Tracking is healthy",
    "degraded": "Tracking is degraded",
    "critical": "Tracking needs attention now",
}


@dataclass(frozen=True, slots=True)
class StatusView:
    """The first thing to read; ``reason`` is a sentence. ``checked`` None: no check has run yet."""

    level: SystemState
    title: str
    reason: str
    checked: Moment | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that tells how things stand. ``level``: ``ok``, ``warning``, ``critical``, or
    ``no_data``."""

    label: str
    value: str
    note: str
    level: str


def status_view(reading: PageReading, alerts: Sequence[ListedAlert]) -> StatusView:
    """The status, from the last check and the ``alerts`` that are open. Checks that have stopped
    make it degraded at least: old news of good health are no good news."""
    if reading.check is None:
        known = system_status(_open(alerts), None)
        reason = words.status_reason(known.reason)
        return StatusView(known.status, _TITLES[known.status], reason, None)
    known = system_status(_open(alerts), verdicts_of(reading.check))
    level, reason = known.status, words.status_reason(known.reason)
    heartbeat = Heartbeat((reading.now - reading.check.taken_at).total_seconds())
    if heartbeat.is_stalled and "pipeline_stalled" not in known.reason:
        stalled = "Health checks have stopped: is the Dagster daemon running?"
        reason = stalled if level == "healthy" else f"{reason} {stalled}"
        level = "degraded" if level == "healthy" else level
    return StatusView(level, _TITLES[level], reason, moment(reading.check.taken_at, reading.now))


def _open(alerts: Sequence[ListedAlert]) -> list[OpenAlert]:
    return [
        OpenAlert(
            each.alert_type,
            each.severity,
            each.message,
            each.created_at or datetime.now(timezone.utc),
        )
        for each in alerts
    ]


def figures(reading: PageReading, whole: Mapping[str, Snapshot]) -> list[Figure]:
    """The numbers; ``whole`` are the last check's metrics by name."""
    waiting = sum(each.waiting.waiting for each in reading.destinations.values())
    due = sum(each.waiting.due for each in reading.destinations.values())
    nothing = Snapshot("", None, None)
    rate = whole.get("error_rate", nothing)
    dead = whole.get("dead_letters", nothing)
    recovery = whole.get("recovery_rate", nothing)
    queue = whole.get("queue_depth", nothing)
    rate_detail = rate.detail or {}
    return [
        Figure(
            "Waiting to be sent again",
            words.count(waiting),
            f"{words.count(due)} due now" if waiting else "The queue is empty",
            (queue.state or "no_data") if waiting else "ok",
        ),
        Figure(
            "Error rate",
            words.percent(rate.value),
            f"of {words.events(rate_detail['events'])} in {rate_detail['window_hours']} h"
            if rate_detail.get("events")
            else "No events in the window",
            rate.state or "no_data",
        ),
        Figure(
            "Given up in 24 h",
            "–" if dead.value is None else words.count(dead.value),
            "Dead letters as of the last check",
            dead.state or "no_data",
        ),
        Figure(
            "Delivered after all",
            words.percent(recovery.value),
            "of the failed events of 7 days",
            "no_data" if recovery.value is None else "ok",
        ),
    ]
