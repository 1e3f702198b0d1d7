"""What a chart shows, and how it is drawn: as SVG, for the page, the report and its images.

No style attribute is used anywhere: the page's content security policy forbids it. Classes take
their colours from ``style.css``, so that a chart reads in light and dark; an image for Dagster's
markdown, which stands alone, carries the rules that it needs and a light ground of its own.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from math import cos, floor, log10, pi, sin
from pathlib import Path

from markupsafe import Markup

from tracking_pipeline.health.metrics import Severity, metric_of

STYLE = Path(__file__).with_name("style.css")

_WIDTH, _PLOT = 400.0, 150.0
_LEFT, _RIGHT, _TOP, _BELOW = 36.0, 8.0, 10.0, 22.0
_LEGEND_ROW = 17.0
_BAR_ROW = 22.0
# Few enough points that each is worth a dot.
_FEW_POINTS = 24
_LINE_COLORS = 6
_HOURS_SHOWN_UP_TO = timedelta(days=2)
_TICK_STEPS = tuple(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 48, 96, 168))
# About what a letter takes of a line of text, to place a legend's entries.
_LETTER = 6.2

# The gauge is a half circle in a box of 120 by 68.
_CENTRE_X, _CENTRE_Y, _RADIUS = 60.0, 60.0, 50.0
_TICK_INNER, _TICK_OUTER = 42.0, 58.0
_HIGHEST_SCORE = 10.0


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series, oldest point first. A value of None is a gap: nothing was measured then."""

    label: str
    points: Sequence[tuple[datetime, float | None]]
    main: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold, drawn across the chart."""

    severity: Severity
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in one row of a chart of alerts; ``open``: it goes on."""

    row: str
    begins: datetime
    ends: datetime
    severity: Severity
    open: bool = False


@dataclass(frozen=True, slots=True)
class ChartTable:
    """The chart in numbers, for whoever does not see it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart over the time from ``begins`` to ``ends``: of lines, or of bars.

    ``summary`` says in a sentence or two what it shows; where there is nothing to draw, why.
    ``highest`` is the upper end of the axis, None: as high as the values are.
    """

    name: str
    title: str
    unit: str
    summary: str
    begins: datetime
    ends: datetime
    lines: Sequence[ChartLine] = ()
    limits: Sequence[Limit] = ()
    bars: Sequence[Bar] = ()
    highest: float | None = None
    table: ChartTable = ChartTable((), ())

    @property
    def is_empty(self) -> bool:
        return not self.bars and not any(line.points for line in self.lines)


def svg(chart: Chart) -> Markup:
    """The chart as an ``<svg>`` element. It has no name of its own: whoever shows it labels it with
    the chart's summary."""
    # Numbers, classes and escaped labels alone.
    return Markup(_element(chart))  # noqa: S704


def image(chart: Chart) -> str:
    """The chart as an address of an image, ``data:...``, of some kilobytes: it is stored with every
    event that shows it."""
    ground = f'<style>{_image_rules()}</style><rect class="ground" width="100%" height="100%"/>'
    drawn = _element(chart).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    text = drawn.replace(">", f">{ground}", 1)
    return f"data:image/svg+xml;base64,{b64encode(text.encode()).decode()}"


@cache
def _image_rules() -> str:
    """The light colours and the rules of charts, from the style sheet."""
    style = STYLE.read_text(encoding="utf-8")
    colors = style[style.index(":root") : style.index("}") + 1]
    rules = style[style.index("/* begin: chart */") : style.index("/* end: chart */")]
    return re.sub(r"/\*.*?\*/|\s+", " ", colors + rules, flags=re.DOTALL)


def _element(chart: Chart) -> str:
    if chart.bars:
        rows = sorted({bar.row for bar in chart.bars}, key=_row_name)
        height = _BAR_ROW * len(rows)
        left = 8.0 + _LETTER * max(len(_row_name(row)) for row in rows)
        drawn = [*_bars(chart, rows, left, height)]
    else:
        height, left = _PLOT, _LEFT
        drawn = [*_lines(chart, left, height)]
    legend = [*_legend(chart, height + _TOP + _BELOW)]
    whole = height + _TOP + _BELOW + _LEGEND_ROW * (1 + max((row for row, _ in legend), default=-1))
    parts = [*_times(chart, left, height), *drawn, *(each for _, each in legend)]
    return f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {whole:g}">{"".join(parts)}</svg>'


def _times(chart: Chart, left: float, height: float) -> Iterator[str]:
    """Time axis with light grid lines, so that the data stands out."""
    span = chart.ends - chart.begins
    step = next((each for each in _TICK_STEPS if span / each <= 5), _TICK_STEPS[-1])
    written = "%d %b" if span > _HOURS_SHOWN_UP_TO else "%H:%M"
    midnight = chart.begins.replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(int((chart.ends - midnight) / step) + 1):
        when = midnight + number * step
        x = _x(chart, when, left)
        if when < chart.begins:
            continue
        yield f'<path class="grid" d="M{x} {_TOP:g}v{height:g}"/>'
        if x < _WIDTH - 20:
            yield f'<text class="time" x="{x}" y="{_TOP + height + 15:g}">{when:{written}}</text>'
    yield f'<path class="grid" d="M{left:g} {_TOP + height:g}H{_WIDTH - _RIGHT:g}"/>'


def _lines(chart: Chart, left: float, height: float) -> Iterator[str]:
    highest, ticks = _scale(chart)

    def y(value: float) -> float:
        return round(_TOP + height * (1 - min(max(value, 0.0), highest) / highest), 1)

    for tick in ticks:
        yield f'<path class="grid" d="M{left:g} {y(tick)}H{_WIDTH - _RIGHT:g}"/>'
        yield f'<text class="value" x="{left - 5:g}" y="{y(tick) + 4:g}">{tick:,g}</text>'
    for limit in chart.limits:
        yield (
            f'<path class="limit {limit.severity}" '
            f'd="M{left:g} {y(limit.value)}H{_WIDTH - _RIGHT:g}"/>'
        )
    for number, line in enumerate(chart.lines):
        points = [(_x(chart, when, left), None if v is None else y(v)) for when, v in line.points]
        yield f'<path class="{_class(line, number)}" d="{_path(points)}"/>'
        if len(points) <= _FEW_POINTS:
            dots = "".join(f"M{x} {at}h0" for x, at in points if at is not None)
            yield f'<path class="dots l{number % _LINE_COLORS + 1}" d="{dots}"/>'


def _class(line: ChartLine, number: int) -> str:
    return f"line l{number % _LINE_COLORS + 1}{' main' if line.main else ''}"


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """The line through the points, in steps from each to the next, which are short to write. A
    point with none beside it becomes a line of no length: a dot."""
    steps: list[str] = []
    before: tuple[float, float] | None = None
    for x, y in points:
        if y is None:
            before = None
            continue
        if before is None:
            steps.append(f"M{x:g} {y:g}h0")
        else:
            steps.append(f"l{x - before[0]:.1f} {y - before[1]:.1f}".replace(".0", ""))
        before = x, y
    return "".join(steps)


def _scale(chart: Chart) -> tuple[float, list[float]]:
    """The upper end of the axis, and the values that stand beside it: round ones."""
    values = [v for line in chart.lines for _, v in line.points if v is not None]
    top = chart.highest or max([*values, *(limit.value for limit in chart.limits), 1.0]) * 1.08
    rough = top / 4
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999)
    if chart.highest is None:
        step = max(step, 1.0) if top >= 2 else step
    return top, [step * number for number in range(int(top / step + 1e-9) + 1)]


def _bars(chart: Chart, rows: Sequence[str], left: float, height: float) -> Iterator[str]:
    for number, row in enumerate(rows):
        y = _TOP + _BAR_ROW * number
        label = Markup.escape(_row_name(row))
        yield f'<text class="value" x="{left - 5:g}" y="{y + 15:g}">{label}</text>'
        for bar in (each for each in chart.bars if each.row == row):
            yield _bar(chart, bar, left, y)


def _bar(chart: Chart, bar: Bar, left: float, y: float) -> str:
    begins, ends = _x(chart, bar.begins, left), _x(chart, bar.ends, left)
    return (
        f'<rect class="bar-of {bar.severity}" x="{begins}" y="{y + 5:g}" '
        f'width="{ends - begins:.1f}" height="12"/>'
    )


def _row_name(row: str) -> str:
    """Others may write alerts of their own types."""
    spec = metric_of(row)
    return spec.title if spec else row


def _legend(chart: Chart, top: float) -> Iterator[tuple[int, str]]:
    """The entries of the legend, each with the number of its row."""
    if chart.bars:
        shown = dict.fromkeys(bar.severity for bar in chart.bars)
        entries = [(f"bar-of {severity}", str(severity)) for severity in sorted(shown)]
    else:
        entries = [(_class(line, n), line.label) for n, line in enumerate(chart.lines)]
        entries += [
            (f"limit {limit.severity}", f"{limit.severity} {limit.value:g}")
            for limit in chart.limits
        ]
    row, x = 0, _LEFT
    for name, label in entries:
        width = 30 + _LETTER * len(label)
        if x + width > _WIDTH and x > _LEFT:
            row, x = row + 1, _LEFT
        y = top + _LEGEND_ROW * row + 8
        mark = (
            f'<rect class="{name}" x="{x:g}" y="{y - 5:g}" width="18" height="9"/>'
            if chart.bars
            else f'<path class="{name}" d="M{x:g} {y:g}h18"/>'
        )
        words = f'<text x="{x + 23:g}" y="{y + 4:g}">{Markup.escape(label)}</text>'
        yield row, mark + words
        x += width + 8


def _x(chart: Chart, when: datetime, left: float) -> float:
    share = (when - chart.begins) / (chart.ends - chart.begins)
    return round(left + (_WIDTH - _RIGHT - left) * min(max(share, 0.0), 1.0), 1)


def gauge_arc(low: float, high: float) -> str:
    """The path of a gauge between two scores, 0 to 10."""
    (x1, y1), (x2, y2) = _on_gauge(low, _RADIUS), _on_gauge(high, _RADIUS)
    return f"M {x1} {y1} A {_RADIUS:g} {_RADIUS:g} 0 0 1 {x2} {y2}"


def gauge_tick(score: float) -> str:
    """The path of the mark of a score on the gauge."""
    (x1, y1), (x2, y2) = _on_gauge(score, _TICK_INNER), _on_gauge(score, _TICK_OUTER)
    return f"M {x1} {y1} L {x2} {y2}"


def _on_gauge(score: float, radius: float) -> tuple[float, float]:
    angle = pi * (1 - min(max(score, 0.0), _HIGHEST_SCORE) / _HIGHEST_SCORE)
    return round(_CENTRE_X + radius * cos(angle), 2), round(_CENTRE_Y - radius * sin(angle), 2)
