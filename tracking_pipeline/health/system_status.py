"""How tracking stands as a whole: one word and its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC
from tracking_pipeline.health.alerts.thresholds import Metric, Verdict
from tracking_pipeline.store.alerts import OpenAlert

SystemState = Literal["healthy", "degraded", "critical"]


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """``reason`` is a short text without personal data: what makes it so."""

    status: SystemState
    reason: str


def system_status(
    open_alerts: Sequence[OpenAlert], verdicts: Mapping[Metric, Verdict] | None
) -> SystemStatus:
    """The worst of the open alerts and of the last check's verdicts by metric. Both count: a metric
    can be bad before its alert fires, and an alert holds until its metric is well again.

    ``verdicts`` None: no check has run yet, and nobody knows, which is not ``healthy``. A metric
    without data is neither good nor bad by itself.
    """
    critical = _named("critical", open_alerts, verdicts)
    if critical:
        return SystemStatus("critical", ", ".join(critical))
    warning = _named("warning", open_alerts, verdicts)
    if warning:
        return SystemStatus("degraded", ", ".join(warning))
    if verdicts is None:
        return SystemStatus("degraded", "no health check has run yet")
    return SystemStatus("healthy", "no alert is open")


def _named(
    severity: str, open_alerts: Sequence[OpenAlert], verdicts: Mapping[Metric, Verdict] | None
) -> list[str]:
    """The alerts of this severity, then the metrics at this level that have none."""
    names = [alert.alert_type for alert in open_alerts if alert.severity == severity]
    told = {alert.alert_type for alert in open_alerts if alert.severity == severity}
    return names + [
        metric
        for metric, verdict in (verdicts or {}).items()
        if verdict.level == severity and ALERT_OF_METRIC.get(metric) not in told
    ]
