"""How tracking stands as a whole, in one word and its reason, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

import psycopg

from tracking_pipeline.health.alerts.heartbeat import Heartbeat
from tracking_pipeline.health.check import CheckResult
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.formatting import capital, count_of, moment
from tracking_pipeline.health.metrics import METRICS, Level, Metric, alert_of, alert_title, figures
from tracking_pipeline.store.alert_notifications import read_undelivered
from tracking_pipeline.store.alerts import AlertRow, read_open_alerts
from tracking_pipeline.store.health_history import RecordedCheck, read_last_check
from tracking_pipeline.store.health_snapshots import Snapshot

SystemState = Literal["healthy", "degraded", "critical"]


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """``reason`` is a short text without personal data: what makes it so."""

    status: SystemState
    reason: str

    @property
    def sentence(self) -> str:
        """The reason, which names alerts and metrics, as a sentence for people."""
        parts = dict.fromkeys(alert_title(part) for part in self.reason.split(", "))
        return f"{capital('; '.join(part[:1].lower() + part[1:] for part in parts))}."


def system_status(
    open_alerts: Sequence[AlertRow], levels: Mapping[Metric, Level] | None
) -> SystemStatus:
    """The worst of the open alerts and of the last check's levels by metric. Both count: a metric
    can be bad before its alert fires, and an alert holds until its metric is well again.

    ``levels`` None: no check has run yet, and nobody knows, which is not ``healthy``. A metric
    without data is neither good nor bad by itself.
    """
    critical = _named("critical", open_alerts, levels)
    if critical:
        return SystemStatus("critical", ", ".join(critical))
    warning = _named("warning", open_alerts, levels)
    if warning:
        return SystemStatus("degraded", ", ".join(warning))
    if levels is None:
        return SystemStatus("degraded", "no health check has run yet")
    return SystemStatus("healthy", "no alert is open")


def _named(
    severity: str, open_alerts: Sequence[AlertRow], levels: Mapping[Metric, Level] | None
) -> list[str]:
    """The alerts of this severity, then the metrics at this level that have none."""
    names = [alert.alert_type for alert in open_alerts if alert.severity == severity]
    return names + [
        metric
        for metric, level in (levels or {}).items()
        if level == severity and (spec := alert_of(metric)) and spec.type not in names
    ]


@dataclass(frozen=True, slots=True)
class HealthSummary:
    """How tracking stands at the moment ``now``, from what is on record: the last check, None where
    there never was one, the open ``alerts``, critical ones first, and the channels that alerts do
    not reach, in the order of ALERT_CHANNELS."""

    now: datetime
    check: RecordedCheck | None = None
    alerts: Sequence[AlertRow] = ()
    silent_channels: Sequence[SilentChannel] = ()

    @property
    def system(self) -> SystemStatus:
        return system_status(self.alerts, self.levels)

    @property
    def levels(self) -> dict[Metric, Level] | None:
        """The levels that the last check found; None where there was none. Whether checks still
        come no check can say, so that is as of now: nothing old is shown as healthy."""
        if self.check is None:
            return None
        found = {
            name: cast("Level", each.state)
            for name, each in self.check.whole.items()
            if each.state is not None
        }
        return {**found, "missed_checks": "critical" if self.heartbeat.is_stalled else "ok"}

    @property
    def checked_at(self) -> datetime | None:
        return self.check.taken_at if self.check else None

    @property
    def heartbeat(self) -> Heartbeat:
        """Whether checks still come."""
        if self.check is None:
            return Heartbeat(None)
        return Heartbeat((self.now - self.check.taken_at).total_seconds())

    @property
    def figures(self) -> dict[Metric, Snapshot]:
        """The metrics that tell at a glance how things stand, as far as they were measured."""
        whole = self.check.whole if self.check else {}
        return {spec.name: whole[spec.name] for spec in figures() if spec.name in whole}

    def snapshot(self, metric: Metric) -> Snapshot | None:
        """A metric as a whole at the last check."""
        return self.check.whole.get(metric) if self.check else None

    def value(self, metric: Metric) -> float | None:
        """The value of a metric at the last check."""
        found = self.snapshot(metric)
        return found.value if found else None

    def parts(self, metric: Metric) -> dict[str, float | None]:
        """The values of the parts of a metric at the last check, by dimension."""
        rows = self.check.snapshots if self.check else []
        return {s.dimension: s.value for s in rows if s.metric == metric and s.dimension}

    def detail(self, metric: Metric) -> Mapping[str, Any]:
        """What else the last check recorded of a metric; empty where it recorded nothing."""
        found = self.snapshot(metric)
        return (found.detail if found else None) or {}

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
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
                for name, each in self.figures.items()
            },
        }


@dataclass(frozen=True, slots=True)
class SilentChannel:
    """A channel that alerts do not reach: its ``position`` in ALERT_CHANNELS and its fingerprint.
    ``waiting`` messages of it are tried again, ``given_up`` ones are not, being too old."""

    position: int
    channel: str
    since: datetime
    waiting: int
    given_up: int
    reason: str

    @property
    def words(self) -> str:
        """What has not arrived, and why. Without a full stop."""
        count = count_of(self.waiting + self.given_up, "alert message")
        return (
            f"Channel {self.position} of ALERT_CHANNELS ({self.channel}) has not taken {count} "
            f"since {moment(self.since)}: {self.reason}"
        )

    def as_json(self) -> dict[str, Any]:
        """The channel as JSON values."""
        return {**asdict(self), "since": self.since.isoformat(), "detail": self.words}


NOBODY_SENDS = (
    "nobody has tried to send it: run the Dagster daemon, `tracking-pipeline serve`, or "
    "`tracking-pipeline check` from cron"
)


def read_silent_channels(
    connection: psycopg.Connection[Any], positions: Mapping[str, int]
) -> list[SilentChannel]:
    """The channels that alerts do not reach. ``positions`` as in
    :attr:`~tracking_pipeline.health.config.HealthConfig.channels`."""
    found = [
        SilentChannel(
            positions[each.channel],
            each.channel,
            each.since,
            each.waiting,
            each.given_up,
            _plain(each.reason or NOBODY_SENDS, each.channel),
        )
        for each in read_undelivered(connection, positions)
    ]
    return sorted(found, key=lambda each: each.position)


def _plain(reason: str, channel: str) -> str:
    """A reason without what is said of every channel here."""
    return reason.removeprefix(f"{channel} ").removeprefix("did not take the message: ").rstrip(".")


def read_summary(
    connection: psycopg.Connection[Any], now: datetime, config: HealthConfig
) -> HealthSummary:
    """How tracking stands at this moment of the database: what the report, the page, the command
    line, the dashboard's endpoint and ``/metrics`` all begin with."""
    return HealthSummary(
        now=now,
        check=read_last_check(connection, METRICS),
        alerts=read_open_alerts(connection),
        silent_channels=read_silent_channels(connection, config.channels),
    )


def alert_json(alert: AlertRow) -> dict[str, Any]:
    """An open alert as JSON values."""
    return {
        "alert_type": alert.alert_type,
        "severity": alert.severity,
        "message": alert.message,
        "created_at": alert.created_at.isoformat(),
    }


def check_json(result: CheckResult) -> dict[str, Any]:
    """One check as JSON values: the answer of the command ``check`` and of its endpoint.

    ``metrics`` has the value of each, null where there was no data: the score of 10, counts of
    events, and shares in percent. ``alerts_created`` and ``alerts_resolved`` are counts;
    ``active_alerts`` all that are open, critical ones first.
    """
    readings, recorded = result.readings, result.recorded
    system = system_status(recorded.active_alerts, recorded.levels)
    return {
        "success": True,
        "status": system.status,
        "reason": system.reason,
        "metrics": {spec.name: _rounded(spec.read(readings).value) for spec in figures()},
        "verdicts": {
            metric: {
                "level": each.result.level,
                "value": _rounded(each.result.value),
                "threshold": each.result.threshold,
                "detail": each.result.detail,
            }
            for metric, each in recorded.evaluations.items()
        },
        "alerts_created": len(recorded.alerts_created),
        "alerts_resolved": len(recorded.alerts_resolved),
        "created": list(recorded.alerts_created),
        "resolved": list(recorded.alerts_resolved),
        "active_alerts": [alert_json(alert) for alert in recorded.active_alerts],
        "check_id": str(recorded.check_id),
        "checked_at": readings.taken_at.isoformat(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
