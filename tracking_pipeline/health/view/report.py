"""What the health report says: how tracking stands, what is wrong, what to do, and what it was.

    on record (report_data.py) -> HealthReport (here) -> report_pages.py

The report tells the last check and the history before it, as they are on record. It reads nothing
anew but the leads' places, so it costs little, changes nothing, and never says anything else than
the alerts do. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from tracking_pipeline.health.emq.keys import ADDRESS_KEYS, KEY_WORDS
from tracking_pipeline.health.formatting import capital, count_of, duration, percent, score_text
from tracking_pipeline.health.metrics import metric_of
from tracking_pipeline.health.view.accounting import ArrivalsView, arrivals_view
from tracking_pipeline.health.view.alerts import AlertView, open_alerts
from tracking_pipeline.health.view.calibration_note import CalibrationNote, calibration_note
from tracking_pipeline.health.view.charts import charts_of
from tracking_pipeline.health.view.platforms import PlatformLine, platform_lines
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.rows import (
    EventNameLine,
    KeyLine,
    MetricLine,
    ReasonLine,
    RecoveryLine,
    WithheldLine,
    event_lines,
    key_lines,
    metric_lines,
    reason_lines,
    recovery_lines,
    withheld_lines,
)
from tracking_pipeline.health.view.svg import Chart

ReportStatus = Literal["healthy", "warning", "critical", "unknown"]

# Less is within what a week moves by itself.
_LEAST_GAIN = 0.2


@dataclass(frozen=True, slots=True)
class ThenAndNow:
    """One thing that the pipeline is for: how it would be without it, and how it is."""

    label: str
    then: str
    then_note: str
    now: str
    now_note: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole report. ``checked_at`` None: no check has run yet."""

    made_at: datetime
    checked_at: datetime | None
    database: str
    rehearsal: bool
    status: ReportStatus
    headline: str
    problems: Sequence[AlertView]
    advice: Sequence[str]
    metrics: Sequence[MetricLine]
    match_keys: Sequence[KeyLine]
    platforms: Sequence[PlatformLine]
    event_names: Sequence[EventNameLine]
    dead_letters: Sequence[ReasonLine]
    withheld: Sequence[WithheldLine]
    recovery: Sequence[RecoveryLine]
    then_and_now: Sequence[ThenAndNow]
    calibration: CalibrationNote
    charts: Sequence[Chart]
    arrivals: ArrivalsView | None = None


def make_report(data: ReportData) -> HealthReport:
    """The report on what is on record."""
    calibration = calibration_note(data.reported, data.config, asks_meta=data.asks_meta)
    metrics = metric_lines(data, calibration)
    problems = open_alerts(data.summary.alerts, data.now)
    status = _status(data, problems, metrics)
    keys, recovery = key_lines(data), recovery_lines(data)
    return HealthReport(
        made_at=data.now,
        checked_at=data.summary.checked_at,
        database=data.database,
        rehearsal=data.rehearsal,
        status=status,
        headline=_headline(data, status, problems, metrics),
        problems=problems,
        advice=_advice(data),
        metrics=metrics,
        match_keys=keys,
        platforms=platform_lines(data.summary, data.config),
        event_names=event_lines(data, calibration),
        dead_letters=reason_lines(data),
        withheld=withheld_lines(data.summary),
        recovery=recovery,
        then_and_now=_then_and_now(data, recovery, keys),
        calibration=calibration,
        charts=charts_of(data),
        arrivals=arrivals_view(data.accounting, data.config.thresholds["delivery_rate"])
        if data.accounting and data.accounting.destinations
        else None,
    )


def _status(
    data: ReportData, problems: Sequence[AlertView], metrics: Sequence[MetricLine]
) -> ReportStatus:
    """The worst of the open alerts and of the last check. What was not checked lately is not
    healthy."""
    levels = {problem.severity for problem in problems} | {line.level for line in metrics}
    if "critical" in levels:
        return "critical"
    if data.summary.checked_at is None:
        return "unknown"
    return "warning" if "warning" in levels else "healthy"


def _headline(
    data: ReportData,
    status: ReportStatus,
    problems: Sequence[AlertView],
    metrics: Sequence[MetricLine],
) -> str:
    if data.summary.checked_at is None:
        return "No health check has run yet, so nobody knows how tracking stands."
    if status == "healthy":
        return "Tracking is healthy: no alert is open and no metric is beyond a threshold."
    told = {spec.name for each in problems if (spec := metric_of(each.alert_type))}
    bad = [line.label for line in metrics if line.is_bad and line.metric not in told]
    parts = []
    if problems:
        critical = sum(problem.severity == "critical" for problem in problems)
        parts.append(
            f"{count_of(len(problems), 'alert')} open"
            + (f", {critical} of them critical" if critical else "")
        )
    if bad:
        parts.append(f"beyond a threshold without an alert yet: {', '.join(bad)}")
    sentence = "; ".join(parts)
    return f"{capital(sentence)}."


def _advice(data: ReportData) -> list[str]:
    """What would help and is no alert."""
    advice = []
    if data.summary.checked_at is None:
        advice.append(
            "Launch check_tracking_health_job, or run `tracking-pipeline check`: the schedule "
            "check_tracking_health_schedule does it every 15 minutes while it is on."
        )
    elif data.summary.heartbeat.is_stalled:
        advice.append(
            "These numbers are old. Check that the Dagster daemon runs and that "
            "check_tracking_health_schedule is on."
        )
    advice += [f"{each.words}." for each in data.summary.silent_channels]
    emq = data.summary.detail("emq_score")
    key, gain = emq.get("next_best_key"), emq.get("next_best_gain") or 0.0
    if key in KEY_WORDS and gain >= _LEAST_GAIN:
        advice.append(
            f"Send {KEY_WORDS[key]} ({key}) with every event: it would raise the EMQ score by "
            f"about {gain:.1f}, more than any other match key."
        )
    letters = data.summary.detail("queue_depth").get("dead_letters") or 0
    if letters:
        advice.append(
            f"Look at {count_of(letters, 'dead letter')} with `tracking-pipeline replay --dry-run`:"
            " when its cause is fixed, a dead letter can be sent again."
        )
    waiting = data.geo.waiting_for_hours
    if waiting:
        advice.append(
            f"{count_of(waiting, 'lead')} of the last days still without a location after an hour: "
            "see the checks of the asset geo_coverage."
        )
    return advice


def _then_and_now(
    data: ReportData, recovery: Sequence[RecoveryLine], keys: Sequence[KeyLine]
) -> list[ThenAndNow]:
    """Recovery, places, address keys, the score, and how fast a breach becomes an alert."""
    return [
        _recovery(data, recovery),
        *_places(data),
        *_address_keys(data, keys),
        _score(data),
        _time_to_alert(data),
    ]


def _recovery(data: ReportData, lines: Sequence[RecoveryLine]) -> ThenAndNow:
    failed = sum(line.failed for line in lines)
    by_hand = sum(line.by_hand for line in lines)
    nothing = "no event failed" if data.summary.check else "no check yet"
    return ThenAndNow(
        "Failed events delivered after all",
        percent(100.0 * by_hand / failed if failed else None),
        "those that a human resolved",
        percent(data.summary.value("recovery_rate") if failed else None),
        f"of {count_of(failed, 'failed event')} in 7 days" if failed else nothing,
    )


def _places(data: ReportData) -> list[ThenAndNow]:
    geo = data.geo
    return [
        ThenAndNow(
            f"Leads with a {part}",
            percent(before),
            "as people gave it",
            percent(now),
            f"of {count_of(geo.leads, 'lead')} in 7 days",
        )
        for part, before, now in (
            ("city", geo.before_city_percent, geo.with_city_percent),
            ("state", geo.before_state_percent, geo.with_state_percent),
            ("zip", geo.before_zip_percent, geo.with_zip_percent),
        )
    ]


def _address_keys(data: ReportData, lines: Sequence[KeyLine]) -> list[ThenAndNow]:
    window = count_of(data.config.emq_window_days, "day")
    line_of = {line.key: line for line in lines}
    return [
        ThenAndNow(
            f"Events with {line.label} ({line.key})",
            percent(line.coverage_percent - line.from_ip_percent),
            "without looked-up locations",
            percent(line.coverage_percent),
            f"of the conversions in {window}",
        )
        for line in (line_of[key] for key in ADDRESS_KEYS if key in line_of)
    ]


def _score(data: ReportData) -> ThenAndNow:
    detail = data.summary.detail("emq_score")
    return ThenAndNow(
        "EMQ score (estimate)",
        score_text(detail.get("without_ip_address_keys")),
        "without looked-up locations",
        score_text(data.summary.value("emq_score")),
        "of 10",
    )


def _time_to_alert(data: ReportData) -> ThenAndNow:
    seconds = data.breach_to_alert_seconds
    told = "nobody was told"
    if not seconds:
        known = any(each.alert_type == "failed_events_critical" for each in data.alerts)
        typical = "not known" if known else "no data"
        note = "the events that made it are old or gone" if known else "no queue alert lately"
        return ThenAndNow("From breach to alert", told, "", typical, note)
    typical = duration(timedelta(seconds=median(seconds)))
    note = f"median of {count_of(len(seconds), 'alert')} on the queue"
    return ThenAndNow("From breach to alert", told, "", typical, note)
