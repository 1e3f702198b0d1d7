"""Everything that a health check goes by, read once from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracking_pipeline.health.alerts.rules import AlertRules
from tracking_pipeline.health.alerts.thresholds import Metric, Thresholds
from tracking_pipeline.health.configured import (
    alert_rules_from,
    conversion_rule_from,
    emq_from,
    notification_rules_from,
    thresholds_from,
)
from tracking_pipeline.health.emq.score import EmqModel
from tracking_pipeline.health.notifications.channels import read_channels
from tracking_pipeline.health.notifications.rules import NotificationRules
from tracking_pipeline.health.readings.rollup import CountingRule
from tracking_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """``channels`` are the fingerprints of the channels that alerts are told to."""

    counting: CountingRule
    emq_model: EmqModel
    emq_weights: Mapping[str, float]
    emq_window_days: int
    error_rate_window_hours: int
    thresholds: Mapping[Metric, Thresholds]
    alerts: AlertRules
    notifications: NotificationRules
    channels: tuple[str, ...] = ()


def policy_from(settings: Settings) -> HealthPolicy:
    """The policy of these settings. :class:`~tracking_pipeline.settings.SettingsError` for EMQ
    weights that the model cannot use, and for a critical threshold that is milder than its
    warning."""
    model, weights = emq_from(settings)
    return HealthPolicy(
        counting=CountingRule(
            conversion_rule_from(settings),
            country=settings.default_country.upper(),
            geo_match_keys=settings.geo_match_keys,
        ),
        emq_model=model,
        emq_weights=weights,
        emq_window_days=settings.emq_window_days,
        error_rate_window_hours=settings.error_rate_window_hours,
        thresholds=thresholds_from(settings),
        alerts=alert_rules_from(settings),
        notifications=notification_rules_from(settings),
        channels=tuple(channel.name for channel in read_channels(settings.alert_channels)),
    )
