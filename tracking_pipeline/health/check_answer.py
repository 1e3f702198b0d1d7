"""The answer of one check: the JSON of the command ``check`` and of its endpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tracking_pipeline.health.check import CheckResult
from tracking_pipeline.health.system_status import system_status


def check_answer(result: CheckResult) -> dict[str, Any]:
    """The check as JSON values. ``metrics`` has the value of each, null where there was no data:
    the score of 10, waiting events, and two shares in percent. ``alerts_created`` and
    ``alerts_resolved`` are counts; ``active_alerts`` all that are open, critical ones first."""
    readings, recorded = result.readings, result.recorded
    system = system_status(recorded.active_alerts, recorded.verdicts)
    return {
        "success": True,
        "status": system.status,
        "reason": system.reason,
        "metrics": {
            "emq_score": _rounded(readings.emq.score.overall),
            "queue_depth": readings.queue.waiting,
            "error_rate": _rounded(readings.error_rate.percent),
            "geo_coverage": _rounded(readings.geo.complete_percent),
        },
        "verdicts": {
            metric: {
                "level": verdict.level,
                "value": _rounded(verdict.value),
                "threshold": verdict.threshold,
                "detail": verdict.detail,
            }
            for metric, verdict in recorded.verdicts.items()
        },
        "alerts_created": len(recorded.alerts_created),
        "alerts_resolved": len(recorded.alerts_resolved),
        "created": list(recorded.alerts_created),
        "resolved": list(recorded.alerts_resolved),
        "active_alerts": [
            {**asdict(alert), "created_at": alert.created_at.isoformat()}
            for alert in recorded.active_alerts
        ],
        "check_id": str(recorded.check_id),
        "checked_at": readings.taken_at.isoformat(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
