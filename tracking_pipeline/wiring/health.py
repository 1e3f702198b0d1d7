"""The settings of health in the terms of its rules."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from importlib.metadata import version

from pydantic import SecretStr

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, REGISTRY
from tracking_pipeline.events.policy import reading_policy
from tracking_pipeline.health.config import (
    AccountingRule,
    AlertRules,
    CountingRule,
    HealthConfig,
    NotificationRules,
)
from tracking_pipeline.health.emq.score import EmqModel, weights_of
from tracking_pipeline.health.metrics import AlertSpec, Metric, alert_specs
from tracking_pipeline.health.notifications.channels import (
    Channel,
    UnusableChannelError,
    read_channels,
    refuse_unusable,
)
from tracking_pipeline.health.thresholds import Thresholds
from tracking_pipeline.settings import Settings, SettingsError
from tracking_pipeline.store.match_key_rollup import ConversionRule
from tracking_pipeline.wiring.destinations import age_limits, missing_settings

# Meta's standard events that are conversions of a lead-generation site, and the names that such
# sites give their own.
USUAL_CONVERSION_NAMES = (
    "Lead",
    "Purchase",
    "Schedule",
    "CompleteRegistration",
    "SubmitApplication",
    "Contact",
    "lead_captured",
    "lead_submission_success",
    "booking_confirmed",
    "consultation_booked",
    "phone_lead_captured",
)


def health_config(settings: Settings) -> HealthConfig:
    """What a health check goes by with these settings. :class:`SettingsError` for EMQ weights that
    the model cannot use, for a critical threshold that is milder than its warning, and for an alert
    channel that is no URL. Whether Apprise can use a URL is not asked here: a channel that is gone
    must not end the health checks (:func:`refuse_unusable_channels`)."""
    model, weights = emq_from(settings)
    channels = channels_from(settings)
    for channel in channels:
        if not channel.is_url:
            raise SettingsError(
                f"ALERT_CHANNELS cannot be used: {channel.words} is no URL, such as slack://..."
            )
    return HealthConfig(
        counting=CountingRule(
            conversion_rule_from(settings),
            country=settings.default_country.upper(),
            geo_match_keys=settings.geo_match_keys,
            hosting_match_keys=settings.geo_match_keys_from_hosting,
        ),
        accounting=accounting_rule_from(settings),
        emq_model=model,
        emq_weights=weights,
        emq_window_days=settings.emq_window_days,
        error_rate_window_hours=settings.error_rate_window_hours,
        thresholds=thresholds_from(settings),
        alerts=AlertRules(settings.alert_after_checks, settings.alert_clear_after_checks),
        notifications=NotificationRules(reminder_hours=settings.alert_reminder_hours),
        channels={each.name: each.position for each in channels},
        setting_digests=setting_digests(settings),
    )


def setting_digests(settings: Settings) -> dict[str, str]:
    """By the name of each setting, and as VERSION of this package, 8 bits of a digest of its value:
    another value nearly always has another, and nobody can tell a secret from it."""
    values = {"VERSION": version("tracking-pipeline")}
    for name, value in settings:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        values[name.upper()] = repr(plain)
    return {name: hashlib.sha256(value.encode()).hexdigest()[:2] for name, value in values.items()}


def channels_from(settings: Settings) -> tuple[Channel, ...]:
    """The channels that alerts are told to, with the key that signs what webhooks get."""
    return read_channels(settings.alert_channels, settings.alert_signing_key)


def refuse_unusable_channels(settings: Settings) -> None:
    """:class:`SettingsError` for a channel of ALERT_CHANNELS that Apprise cannot use: for what
    starts to serve, when somebody is there to correct it."""
    try:
        refuse_unusable(channels_from(settings))
    except UnusableChannelError as error:
        raise SettingsError(str(error)) from None


def emq_from(settings: Settings) -> tuple[EmqModel, dict[str, float]]:
    """The model and the weights of all its terms. :class:`SettingsError` for weights that the model
    cannot use."""
    try:
        return settings.emq_model, weights_of(settings.emq_model, settings.emq_weights)
    except ValueError as error:
        raise SettingsError(f"EMQ_WEIGHTS cannot be used: {error}") from None


def conversion_rule_from(settings: Settings) -> ConversionRule:
    """Which ledger events count: those that are named, else what is usually a conversion."""
    if settings.conversion_event_names is None:
        return ConversionRule(USUAL_CONVERSION_NAMES, by_type=True)
    return ConversionRule(settings.conversion_event_names, by_type=False)


def accounting_rule_from(settings: Settings) -> AccountingRule:
    """How it is told what became of a conversion that left no trace."""
    return AccountingRule(
        conversion_rule_from(settings),
        policy=reading_policy(settings),
        configured=tuple(each for each in DESTINATIONS if each not in missing_settings(settings)),
        handed_over=settings.log_event_forward_to,
        sent_by_site=settings.site_sends_to,
        needs={spec.name: spec.needs for spec in REGISTRY},
        age_limits=age_limits(settings),
        currency=settings.lead_value_currency,
        value_without=settings.lead_value,
        order_window=timedelta(days=settings.order_window_days),
        rate_window_hours=settings.delivery_rate_window_hours,
    )


def thresholds_from(settings: Settings) -> dict[Metric, Thresholds]:
    """The thresholds of every metric that has an alert, in the metric's unit.
    :class:`SettingsError` where critical was set milder than warning."""
    return {spec.name: _thresholds(settings, alert) for spec, alert in alert_specs()}


def _thresholds(settings: Settings, alert: AlertSpec) -> Thresholds:
    warning, critical = alert.warning, alert.critical
    if alert.setting:
        warning, critical = _warning_and_critical(
            settings, alert.setting, above=alert.direction == "above"
        )
    return Thresholds(
        alert.direction,
        warning,
        critical,
        minimum_events=settings.health_minimum_events if alert.needs_events else 0,
        clear_margin=settings.alert_clear_margin_percent / 100 if alert.setting else 0.0,
        best=alert.best,
    )


def _warning_and_critical(settings: Settings, name: str, *, above: bool) -> tuple[float, float]:
    """The two thresholds of ``EMQ`` and its like. A default gives way to what was set, where
    critical would come before warning; two that were set so are a mistake."""
    warning_name, critical_name = f"{name}_WARNING", f"{name}_CRITICAL"
    warning = float(getattr(settings, warning_name.lower()))
    critical = float(getattr(settings, critical_name.lower()))
    if (warning <= critical) if above else (warning >= critical):
        return warning, critical
    if warning_name.lower() not in settings.model_fields_set:
        return critical, critical
    if critical_name.lower() not in settings.model_fields_set:
        return warning, warning
    raise SettingsError(
        f"{critical_name} cannot be used: it is milder than {warning_name}, so that one would "
        "never be told"
    )
