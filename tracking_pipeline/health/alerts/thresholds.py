"""When a metric is bad: its thresholds, and what one reading means beside them. Pure.

A threshold is crossed strictly: an EMQ score of exactly 4.0 is not below 4.0, a queue of exactly
10 events is not above 10. What an alert was raised for ends only on the other side of a clear
threshold, a little better than the one that was crossed, so that a value that moves around a
threshold raises one alert and not twenty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["below", "above"]
Level = Literal["ok", "warning", "critical", "no_data"]
Metric = Literal[
    "emq_score",
    "queue_depth",
    "error_rate",
    "dead_letters",
    "paused_destinations",
    "geo_providers_down",
    "missing_metrics",
    "missed_checks",
]

_SEVERITIES: tuple[Literal["warning", "critical"], ...] = ("warning", "critical")
# What the absence of says that events no longer arrive. A rate over hours is often without events
# on a quiet site; a score over days is not.
_EXPECTED_METRICS: frozenset[str] = frozenset(("emq_score",))


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

    def crossed(self, severity: Literal["warning", "critical"]) -> float | None:
        """The threshold of a severity."""
        return self.critical if severity == "critical" else self.warning

    def clear(self, severity: Literal["warning", "critical"]) -> float | None:
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
class Verdict:
    """What one reading means.

    ``level`` is what it raises. ``holds`` is the level at which it keeps an alert that is already
    there: the same or worse, because of the clear thresholds. ``threshold`` is the one that was
    crossed, and where none was, the first that would be. ``detail`` says why there is no data.
    """

    level: Level
    holds: Level
    value: float | None = None
    threshold: float | None = None
    detail: str = ""


def judge(thresholds: Thresholds, value: float | None, events: int | None = None) -> Verdict:
    """The verdict on a metric's ``value``; None where there was nothing to measure. ``events`` is
    how many the value rests on, None for a count, which needs no minimum."""
    first = thresholds.warning if thresholds.warning is not None else thresholds.critical
    if value is None:
        return Verdict("no_data", "no_data", None, first, "no events")
    if events is not None and events < thresholds.minimum_events:
        detail = f"{events} of the {thresholds.minimum_events} events that a verdict needs"
        return Verdict("no_data", "no_data", value, first, detail)
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
    return Verdict(level, holds, value, first)


def missing_metrics(verdicts: Mapping[str, Verdict], seen_before: Collection[str]) -> Verdict:
    """The verdict on the metrics themselves, for the alert ``no_data``: how many that had data at
    an earlier check have no events now. An installation that never had any is not alarmed, and few
    events are not none."""
    missing = [
        metric
        for metric in sorted(_EXPECTED_METRICS & set(seen_before))
        if metric in verdicts and verdicts[metric].value is None
    ]
    verdict = judge(Thresholds("above", warning=0, critical=None), len(missing))
    return Verdict(
        verdict.level, verdict.holds, verdict.value, verdict.threshold, ", ".join(missing)
    )


def _is_beyond(value: float, threshold: float, direction: Direction) -> bool:
    return value < threshold if direction == "below" else value > threshold
