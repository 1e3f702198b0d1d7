"""The charts of health over time: what they show, from the history on record. Pure.

A check writes a point every quarter of an hour and more often around a breach. Points are put
together so that a chart has at most some 170 of them: the mean of a score or a rate, the highest of
a queue, whose peaks are what matters. How a chart is drawn is in ``svg.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pandas as pd

from tracking_pipeline.health.emq.keys import KEY_WORDS
from tracking_pipeline.health.formatting import count_of, duration, moment
from tracking_pipeline.health.metrics import METRICS, ChartSpec, MetricSpec, Severity
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.svg import Bar, Chart, ChartLine, ChartTable, Limit
from tracking_pipeline.store.alerts import AlertRow
from tracking_pipeline.store.health_history import REPORTED_METRIC

_MOST_POINTS = 170
_BINS = ("15min", "30min", "1h", "2h", "3h", "6h")
_TABLE_ROWS = 12
# A line is broken where points are this many times farther apart than usual.
_GAP = 4
# An alert of a minute in two weeks must still be seen.
_SHORTEST_BAR_SHARE = 0.006
# What a chart of a dozen keys would hide: those that weigh most, and one for looked-up places.
_CHARTED_KEYS = ("em", "ph", "fbp", "fbc", "external_id", "zp")
_MOST_REPORTED = 3


@dataclass(frozen=True)
class _History:
    """The history as a table, and the time that the charts are over."""

    points: pd.DataFrame
    begins: datetime
    ends: datetime

    def by_dimension(self, metric: str) -> pd.DataFrame:
        """The points of one metric, a column a dimension; as a whole it is the column ''."""
        rows = self.points[self.points["metric"] == metric]
        # What pivot_table does, at half the price.
        frame: pd.DataFrame = (
            rows["value"].groupby([rows.index, rows["dimension"]]).mean().unstack()
        )
        if "" not in frame.columns:
            frame[""] = pd.Series(dtype="Float64")
        return frame

    def lines(self, frame: pd.DataFrame, chart: ChartSpec, *, main: str = "") -> list[ChartLine]:
        """A line for each column that has data, the ``main`` one first."""
        bins = _bin(self.ends - self.begins)
        lines = []
        for label in frame.columns:
            binned = frame[label].dropna().astype("float64").resample(bins)
            points = _points(binned.max() if chart.combine == "max" else binned.mean())
            if points:
                lines.append(ChartLine(str(label), points, main=label == main))
        return sorted(lines, key=lambda line: not line.main)


def charts_of(data: ReportData) -> list[Chart]:
    """A chart for each metric that has one, and one of the alerts."""
    points = pd.DataFrame(
        {
            "metric": [each.metric for each in data.history],
            "dimension": [each.dimension or "" for each in data.history],
            "value": pd.array([each.value for each in data.history], dtype="Float64"),
        },
        index=pd.DatetimeIndex([each.taken_at for each in data.history], tz="UTC"),
    )
    history = _History(points, _begin(data, points), data.now)
    lines_of = {
        "emq_score": _score_lines,
        "emq_coverage": _coverage_lines,
        "geo_coverage": _places_lines,
    }
    charts = [
        _line_chart(data, history, spec, lines_of.get(spec.name, _parts_lines)(history, spec))
        for spec in METRICS.values()
        if spec.chart
    ]
    return [*charts, _alert_chart(data, history.begins)]


def _begin(data: ReportData, points: pd.DataFrame) -> datetime:
    """Two weeks ago, or where the history of a young installation begins."""
    starts = [each.created_at for each in data.alerts]
    if len(points):
        starts.append(points.index.min().to_pydatetime())
    first = min(starts, default=data.history_begins)
    return max(min(first, data.now - timedelta(hours=1)), data.history_begins)


def _parts_lines(history: _History, spec: MetricSpec) -> list[ChartLine]:
    """The metric as a whole, and those of its parts that ever had a value."""
    frame = history.by_dimension(spec.name)
    used = [name for name in frame.columns if name == "" or (frame[name] > 0).any()]
    frame = frame[used].rename(columns={"": "all"})
    lines = history.lines(frame, _chart(spec), main="all")
    # One part is all there is.
    return lines[:1] if len(lines) == 2 else lines


def _score_lines(history: _History, spec: MetricSpec) -> list[ChartLine]:
    """Our estimate, and what Meta itself reports."""
    frame = history.by_dimension(spec.name)[[""]].rename(columns={"": "our estimate"})
    lines = history.lines(frame, _chart(spec), main="our estimate")
    reported = history.by_dimension(REPORTED_METRIC).drop(columns="", errors="ignore")
    return lines + [
        ChartLine(f"Meta: {name}", _points(reported[name].resample("1D").mean()))
        for name in list(reported.columns)[:_MOST_REPORTED]
    ]


def _coverage_lines(history: _History, spec: MetricSpec) -> list[ChartLine]:
    frame = history.by_dimension(spec.name)
    names = {key: KEY_WORDS[key] for key in _CHARTED_KEYS if key in frame.columns}
    return history.lines(frame[list(names)].rename(columns=names), _chart(spec))


def _places_lines(history: _History, spec: MetricSpec) -> list[ChartLine]:
    """The parts of places, and one of them as people gave it."""
    frame = history.by_dimension(spec.name).drop(columns="")
    said = history.by_dimension(f"{spec.name}_before").drop(columns="")
    frame = frame.join(said[said.columns[:1]].add_suffix(" as people gave it"), how="outer")
    return history.lines(frame, _chart(spec))


def _chart(spec: MetricSpec) -> ChartSpec:
    if spec.chart is None:
        raise ValueError(f"{spec.name} has no chart")
    return spec.chart


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
    data: ReportData, history: _History, spec: MetricSpec, lines: Sequence[ChartLine]
) -> Chart:
    chart = _chart(spec)

    def written(value: float) -> str:
        return f"{value:,.{spec.decimals}f}"

    limits = _limits(data, spec)
    told = [_told(line, written) for line in lines[:6]]
    crossed = ", ".join(f"{limit.severity} at {written(limit.value)}" for limit in limits)
    summary = (
        f"{chart.title} ({chart.unit}), {moment(history.begins)} to {moment(history.ends)}. "
        f"{' '.join(told)}" + (f" Thresholds: {crossed}." if crossed else "")
        if lines
        else "Nothing to draw yet: no check on record has measured it."
    )
    return Chart(
        name=spec.name,
        title=chart.title,
        unit=chart.unit,
        summary=summary,
        begins=history.begins,
        ends=history.ends,
        lines=lines,
        limits=limits,
        highest=chart.highest,
        table=_table(lines, written),
    )


def _limits(data: ReportData, spec: MetricSpec) -> list[Limit]:
    thresholds = data.config.thresholds.get(spec.name)
    if thresholds is None:
        return []
    limits: dict[Severity, float | None] = {
        "warning": thresholds.warning,
        "critical": thresholds.critical,
    }
    return [Limit(severity, value) for severity, value in limits.items() if value is not None]


def _told(line: ChartLine, written: Callable[[float], str]) -> str:
    values = [value for _, value in line.points if value is not None]
    return (
        f"{line.label[:1].upper()}{line.label[1:]}: {written(values[0])} at first, "
        f"{written(values[-1])} at last, from {written(min(values))} to {written(max(values))}."
    )


def _table(lines: Sequence[ChartLine], written: Callable[[float], str]) -> ChartTable:
    """Some points of every line, evenly spread and with the last one."""
    moments = sorted({when for line in lines for when, value in line.points if value is not None})
    step = -(-len(moments) // _TABLE_ROWS) or 1
    chosen = moments[::-1][::step][::-1]
    columns: list[Mapping[datetime, float | None]] = [dict(line.points) for line in lines]
    rows = [
        (moment(when), *(_cell(column.get(when), written) for column in columns)) for when in chosen
    ]
    return ChartTable(("time", *(line.label for line in lines)), rows)


def _cell(value: float | None, written: Callable[[float], str]) -> str:
    return "" if value is None else written(value)


def _alert_chart(data: ReportData, begins: datetime) -> Chart:
    """The alerts from ``begins`` to now, a row a type, and the newest of them as a table."""
    alerts = sorted(data.alerts, key=lambda each: each.created_at)
    now, shortest = data.now, (data.now - begins) * _SHORTEST_BAR_SHARE
    bars = [_bar(each, begins, now, shortest) for each in alerts]
    still = sum(bar.open for bar in bars)
    summary = (
        f"{count_of(len(bars), 'alert')} from {moment(begins)} to {moment(now)}, {still} still "
        "open."
        if bars
        else "No alert since the first check on record."
        if data.summary.check
        else "Nothing to draw yet: no check has run."
    )
    rows = [
        (
            each.alert_type,
            each.severity,
            moment(each.created_at),
            duration((each.resolved_at or now) - each.created_at),
            "open" if each.resolved_at is None else "over",
        )
        for each in reversed(alerts[-_TABLE_ROWS:])
    ]
    table = ChartTable(("alert", "severity", "since", "lasted", "state"), rows)
    return Chart("alerts", "Alerts", "", summary, begins, now, bars=bars, table=table)


def _bar(alert: AlertRow, begins: datetime, now: datetime, shortest: timedelta) -> Bar:
    since = min(max(alert.created_at, begins), now - shortest)
    until = max(alert.resolved_at or now, since + shortest)
    severity: Severity = "critical" if alert.severity == "critical" else "warning"
    return Bar(alert.alert_type, since, until, severity, alert.resolved_at is None)
