"""What a chart shows, apart from how it is drawn (``chart_images.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tracking_pipeline.health.metrics import Severity


@dataclass(frozen=True, slots=True)
class Line:
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
    """A stretch of time in one row of a chart of episodes; ``open``: it goes on."""

    row: str
    begins: datetime
    ends: datetime
    severity: Severity
    open: bool = False


@dataclass(frozen=True, slots=True)
class Table:
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
    lines: Sequence[Line] = ()
    limits: Sequence[Limit] = ()
    bars: Sequence[Bar] = ()
    highest: float | None = None
    table: Table = Table((), ())

    @property
    def is_empty(self) -> bool:
        return not self.bars and not any(line.points for line in self.lines)
