"""When a metric is bad: its thresholds, and what one reading means beside them. Pure.

A threshold is crossed strictly: an EMQ score of exactly 4.0 is not below 4.0, a queue of exactly
10 events is not above 10. What an alert was raised for ends only on the other side of a clear
threshold, a little better than the one that was crossed, so that a value that moves around a
threshold raises one alert and not twenty.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracking_pipeline.health.metrics import Direction, Level, Measured, Severity

_SEVERITIES: tuple[Severity, ...] = ("warning", "critical")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one metric.

    ``direction`` is the bad one: ``below`` or ``above`` the threshold. None: no threshold of that
    severity. ``clear_margin`` is the share by which a value must be better than the threshold that
    it crossed to count as healthy again; ``best`` the best value there is, which bounds that.
    With fewer than ``minimum_events`` behind it a reading means nothing.
    """

    direction: Direction
    warning: float | None
    critical: float | None
    minimum_events: int = 0
    clear_margin: float = 0.0
    best: float | None = None

    def crossed(self, severity: Severity) -> float | None:
        """The threshold of a severity."""
        return self.critical if severity == "critical" else self.warning

    def clear(self, severity: Severity) -> float | None:
        """Where an alert of this severity ends: at this value or a better one."""
        threshold = self.crossed(severity)
        if threshold is None:
            return None
        margin = abs(threshold) * self.clear_margin
        if self.best is not None:
            # A threshold near the best value must still be possible to leave behind.
            margin = min(margin, abs(self.best - threshold) / 2)
        return threshold + margin if self.direction == "below" else threshold - margin


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """What one value means.

    ``level`` is what it raises. ``holds`` is the level at which it keeps an alert that is already
    there: the same or worse, because of the clear thresholds. ``threshold`` is the one that was
    crossed, and where none was, the first that would be. ``detail`` says why there is no data.
    """

    level: Level
    holds: Level
    value: float | None = None
    threshold: float | None = None
    detail: str = ""


def evaluate(thresholds: Thresholds, measured: Measured) -> ThresholdResult:
    """What a metric's value means by its thresholds."""
    value, events = measured.value, measured.events
    first = thresholds.warning if thresholds.warning is not None else thresholds.critical
    if value is None:
        return ThresholdResult("no_data", "no_data", None, first, measured.note or "no events")
    if events is not None and events < thresholds.minimum_events:
        detail = f"{events} of the {thresholds.minimum_events} events that a verdict needs"
        return ThresholdResult("no_data", "no_data", value, first, measured.note or detail)
    level: Level = "ok"
    holds: Level = "ok"
    for severity in _SEVERITIES:
        threshold, clear = thresholds.crossed(severity), thresholds.clear(severity)
        if threshold is None or clear is None:
            continue
        if _is_beyond(value, threshold, thresholds.direction):
            level, first = severity, threshold
        if _is_beyond(value, clear, thresholds.direction):
            holds = severity
    return ThresholdResult(level, holds, value, first, measured.note)


def _is_beyond(value: float, threshold: float, direction: Direction) -> bool:
    return value < threshold if direction == "below" else value > threshold
