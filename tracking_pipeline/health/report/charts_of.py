"""The charts of the health report, from the history on record. Pure.

A check writes a point every quarter of an hour and more often around a breach. Points are put
together so that a chart has at most some 170 of them: the mean of a score or a rate, the highest of
a queue, whose peaks are what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import pandas as pd

from tracking_pipeline.health.emq.keys import KEY_WORDS
from tracking_pipeline.health.emq.score import HIGHEST_SCORE
from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.metrics import Metric
from tracking_pipeline.health.report.alert_chart import alert_chart
from tracking_pipeline.health.report.charts import Chart, Limit, Line, Table
from tracking_pipeline.health.report.evidence import Evidence
from tracking_pipeline.store.health_history import REPORTED_METRIC

_MOST_POINTS = 170
_BINS = ("15min", "30min", "1h", "2h", "3h", "6h")
_TABLE_ROWS = 12
# A line is broken where points are this many times farther apart than usual.
_GAP = 4
# What a chart of a dozen keys would hide: those that weigh most, and one for looked-up places.
_CHARTED_KEYS = ("em", "ph", "fbp", "fbc", "external_id", "zp")

_How = Literal["mean", "max"]


def charts_of(evidence: Evidence) -> list[Chart]:
    """Score, coverage, queue, errors, places and alerts over time."""
    history = pd.DataFrame(
        {
            "metric": [each.metric for each in evidence.history],
            "dimension": [each.dimension or "" for each in evidence.history],
            "value": pd.array([each.value for each in evidence.history], dtype="Float64"),
        },
        index=pd.DatetimeIndex([each.taken_at for each in evidence.history], tz="UTC"),
    )
    begins = _begin(evidence, history)
    return [
        _score_chart(evidence, history, begins),
        _coverage_chart(evidence, history, begins),
        _parts_chart(
            evidence,
            history,
            begins,
            metric="queue_depth",
            title="Failed events waiting",
            unit="events",
            how="max",
        ),
        _parts_chart(
            evidence,
            history,
            begins,
            metric="error_rate",
            title="Error rate",
            unit="%",
            how="mean",
        ),
        _places_chart(evidence, history, begins),
        alert_chart(evidence, begins),
    ]


def _begin(evidence: Evidence, history: pd.DataFrame) -> datetime:
    """Two weeks ago, or where the history of a young installation begins."""
    starts = [each.created_at for each in evidence.episodes]
    if len(history):
        starts.append(history.index.min().to_pydatetime())
    first = min(starts, default=evidence.history_begins)
    return max(min(first, evidence.now - timedelta(hours=1)), evidence.history_begins)


def _score_chart(evidence: Evidence, history: pd.DataFrame, begins: datetime) -> Chart:
    frame = _by_dimension(history, "emq_score")[[""]].rename(columns={"": "our estimate"})
    lines = _lines(frame, evidence, begins, "mean", main="our estimate")
    reported = _by_dimension(history, REPORTED_METRIC).drop(columns="", errors="ignore")
    lines += [
        Line(f"Meta: {name}", _points(reported[name].resample("1D").mean()))
        for name in list(reported.columns)[:3]
    ]
    return _line_chart(
        evidence,
        lines,
        begins,
        name="emq_score",
        metric="emq_score",
        title="EMQ score",
        unit="of 10",
        highest=HIGHEST_SCORE,
        decimals=1,
    )


def _coverage_chart(evidence: Evidence, history: pd.DataFrame, begins: datetime) -> Chart:
    frame = _by_dimension(history, "emq_coverage")
    keys = [key for key in _CHARTED_KEYS if key in frame.columns]
    names = {key: KEY_WORDS[key] for key in keys}
    lines = _lines(frame[keys].rename(columns=names), evidence, begins, "mean", main="")
    return _line_chart(
        evidence,
        lines,
        begins,
        name="emq_coverage",
        title="Match keys",
        unit="% of events",
        highest=100.0,
    )


def _places_chart(evidence: Evidence, history: pd.DataFrame, begins: datetime) -> Chart:
    frame = _by_dimension(history, "geo_coverage").drop(columns="")
    said = _by_dimension(history, "geo_coverage_before").drop(columns="")
    frame = frame.join(said[said.columns[:1]].add_suffix(" as people gave it"), how="outer")
    lines = _lines(frame, evidence, begins, "mean", main="")
    return _line_chart(
        evidence,
        lines,
        begins,
        name="geo_coverage",
        title="Leads with a place",
        unit="% of the leads of 7 days",
        highest=100.0,
    )


def _parts_chart(
    evidence: Evidence,
    history: pd.DataFrame,
    begins: datetime,
    *,
    metric: Metric,
    title: str,
    unit: str,
    how: _How,
) -> Chart:
    frame = _by_dimension(history, metric)
    used = [name for name in frame.columns if name == "" or frame[name].max() > 0]
    lines = _lines(frame[used].rename(columns={"": "all"}), evidence, begins, how, main="all")
    if len(lines) == 2:  # one destination is all there is
        lines = lines[:1]
    decimals = 0 if how == "max" else 1
    return _line_chart(
        evidence,
        lines,
        begins,
        name=metric,
        title=title,
        unit=unit,
        metric=metric,
        decimals=decimals,
    )


def _by_dimension(history: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The points of one metric, a column a dimension; the metric as a whole is the column ''."""
    rows = history[history["metric"] == metric]
    frame: pd.DataFrame = rows.pivot_table(
        index=rows.index, columns="dimension", values="value", aggfunc="mean", dropna=False
    )
    if "" not in frame.columns:
        frame[""] = pd.Series(dtype="Float64")
    return frame


def _lines(
    frame: pd.DataFrame, evidence: Evidence, begins: datetime, how: _How, *, main: str
) -> list[Line]:
    bins = _bin(evidence.now - begins)
    lines = []
    for label in frame.columns:
        binned = frame[label].dropna().astype("float64").resample(bins)
        points = _points(binned.max() if how == "max" else binned.mean())
        if points:
            lines.append(Line(str(label), points, main=label == main))
    return sorted(lines, key=lambda line: not line.main)


def _bin(span: timedelta) -> str:
    """The smallest stretch of time of which not too many make up the span."""
    fitting = (bins for bins in _BINS if span / pd.Timedelta(bins).to_pytimedelta() <= _MOST_POINTS)
    return next(fitting, _BINS[-1])


def _points(binned: pd.Series[float]) -> list[tuple[datetime, float | None]]:
    """The points of a line, with a gap where nothing was measured for unusually long."""
    there = binned.dropna()
    moments = [each.to_pydatetime() for each in pd.DatetimeIndex(there.index)]
    steps = [later - sooner for sooner, later in pairwise(moments)]
    longest = sorted(steps)[len(steps) // 2] * _GAP if steps else timedelta.max
    points: list[tuple[datetime, float | None]] = []
    for when, value in zip(moments, there.tolist(), strict=True):
        if points and when - points[-1][0] > longest:
            points.append((points[-1][0] + (when - points[-1][0]) / 2, None))
        points.append((when, float(value)))
    return points


def _line_chart(
    evidence: Evidence,
    lines: Sequence[Line],
    begins: datetime,
    *,
    name: str,
    title: str,
    unit: str,
    metric: Metric | None = None,
    highest: float | None = None,
    decimals: int = 0,
) -> Chart:
    def written(value: float) -> str:
        return f"{value:,.{decimals}f}"

    limits = _limits(evidence, metric)
    told = [_told(line, written) for line in lines[:6]]
    crossed = ", ".join(f"{limit.severity} at {written(limit.value)}" for limit in limits)
    summary = (
        f"{title} ({unit}), {moment(begins)} to {moment(evidence.now)}. {' '.join(told)}"
        + (f" Thresholds: {crossed}." if crossed else "")
        if lines
        else "Nothing to draw yet: no check on record has measured it."
    )
    return Chart(
        name=name,
        title=title,
        unit=unit,
        summary=summary,
        begins=begins,
        ends=evidence.now,
        lines=lines,
        limits=limits,
        highest=highest,
        table=_table(lines, written),
    )


def _limits(evidence: Evidence, metric: Metric | None) -> list[Limit]:
    if metric is None:
        return []
    thresholds = evidence.config.thresholds[metric]
    found = [("warning", thresholds.warning), ("critical", thresholds.critical)]
    return [Limit(severity, value) for severity, value in found if value is not None]  # type: ignore[arg-type]


def _told(line: Line, written: Callable[[float], str]) -> str:
    values = [value for _, value in line.points if value is not None]
    return (
        f"{line.label[:1].upper()}{line.label[1:]}: {written(values[0])} at first, "
        f"{written(values[-1])} at last, from {written(min(values))} to {written(max(values))}."
    )


def _table(lines: Sequence[Line], written: Callable[[float], str]) -> Table:
    """Some points of every line, evenly spread and with the last one."""
    moments = sorted({when for line in lines for when, value in line.points if value is not None})
    step = -(-len(moments) // _TABLE_ROWS) or 1
    chosen = moments[::-1][::step][::-1]
    columns: list[Mapping[datetime, float | None]] = [dict(line.points) for line in lines]
    rows = [
        (moment(when), *(_cell(column.get(when), written) for column in columns)) for when in chosen
    ]
    return Table(("time", *(line.label for line in lines)), rows)


def _cell(value: float | None, written: Callable[[float], str]) -> str:
    return "" if value is None else written(value)
