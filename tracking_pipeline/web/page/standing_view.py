"""How tracking stands as a whole, in words: the status, and the numbers beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracking_pipeline.health.alerts.heartbeat import Heartbeat
from tracking_pipeline.health.metrics import MetricSpec, figures
from tracking_pipeline.health.view.summary import SystemState, levels_of, system_status
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


def status_view(reading: PageReading) -> StatusView:
    """The status, from the last check and the alerts that are open. Checks that have stopped make
    it degraded at least: a stale "healthy" result must not be shown as healthy."""
    known = system_status(reading.alerts, levels_of(reading.check))
    level, reason = known.status, known.sentence
    if reading.check is None:
        return StatusView(level, _TITLES[level], reason, None)
    heartbeat = Heartbeat((reading.now - reading.check.taken_at).total_seconds())
    if heartbeat.is_stalled and "pipeline_stalled" not in known.reason:
        stalled = "Health checks have stopped: is the Dagster daemon running?"
        reason = stalled if level == "healthy" else f"{reason} {stalled}"
        level = "degraded" if level == "healthy" else level
    return StatusView(level, _TITLES[level], reason, moment(reading.check.taken_at, reading.now))


def figures_view(reading: PageReading) -> list[Figure]:
    """The numbers that tell at a glance how things stand, as of the last check; how much waits is
    as of now."""
    whole = reading.check.whole if reading.check else {}
    return [_figure(reading, spec, whole.get(spec.name)) for spec in figures()]


def _figure(reading: PageReading, spec: MetricSpec, found: Snapshot | None) -> Figure:
    value, level = (found.value, found.state) if found else (None, None)
    note = _note(spec.name, (found.detail if found else None) or {})
    if spec.name == "queue_depth":
        queues = [each.waiting for each in reading.destinations.values()]
        value, due = sum(each.waiting for each in queues), sum(each.due for each in queues)
        level = level if value else "ok"
        note = f"{words.count(due)} due now" if value else "The queue is empty"
    return Figure(
        spec.title, "–" if value is None else spec.written(value), note, level or "no_data"
    )


def _note(metric: str, detail: Mapping[str, Any]) -> str:
    if metric == "error_rate":
        if not detail.get("events"):
            return "No events in the window"
        return f"of {words.events(detail['events'])} in {detail['window_hours']} h"
    return {
        "emq_score": "of 10",
        "geo_coverage": "with city, state and zip, of 7 days",
        "dead_letters": "in 24 h, as of the last check",
        "recovery_rate": "of the failed events of 7 days",
    }.get(metric, "As of the last check")
