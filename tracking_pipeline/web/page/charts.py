"""The geometry of the page's charts, as attributes of SVG elements. Pure.

No style attribute is used anywhere: the page's content security policy forbids it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import cos, pi, sin

from tracking_pipeline.store.health_snapshots import Point

HIGHEST_SCORE = 10.0
# The gauge is a half circle in a box of 120 by 68.
_CENTRE_X, _CENTRE_Y, _RADIUS = 60.0, 60.0, 50.0
_TICK_INNER, _TICK_OUTER = 42.0, 58.0
COURSE_WIDTH, COURSE_HEIGHT = 600.0, 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float


def gauge_tick(score: float) -> Line:
    """The mark of a score on the gauge."""
    inner, outer = _on_gauge(score, _TICK_INNER), _on_gauge(score, _TICK_OUTER)
    return Line(*inner, *outer)


def gauge_arc(low: float, high: float) -> str:
    """The path of the gauge between two scores, 0 to 10."""
    (x1, y1), (x2, y2) = _on_gauge(low, _RADIUS), _on_gauge(high, _RADIUS)
    return f"M {x1} {y1} A {_RADIUS:g} {_RADIUS:g} 0 0 1 {x2} {y2}"


def course_height(score: float) -> float:
    """How far below the chart's upper edge a score is drawn."""
    return round(COURSE_HEIGHT * (1 - _bounded(score) / HIGHEST_SCORE), 1)


def course_path(
    points: Sequence[Point], *, since: datetime, until: datetime, longest_gap: timedelta
) -> str:
    """The path of scores over time, oldest first; broken where data is missing for longer than
    ``longest_gap``. A point with none beside it becomes a line of no length: a dot."""
    steps: list[str] = []
    before: datetime | None = None
    for place, point in enumerate(points):
        x = round(COURSE_WIDTH * ((point.at - since) / (until - since)), 1)
        y = course_height(point.value)
        goes_on = before is not None and point.at - before <= longest_gap
        steps.append(f"{'L' if goes_on else 'M'} {x} {y}")
        following = points[place + 1].at if place + 1 < len(points) else None
        if not goes_on and (following is None or following - point.at > longest_gap):
            steps.append("h 0")
        before = point.at
    return " ".join(steps)


def _on_gauge(score: float, radius: float) -> tuple[float, float]:
    angle = pi * (1 - _bounded(score) / HIGHEST_SCORE)
    return round(_CENTRE_X + radius * cos(angle), 2), round(_CENTRE_Y - radius * sin(angle), 2)


def _bounded(score: float) -> float:
    return min(max(score, 0.0), HIGHEST_SCORE)
