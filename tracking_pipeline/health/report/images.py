"""Draws a chart: as SVG for the report's page, as a small PNG for Dagster's markdown.

The SVG keeps its text as text and takes its colours from the page (CSS variables), so that it reads
in light and dark; the PNG has a light ground of its own. matplotlib is imported when something is
drawn, because Dagster loads this package in every process.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tracking_pipeline.health.metrics import metric_of
from tracking_pipeline.health.report.charts import Bar, Chart, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart; the dashes tell them apart in print.
LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#4499cc")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "-", "--")
_INK, _MUTED, _GRID = "#1d2430", "#5b6472", "#d9dde3"
_SEVERITY = {"warning": "#b36b00", "critical": "#c2261c"}

# What the page calls each colour (report.html.j2).
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _GRID: "--grid",
    **{color: f"--line-{number}" for number, color in enumerate(LINE_COLORS, 1)},
    **{color: f"--{severity}" for severity, color in _SEVERITY.items()},
}
# Few enough points that each is worth a dot.
_FEW_POINTS = 24
# How much of a colour there is in the pixels at the edge of a line or a letter.
_TINTS = (1.0, 0.8, 0.6, 0.4, 0.2)
_WHITE = (255, 255, 255)
_HOURS_SHOWN_UP_TO = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class _Size:
    """In inches, and in points of text."""

    width: float
    height: float
    text: float


_PAGE = _Size(4.8, 2.5, 9.5)
_MARKDOWN = _Size(4.6, 1.9, 8.0)


def svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element for a page of HTML, its ids unlike those of other charts.

    It has no name of its own: the page labels it with the chart's summary.
    """
    import matplotlib as mpl  # noqa: PLC0415  heavy

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": chart.name}):
        drawn = io.StringIO()
        figure = _draw(chart, _PAGE)
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The browser's own fonts; matplotlib would ask for a list of those that it knows.
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\1{chart.name}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", text, count=1)


def png(chart: Chart) -> bytes:
    """The chart as a PNG of a few kilobytes: it is stored with every event that shows it."""
    from PIL import Image  # noqa: PLC0415  heavy, and a part of matplotlib's own needs

    drawn = io.BytesIO()
    _draw(chart, _MARKDOWN).savefig(drawn, format="png", dpi=110, facecolor="white")
    small = io.BytesIO()
    with Image.open(drawn) as image:
        palette = Image.new("P", (1, 1))
        palette.putpalette(_palette())
        few = image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
        few.save(small, format="PNG", optimize=True)
    return small.getvalue()


def _palette() -> list[int]:
    """The chart's own colours and their tints on white, as red, green, blue, red, and so on: a
    palette found in the picture spends itself on the tints, and loses a thin line's colour."""
    wholes = [tuple(bytes.fromhex(color.removeprefix("#"))) for color in _VARIABLES]
    tints = [
        tuple(round(255 - share * (255 - part)) for part in whole)
        for whole in wholes
        for share in _TINTS
    ]
    return [part for color in (_WHITE, *tints) for part in color]


def _draw(chart: Chart, size: _Size) -> Figure:
    # The object interface: pyplot keeps every figure alive, and picks a window system.
    import matplotlib as mpl  # noqa: PLC0415  heavy
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"font.size": size.text, "text.color": _INK, "axes.labelcolor": _MUTED}):
        figure = Figure(figsize=(size.width, size.height), layout="constrained")
        axes = figure.add_subplot()
        _dress(chart, axes)
        if chart.bars:
            _draw_bars(chart.bars, axes)
        else:
            _draw_lines(chart, axes)
        figure.draw_without_rendering()
    return figure


def _dress(chart: Chart, axes: Axes) -> None:
    """Axes of time, quiet enough to leave the stage to what they measure."""
    from matplotlib.dates import AutoDateLocator, DateFormatter  # noqa: PLC0415

    locator = AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
    written = "%d %b" if chart.ends - chart.begins > _HOURS_SHOWN_UP_TO else "%H:%M"
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter(written))  # type: ignore[no-untyped-call]
    axes.set_xlim(chart.begins, chart.ends)  # type: ignore[arg-type]
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_GRID)
    if chart.unit:
        axes.set_title(chart.unit, loc="left", fontsize="medium", color=_MUTED)


def _draw_lines(chart: Chart, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    for number, line in enumerate(chart.lines):
        _draw_line(line, number % len(LINE_COLORS), axes)
    for limit in chart.limits:
        axes.axhline(
            limit.value,
            color=_SEVERITY[limit.severity],
            linewidth=1,
            linestyle=(0, (1, 1.5)),
            label=f"{limit.severity} {limit.value:g}",
        )
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=chart.highest is None, min_n_ticks=3))
    axes.set_ylim(0, chart.highest or _highest(chart))
    columns = 2 if len(chart.lines) + len(chart.limits) <= 4 else 3
    axes.figure.legend(
        loc="outside lower left", ncols=columns, frameon=False, fontsize="small", handlelength=2.2
    )


def _draw_line(line: Line, number: int, axes: Axes) -> None:
    times = [when for when, _ in line.points]
    values = [float("nan") if value is None else value for _, value in line.points]
    few = len(line.points) <= _FEW_POINTS
    axes.plot(
        times,  # type: ignore[arg-type]
        values,
        color=LINE_COLORS[number],
        linestyle=_DASHES[number],
        linewidth=2.2 if line.main else 1.5,
        marker="o" if few else "",
        markersize=3.5,
        label=line.label,
    )


def _highest(chart: Chart) -> float:
    """As high as the values, with the thresholds in sight of them."""
    values = [v for line in chart.lines for _, v in line.points if v is not None]
    return max([*values, *(limit.value for limit in chart.limits), 1.0]) * 1.08


def _draw_bars(bars: Sequence[Bar], axes: Axes) -> None:
    rows = sorted({bar.row for bar in bars}, key=_row_name)
    for severity, color in _SEVERITY.items():
        of_severity = [bar for bar in bars if bar.severity == severity]
        if of_severity:
            axes.barh(
                [rows.index(bar.row) for bar in of_severity],
                [bar.ends - bar.begins for bar in of_severity],  # type: ignore[arg-type]
                left=[bar.begins for bar in of_severity],  # type: ignore[arg-type]
                height=0.55,
                color=color,
                label=severity,
            )
    axes.set_yticks(range(len(rows)), [_row_name(row) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize="small")


def _row_name(row: str) -> str:
    """Others may write alerts of their own types."""
    spec = metric_of(row)
    return spec.title if spec else row
