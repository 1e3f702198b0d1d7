"""The tables of the health report, their numbers written out for a reader. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tracking_pipeline.health import formatting
from tracking_pipeline.health.emq.keys import BIT_OF, KEY_WORDS, KEYS, without_keys_from_ip
from tracking_pipeline.health.emq.score import score as emq_score
from tracking_pipeline.health.formatting import count_of, duration, score_text, signed
from tracking_pipeline.health.metrics import Level, Measured, Metric, MetricSpec, alert_specs
from tracking_pipeline.health.readings.queue import RECOVERY_AGES
from tracking_pipeline.health.thresholds import Thresholds, evaluate
from tracking_pipeline.health.view.calibration_note import CalibrationNote
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.summary import HealthSummary
from tracking_pipeline.store.match_key_rollup import Counts


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One metric beside its thresholds. ``warning`` and ``critical`` are empty where there is no
    such threshold."""

    metric: Metric
    label: str
    value: str
    level: Level
    warning: str
    critical: str
    note: str = ""

    @property
    def is_bad(self) -> bool:
        return self.level in ("warning", "critical")


def metric_lines(data: ReportData, calibration: CalibrationNote) -> list[MetricLine]:
    """Every metric of the last check that has an alert, and the checks that did not come since.
    Empty where there was no check."""
    if data.summary.check is None:
        return []
    notes = {
        "emq_score": _emq_note(data, calibration),
        "queue_depth": _queue_note(data),
        "error_rate": _error_note(data.summary.detail("error_rate")),
        "dead_letters": f"within {data.summary.detail('dead_letters').get('hours', 24)} h",
        "paused_destinations": ", ".join(sorted(data.summary.detail("paused_destinations"))),
        "geo_providers_down": ", ".join(sorted(data.summary.detail("geo_providers_down"))),
        "missed_checks": "in a row, until this report was made",
    }
    return [_metric_line(data, spec, notes.get(spec.name, "")) for spec, _ in alert_specs()]


def _metric_line(data: ReportData, spec: MetricSpec, note: str) -> MetricLine:
    thresholds = data.config.thresholds[spec.name]
    found = data.summary.snapshot(spec.name)
    value = found.value if found else None
    level: Level = (found.state if found else None) or "no_data"  # type: ignore[assignment]
    if spec.name == "missed_checks":
        value = float(data.summary.heartbeat.missed_checks)
        level = evaluate(thresholds, Measured(value)).level
    return MetricLine(
        metric=spec.name,
        label=spec.title,
        value="no data" if value is None else spec.written(value),
        level=level,
        warning=_threshold(thresholds, thresholds.warning, spec),
        critical=_threshold(thresholds, thresholds.critical, spec),
        note=note,
    )


def _threshold(thresholds: Thresholds, value: float | None, spec: MetricSpec) -> str:
    return "" if value is None else f"{thresholds.direction} {spec.written(value)}"


def _emq_note(data: ReportData, calibration: CalibrationNote) -> str:
    detail = data.summary.detail("emq_score")
    notes = [calibration.label]
    if "events" in detail:
        days = detail.get("window_days", data.config.emq_window_days)
        notes.append(f"{count_of(detail['events'], 'event')} in {count_of(days, 'day')}")
    if detail.get("trend") is not None:
        notes.append(f"{signed(detail['trend'], 1)} against the equal time before")
    return "; ".join(notes)


def _queue_note(data: ReportData) -> str:
    detail = data.summary.detail("queue_depth")
    notes = [f"{detail['due']:,} due"] if "due" in detail else []
    age = detail.get("oldest_age_seconds")
    if age is not None:
        notes.append(f"the oldest {duration(timedelta(seconds=age))} old")
    growth = detail.get("growth_per_hour")
    if growth is not None and round(growth):
        notes.append(f"{signed(growth, 0)} an hour")
    return "; ".join([*notes, *_by_name(data.summary.parts("queue_depth"))])


def _error_note(detail: Mapping[str, Any]) -> str:
    if "events" not in detail:
        return ""
    counted = f"{detail['failed']:,} of {count_of(detail['events'], 'event')}"
    within = f"in {detail.get('window_hours', 24)} h"
    return "; ".join([f"{counted} {within}", *_by_name(detail.get("failed_by_destination") or {})])


def _by_name(values: Mapping[str, float | None]) -> list[str]:
    named = [f"{name} {value:,.0f}" for name, value in values.items() if value]
    return [", ".join(named)] if named else []


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One match key: with how many of the events it came, how many of them have it from an IP
    address alone, and what the score would gain if it came with all."""

    key: str
    label: str
    coverage_percent: float
    from_ip_percent: float
    gain: float | None


def key_lines(data: ReportData) -> list[KeyLine]:
    """The match keys of the window's events, those that would raise the score most first."""
    counts = _totals(data.counts)
    events = sum(counts.values())
    if not events:
        return []
    read = emq_score({"": counts}, data.config.emq_model, data.config.emq_weights)
    shares = {key: _shares(counts, key) for key in KEYS}
    lines = [
        KeyLine(key, KEY_WORDS[key], now, now - before, read.gain_by_key.get(key))
        for key, (before, now) in shares.items()
    ]
    # A login that few sites have is worth a line only where it is used.
    shown = (line for line in lines if line.coverage_percent or line.key != "fb_login_id")
    return sorted(shown, key=lambda line: -(line.gain or 0.0))


def _totals(counts: Counts) -> dict[int, int]:
    totals: dict[int, int] = {}
    for of_name in counts.values():
        for mask, events in of_name.items():
            totals[mask] = totals.get(mask, 0) + events
    return totals


def _shares(counts: Mapping[int, int], key: str) -> tuple[float, float]:
    """The share of events with the key, in percent: without looked-up places, and with them."""
    events, bit = sum(counts.values()), BIT_OF[key]
    said = sum(n for mask, n in counts.items() if without_keys_from_ip(mask) & bit)
    there = sum(n for mask, n in counts.items() if mask & bit)
    return 100.0 * said / events, 100.0 * there / events


@dataclass(frozen=True, slots=True)
class EventNameLine:
    """The scores of one event name: ours, and Meta's own where it was read; ``calibrated`` is what
    the fit would make of ours."""

    name: str
    events: int
    estimate: str
    reported: str
    calibrated: str


def event_lines(data: ReportData, calibration: CalibrationNote) -> list[EventNameLine]:
    """The event names of the last check, the most frequent first."""
    events: Mapping[str, int] = data.summary.detail("emq_score").get("events_by_name") or {}
    lines = []
    for name, estimate in data.summary.parts("emq_score").items():
        latest = calibration.latest.get(name)
        calibrated = ""
        if latest and calibration.calibration and calibration.calibration.mean_absolute_error:
            fit = calibration.calibration.estimate(name, latest.ledger_coverage_percent)
            calibrated = score_text(fit)
        reported = score_text(latest.score) if latest else ""
        lines.append(
            EventNameLine(name, events.get(name, 0), score_text(estimate), reported, calibrated)
        )
    return sorted(lines, key=lambda line: (-line.events, line.name))


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """So many dead letters to one destination for one reason, in words."""

    destination: str
    reason: str
    events: int


def reason_lines(data: ReportData) -> list[ReasonLine]:
    """All dead letters by destination and reason, the most first."""
    batches = data.summary.detail("queue_depth").get("dead_letters_by_reason") or ()
    return [
        ReasonLine(
            formatting.destination_title(each["destination"]),
            formatting.reason_text(each["reason"]),
            each["events"],
        )
        for each in batches
    ]


@dataclass(frozen=True, slots=True)
class WithheldLine:
    """So many events to one destination were withheld for one reason, within 24 hours and within
    7 days, in words."""

    destination: str
    reason: str
    last_day: int
    last_week: int


def withheld_lines(summary: HealthSummary) -> list[WithheldLine]:
    """What was withheld as of the last check, by destination and reason, the most first."""
    return [
        WithheldLine(
            formatting.destination_title(each["destination"]),
            formatting.reason_text(each["reason"]),
            each["last_day"],
            each["last_week"],
        )
        for each in summary.detail("withheld").get("by_reason") or ()
    ]


@dataclass(frozen=True, slots=True)
class RecoveryLine:
    """What became of the failed events of one age; ``by_hand`` of the ``resolved`` took a human."""

    age: str
    failed: int
    resolved: int
    by_hand: int
    dead_letters: int


def recovery_lines(data: ReportData) -> list[RecoveryLine]:
    """Failed events by age, the youngest first; ages without any are left out."""
    ages: Mapping[str, Mapping[str, int]] = data.summary.detail("recovery_rate")
    # JSON of the database keeps its keys in an order of its own.
    found = [(age, ages[age]) for age, _ in RECOVERY_AGES if age in ages]
    return [
        RecoveryLine(
            age, counted["failed"], counted["resolved"], counted["by_hand"], counted["dead_letters"]
        )
        for age, counted in found
        if counted["failed"]
    ]
