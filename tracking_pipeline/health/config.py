"""What a health check goes by, in the terms of its rules. The settings are turned into it in
``wiring/health.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracking_pipeline.events.person import GeoMatchKeys
from tracking_pipeline.health.emq.score import EmqModel
from tracking_pipeline.health.metrics import Metric
from tracking_pipeline.health.thresholds import Thresholds
from tracking_pipeline.store.match_key_rollup import ConversionRule


@dataclass(frozen=True, slots=True)
class CountingRule:
    """What is counted: which events are ``conversions``, in which ``country`` a raw phone or place
    without one is, and which address keys delivery adds from a lead."""

    conversions: ConversionRule
    country: str = "US"
    geo_match_keys: GeoMatchKeys = "all"


@dataclass(frozen=True, slots=True)
class AlertRules:
    """An alert fires at the ``after_checks``-th bad check in a row and ends at the
    ``clear_after_checks``-th healthy one."""

    after_checks: int = 1
    clear_after_checks: int = 2


@dataclass(frozen=True, slots=True)
class NotificationRules:
    """``reminder_hours``: a critical alert is told again after so long. ``digest_minutes``: dead
    letters are told of at most so often."""

    reminder_hours: float = 4.0
    digest_minutes: float = 60.0


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """``thresholds`` of every metric that has an alert. ``channels`` are the
    channels that alerts are told to: the position in ALERT_CHANNELS by the fingerprint."""

    counting: CountingRule
    emq_model: EmqModel
    emq_weights: Mapping[str, float]
    emq_window_days: int
    error_rate_window_hours: int
    thresholds: Mapping[Metric, Thresholds]
    alerts: AlertRules = field(default_factory=AlertRules)
    notifications: NotificationRules = field(default_factory=NotificationRules)
    channels: Mapping[str, int] = field(default_factory=dict)
