"""Whether a health check is worth making at once: something began that an alert should know. Pure.

    breach      the metric is bad, and no alert is there or on its way
    worsening   the alert is a warning, and the metric is critical
    easing      the alert is critical, and for the first time the metric is not
    recovery    the alert is there, and for the first time the metric is healthy
    relapse     the metric was getting better, and is not any more

An edge is over as soon as a check has seen it, so a reading that stays as it is launches one check
and not one every time that somebody looks. How many checks an alert needs to start or end is left
to the checks of the schedule: they are 15 minutes apart, and somebody who looks every 30 seconds is
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC, AlertState, AlertType
from tracking_pipeline.health.alerts.thresholds import Metric, Verdict

Edge = Literal["breach", "worsening", "easing", "recovery", "relapse"]


def find_edges(
    states: Mapping[AlertType, AlertState], verdicts: Mapping[Metric, Verdict]
) -> dict[AlertType, Edge]:
    """The edges between what the alerts' machines remember and what the metrics say now."""
    found = {
        alert_type: edge_of(states.get(alert_type, AlertState()), verdict)
        for metric, verdict in verdicts.items()
        for alert_type in (ALERT_OF_METRIC[metric],)
    }
    return {alert_type: edge for alert_type, edge in found.items() if edge is not None}


def edge_of(state: AlertState, verdict: Verdict) -> Edge | None:
    """The edge of one type of alert; None where a check now would begin nothing."""
    if verdict.level == "no_data" or state.phase == "pending":
        return None
    if state.phase == "firing":
        return _edge_while_firing(state, verdict)
    return None if verdict.level == "ok" else "breach"


def _edge_while_firing(state: AlertState, verdict: Verdict) -> Edge | None:
    healthy = verdict.holds == "ok"
    if healthy != (state.healthy_checks > 0):
        return "recovery" if healthy else "relapse"
    if state.severity == "warning":
        return "worsening" if verdict.level == "critical" else None
    calmer = verdict.holds != "critical"
    if calmer != (state.calmer_checks > 0):
        return "easing" if calmer else "relapse"
    return None
