"""What the health report says: how tracking stands, what is wrong, what to do, and what it was.

    on record (evidence.py) -> HealthReport (here) -> markdown.py, html.py

The report tells the last check and the history before it, as they are on record. It reads nothing
anew but the leads' places, so it costs little, changes nothing, and never says anything else than
the alerts do. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tracking_pipeline.health.alerts.heartbeat import Heartbeat
from tracking_pipeline.health.alerts.messages import what_and_next_step
from tracking_pipeline.health.emq.keys import KEY_WORDS
from tracking_pipeline.health.formatting import count_of, duration
from tracking_pipeline.health.metrics import metric_of
from tracking_pipeline.health.report.calibration_note import CalibrationNote, calibration_note
from tracking_pipeline.health.report.charts import Chart
from tracking_pipeline.health.report.charts_of import charts_of
from tracking_pipeline.health.report.evidence import Evidence
from tracking_pipeline.health.report.tables import (
    EventLine,
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
from tracking_pipeline.health.report.then_and_now import ThenAndNow, then_and_now
from tracking_pipeline.store.alerts import Alert

ReportStatus = Literal["healthy", "warning", "critical", "unknown"]

# Less is within what a week moves by itself.
_LEAST_GAIN = 0.2


@dataclass(frozen=True, slots=True)
class Problem:
    """An open alert: ``what`` is wrong, and the ``next_step``. ``note``: what an operator has done
    about it so far."""

    alert_type: str
    severity: str
    since: datetime
    what: str
    next_step: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole report. ``checked_at`` None: no check has run yet."""

    made_at: datetime
    checked_at: datetime | None
    database: str
    rehearsal: bool
    status: ReportStatus
    headline: str
    problems: Sequence[Problem]
    advice: Sequence[str]
    metrics: Sequence[MetricLine]
    match_keys: Sequence[KeyLine]
    event_names: Sequence[EventLine]
    dead_letters: Sequence[ReasonLine]
    withheld: Sequence[WithheldLine]
    recovery: Sequence[RecoveryLine]
    then_and_now: Sequence[ThenAndNow]
    calibration: CalibrationNote
    charts: Sequence[Chart]


def make_report(evidence: Evidence) -> HealthReport:
    """The report on what is on record."""
    calibration = calibration_note(evidence.reported, evidence.config, asks_meta=evidence.asks_meta)
    metrics = metric_lines(evidence, calibration)
    problems = [_problem(each, evidence.now) for each in evidence.open_episodes]
    status = _status(evidence, problems, metrics)
    keys, recovery = key_lines(evidence), recovery_lines(evidence)
    return HealthReport(
        made_at=evidence.now,
        checked_at=evidence.checked_at,
        database=evidence.database,
        rehearsal=evidence.rehearsal,
        status=status,
        headline=_headline(evidence, status, problems, metrics),
        problems=problems,
        advice=_advice(evidence),
        metrics=metrics,
        match_keys=keys,
        event_names=event_lines(evidence, calibration),
        dead_letters=reason_lines(evidence),
        withheld=withheld_lines(evidence),
        recovery=recovery,
        then_and_now=then_and_now(evidence, recovery, keys),
        calibration=calibration,
        charts=charts_of(evidence),
    )


def _problem(episode: Alert, now: datetime) -> Problem:
    what, next_step = what_and_next_step(episode.alert_type, episode.message)
    notes = []
    if episode.acknowledged_at is not None:
        notes.append("acknowledged: somebody is on it")
    if episode.silenced_until is not None and episode.silenced_until > now:
        notes.append(f"silenced for {duration(episode.silenced_until - now)} more")
    return Problem(
        alert_type=episode.alert_type,
        severity=episode.severity,
        since=episode.created_at,
        what=what or f"{episode.alert_type}: no message on record.",
        next_step=next_step,
        note="; ".join(notes),
    )


def _status(
    evidence: Evidence, problems: Sequence[Problem], metrics: Sequence[MetricLine]
) -> ReportStatus:
    """The worst of the open alerts and of the last check. What was not checked lately is not
    healthy."""
    levels = {problem.severity for problem in problems} | {line.level for line in metrics}
    if "critical" in levels:
        return "critical"
    if evidence.checked_at is None:
        return "unknown"
    return "warning" if "warning" in levels else "healthy"


def _headline(
    evidence: Evidence,
    status: ReportStatus,
    problems: Sequence[Problem],
    metrics: Sequence[MetricLine],
) -> str:
    if evidence.checked_at is None:
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
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _advice(evidence: Evidence) -> list[str]:
    """What would help and is no alert."""
    advice = []
    if evidence.checked_at is None:
        advice.append(
            "Launch check_tracking_health_job, or run `tracking-pipeline check`: the schedule "
            "check_tracking_health_schedule does it every 15 minutes while it is on."
        )
    elif Heartbeat(evidence.seconds_since_check).is_stalled:
        advice.append(
            "These numbers are old. Check that the Dagster daemon runs and that "
            "check_tracking_health_schedule is on."
        )
    emq = evidence.detail("emq_score")
    key, gain = emq.get("next_best_key"), emq.get("next_best_gain") or 0.0
    if key in KEY_WORDS and gain >= _LEAST_GAIN:
        advice.append(
            f"Send {KEY_WORDS[key]} ({key}) with every event: it would raise the EMQ score by "
            f"about {gain:.1f}, more than any other match key."
        )
    letters = evidence.detail("queue_depth").get("dead_letters") or 0
    if letters:
        advice.append(
            f"Look at {count_of(letters, 'dead letter')} with `tracking-pipeline replay --dry-run`:"
            " once its cause is mended, a dead letter can be sent again."
        )
    waiting = evidence.geo.waiting_for_hours
    if waiting:
        advice.append(
            f"{count_of(waiting, 'lead')} of the last days still without a place after an hour: "
            "see the checks of the asset geo_coverage."
        )
    return advice
