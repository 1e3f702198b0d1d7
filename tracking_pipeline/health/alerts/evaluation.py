"""What readings mean: the result by its thresholds, and the likely causes, of each metric that has
an alert; and whether a health check is worth making at once. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tracking_pipeline.health.alerts.rules import AlertState
from tracking_pipeline.health.metrics import AlertType, Metric, alert_of, alert_specs
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


# Whether a health check is worth making at once: something began that an alert should know. Pure.
#
#     breach      the metric is bad, and no alert is there or on its way
#     worsening   the alert is a warning, and the metric is critical
#     easing      the alert is critical, and for the first time the metric is not
#     recovery    the alert is there, and for the first time the metric is healthy
#     relapse     the metric was getting better, and is not any more
#
# A trigger is over as soon as a check has seen it, so a reading that stays as it is launches one
# check and not one every time that somebody looks. How many checks an alert needs to start or end
# is left to the checks of the schedule: they are 15 minutes apart, and somebody who looks every 30
# seconds is not.

Trigger = Literal["breach", "worsening", "easing", "recovery", "relapse"]


def find_triggers(
    states: Mapping[AlertType, AlertState], results: Mapping[Metric, ThresholdResult]
) -> dict[AlertType, Trigger]:
    """The triggers between what the alerts' machines remember and what the metrics say now."""
    found = {
        alert.type: trigger_of(states.get(alert.type, AlertState()), result)
        for metric, result in results.items()
        if (alert := alert_of(metric)) is not None
    }
    return {alert_type: trigger for alert_type, trigger in found.items() if trigger is not None}


def trigger_of(state: AlertState, result: ThresholdResult) -> Trigger | None:
    """The trigger of one type of alert; None where a check now would begin nothing."""
    if result.level == "no_data" or state.phase == "pending":
        return None
    if state.phase == "firing":
        return _trigger_while_firing(state, result)
    return None if result.level == "ok" else "breach"


def _trigger_while_firing(state: AlertState, result: ThresholdResult) -> Trigger | None:
    healthy = result.holds == "ok"
    if healthy != (state.healthy_checks > 0):
        return "recovery" if healthy else "relapse"
    if state.severity == "warning":
        return "worsening" if result.level == "critical" else None
    calmer = result.holds != "critical"
    if calmer != (state.calmer_checks > 0):
        return "easing" if calmer else "relapse"
    return None
