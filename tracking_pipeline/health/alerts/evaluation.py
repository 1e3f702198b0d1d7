"""What readings mean: the result by its thresholds, and the likely causes, of each metric that has
an alert. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tracking_pipeline.health.metrics import Metric, alert_specs
from tracking_pipeline.health.readings.readings import HealthReadings, QuickReadings
from tracking_pipeline.health.thresholds import ThresholdResult, Thresholds, evaluate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A metric's result; ``causes`` are sentences for its alert's message. ``began_at``: since when
    it is so, where that is known."""

    result: ThresholdResult
    causes: tuple[str, ...] = ()
    began_at: datetime | None = None


def evaluate_readings(
    readings: HealthReadings, thresholds: Mapping[Metric, Thresholds]
) -> dict[Metric, Evaluation]:
    """The evaluation of every metric that has an alert."""
    measured = {spec.name: spec.read(readings) for spec, _ in alert_specs()}
    return {
        name: Evaluation(evaluate(thresholds[name], each), each.causes)
        for name, each in measured.items()
    }


def evaluate_quickly(
    readings: QuickReadings, thresholds: Mapping[Metric, Thresholds]
) -> dict[Metric, ThresholdResult]:
    """The results of the metrics that are quick to read, as a check would give them."""
    return {
        spec.name: evaluate(thresholds[spec.name], spec.read(readings))
        for spec, _ in alert_specs()
        if spec.quick
    }
