"""How tracking stood at the last check, from what is on record: for whoever looks in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import psycopg

from tracking_pipeline.health.alerts.heartbeat import Heartbeat
from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC
from tracking_pipeline.health.alerts.thresholds import Level, Metric, Verdict
from tracking_pipeline.health.system_status import SystemStatus, system_status
from tracking_pipeline.store.alerts import OpenAlert
from tracking_pipeline.store.health_history import RecordedCheck, read_last_check
from tracking_pipeline.store.health_snapshots import Snapshot

SHOWN_METRICS = ("emq_score", "queue_depth", "error_rate", "geo_coverage", "dead_letters")


@dataclass(frozen=True, slots=True)
class Standing:
    """``metrics`` are those of the last check; none where no check has run yet."""

    system: SystemStatus
    checked_at: datetime | None
    heartbeat: Heartbeat
    metrics: Mapping[str, Snapshot]

    def as_json(self) -> dict[str, Any]:
        """The standing as JSON values."""
        return {
            "status": self.system.status,
            "reason": self.system.reason,
            "checked_at": self.checked_at.isoformat() if self.checked_at else None,
            "seconds_since_check": self.heartbeat.seconds_since_check,
            "missed_checks": self.heartbeat.missed_checks,
            "stalled": self.heartbeat.is_stalled,
            "metrics": {
                name: {
                    "value": each.value,
                    "level": each.state,
                    "warning": each.warning,
                    "critical": each.critical,
                }
                for name, each in self.metrics.items()
            },
        }


def read_standing(
    connection: psycopg.Connection[Any], heartbeat: Heartbeat, alerts: Sequence[OpenAlert]
) -> Standing:
    """How tracking stands, given the open alerts."""
    check = read_last_check(connection, tuple({*ALERT_OF_METRIC, *SHOWN_METRICS}))
    snapshots = check.snapshots if check else []
    whole = {each.metric: each for each in snapshots if each.dimension is None}
    return Standing(
        system=system_status(alerts, verdicts_of(check)),
        checked_at=check.taken_at if check else None,
        heartbeat=heartbeat,
        metrics={name: whole[name] for name in SHOWN_METRICS if name in whole},
    )


def verdicts_of(check: RecordedCheck | None) -> dict[Metric, Verdict] | None:
    """The levels that the last check found; None where there was none."""
    if check is None:
        return None
    return {
        cast("Metric", each.metric): Verdict(
            cast("Level", each.state), cast("Level", each.state), each.value
        )
        for each in check.snapshots
        if each.dimension is None and each.state is not None
    }
