"""What a health check goes by, in the terms of its rules. The settings are turned into it in
``wiring/health.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tracking_pipeline.events.consent import Purpose
from tracking_pipeline.events.person import GeoMatchKeys
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy
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
    hosting_match_keys: bool = False


@dataclass(frozen=True, slots=True)
class AccountingRule:
    """How it is told what became of a conversion that left no trace at a destination.

    ``configured``: the destinations that are set up. ``handed_over``: those that events of our
    intake are handed to (LOG_EVENT_FORWARD_TO). ``sent_by_site``: those that the site sends first
    attempts to itself, None: all that are in use and not handed over to. ``needs`` and
    ``age_limits`` by destination. ``currency`` is that of a value that names none. The same order
    counts as repeated within ``order_window``.
    """

    conversions: ConversionRule
    policy: ReadingPolicy = DEFAULT_POLICY
    configured: tuple[str, ...] = ()
    handed_over: tuple[str, ...] = ()
    sent_by_site: tuple[str, ...] | None = None
    needs: Mapping[str, tuple[Purpose, ...]] = field(default_factory=dict)
    age_limits: Mapping[str, timedelta] = field(default_factory=dict)
    currency: str = "USD"
    value_without: float | None = None
    order_window: timedelta = timedelta(days=30)
    rate_window_hours: int = 24


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
    channels that alerts are told to: the position in ALERT_CHANNELS by the fingerprint.
    ``setting_digests`` tell by a setting's name whether its value is another one."""

    counting: CountingRule
    accounting: AccountingRule
    emq_model: EmqModel
    emq_weights: Mapping[str, float]
    emq_window_days: int
    error_rate_window_hours: int
    thresholds: Mapping[Metric, Thresholds]
    alerts: AlertRules = field(default_factory=AlertRules)
    notifications: NotificationRules = field(default_factory=NotificationRules)
    channels: Mapping[str, int] = field(default_factory=dict)
    setting_digests: Mapping[str, str] = field(default_factory=dict)
