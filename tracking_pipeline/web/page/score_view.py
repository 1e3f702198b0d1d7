"""The match quality in words and shapes: the gauge, the keys, and the last month. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.keys import KEY_WORDS, KEYS
from tracking_pipeline.health.emq.score import HIGHEST_SCORE
from tracking_pipeline.health.formatting import capital, count_of, percent, signed
from tracking_pipeline.health.metrics import Severity
from tracking_pipeline.health.view.platforms import PlatformLine, platform_lines
from tracking_pipeline.health.view.summary import HealthSummary
from tracking_pipeline.health.view.svg import Chart, ChartLine, Limit
from tracking_pipeline.store.health_snapshots import Point, Snapshot
from tracking_pipeline.web.page.reading import COURSE_DAYS, COURSE_STEP_HOURS

# Over a night without a check the course goes on; over two days it is broken.
_LONGEST_GAP = timedelta(hours=4 * COURSE_STEP_HOURS)
_LEAST_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class KeyView:
    """How many events carry one match key."""

    key: str
    name: str
    share: str
    percent: float


@dataclass(frozen=True, slots=True)
class NameView:
    """The score of the events of one name."""

    name: str
    score: str
    events: str


@dataclass(frozen=True, slots=True)
class ScoreView:
    """``value`` None: there is no score yet. ``summary`` is what the gauge shows, in words."""

    value: float | None
    shown: str
    level: str
    summary: str
    trend: str
    advice: str
    warning: float | None
    critical: float | None
    keys: Sequence[KeyView]
    names: Sequence[NameView]
    platforms: Sequence[PlatformLine]
    course: Chart | None


def score_view(summary: HealthSummary, course: Sequence[Point], config: HealthConfig) -> ScoreView:
    """The score of the last check and its course."""
    rows = summary.check.snapshots if summary.check else []
    score = summary.snapshot("emq_score") or Snapshot("emq_score", None, None)
    detail = score.detail or {}
    shown = "–" if score.value is None else f"{score.value:.1f}"
    return ScoreView(
        value=score.value,
        shown=shown,
        level=score.state or "no_data",
        summary=_summary(shown, score, detail.get("window_days")),
        trend=_trend(detail.get("trend"), detail.get("window_days")),
        advice=_advice(detail.get("next_best_key"), detail.get("next_best_gain") or 0.0),
        warning=score.warning,
        critical=score.critical,
        keys=_keys(rows),
        names=_names(rows, detail.get("events_by_name") or {}),
        platforms=platform_lines(summary, config),
        course=score_course(course, score, summary.now),
    )


def _summary(shown: str, score: Snapshot, window_days: int | None) -> str:
    if score.value is None:
        return "No score yet: it needs conversions in the event ledger and a health check."
    number = (score.detail or {}).get("events") or 0
    counted = count_of(number, "event")
    return f"{shown} of 10, estimated from {counted} of the last {window_days} days."


def _trend(trend: float | None, window_days: int | None) -> str:
    if trend is None:
        return ""
    if abs(trend) < _LEAST_GAIN:
        return f"No change against the {window_days} days before."
    return f"{signed(trend, 1)} against the {window_days} days before."


def _advice(key: str | None, gain: float) -> str:
    if key is None or gain < _LEAST_GAIN:
        return ""
    return f"Sending the {KEY_WORDS[key]} with every event would add about {gain:.1f}."


def _keys(rows: Sequence[Snapshot]) -> list[KeyView]:
    """The match keys of the score, the most frequent first."""
    found = [
        KeyView(
            each.dimension,
            capital(KEY_WORDS[each.dimension]),
            percent(each.value),
            each.value,
        )
        for each in rows
        if each.metric == "emq_coverage" and each.dimension in KEYS and each.value is not None
    ]
    return sorted(found, key=lambda each: -each.percent)


def _names(rows: Sequence[Snapshot], events_by_name: dict[str, int]) -> list[NameView]:
    """The event names, the most frequent first."""
    found = [
        (events_by_name.get(each.dimension, 0), each.dimension, each.value)
        for each in rows
        if each.metric == "emq_score" and each.dimension and each.value is not None
    ]
    ordered = sorted(found, key=lambda each: (-each[0], each[1]))
    return [NameView(name, f"{score:.1f}", f"{n:,}") for n, name, score in ordered]


def score_course(points: Sequence[Point], score: Snapshot, now: datetime) -> Chart | None:
    """The score of the last month over time; None where there is nothing to draw."""
    if not points:
        return None
    since = now - timedelta(days=COURSE_DAYS)
    values = [point.value for point in points]
    limits: dict[Severity, float | None] = {"warning": score.warning, "critical": score.critical}
    return Chart(
        name="course",
        title=f"Last {COURSE_DAYS} days",
        unit="",
        summary=f"Over {COURSE_DAYS} days: lowest {min(values):.1f}, highest {max(values):.1f}.",
        begins=since,
        ends=now,
        lines=[ChartLine("score", _broken(points, since), main=True)],
        limits=[Limit(severity, value) for severity, value in limits.items() if value is not None],
        highest=HIGHEST_SCORE,
    )


def _broken(points: Sequence[Point], since: datetime) -> list[tuple[datetime, float | None]]:
    """The points, with a gap where data is missing for long. A step begins up to its length before
    the window does."""
    drawn: list[tuple[datetime, float | None]] = []
    before: datetime | None = None
    for point in points:
        if before is not None and point.at - before > _LONGEST_GAP:
            drawn.append((before + (point.at - before) / 2, None))
        drawn.append((max(point.at, since), point.value))
        before = point.at
    return drawn
