"""The settings of health in the terms of its rules."""

from __future__ import annotations

from tracking_pipeline.health.alerts.rules import AlertRules
from tracking_pipeline.health.alerts.thresholds import Metric, Thresholds
from tracking_pipeline.health.emq.score import HIGHEST_SCORE, EmqModel, weights_of
from tracking_pipeline.health.notifications.rules import NotificationRules
from tracking_pipeline.settings import Settings, SettingsError
from tracking_pipeline.store.match_key_rollup import ConversionRule

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
# The pipeline counts as stalled when this many checks were missed in a row.
MISSED_CHECKS_STALLED = 3


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


def thresholds_from(settings: Settings) -> dict[Metric, Thresholds]:
    """The thresholds of every metric that an alert watches, in the metric's unit: the score from 0
    to 10, events, percent, or a count. :class:`SettingsError` where critical was set milder
    than warning."""
    margin = settings.alert_clear_margin_percent / 100
    minimum = settings.health_minimum_events
    return {
        "emq_score": Thresholds(
            "below",
            *_warning_and_critical(settings, "EMQ", above=False),
            minimum_events=minimum,
            clear_margin=margin,
            best=HIGHEST_SCORE,
        ),
        "queue_depth": Thresholds(
            "above",
            *_warning_and_critical(settings, "FAILED_EVENTS"),
            clear_margin=margin,
        ),
        "error_rate": Thresholds(
            "above",
            *_warning_and_critical(settings, "ERROR_RATE"),
            minimum_events=minimum,
            clear_margin=margin,
        ),
        "dead_letters": Thresholds(
            "above",
            *_warning_and_critical(settings, "DEAD_LETTERS"),
            clear_margin=margin,
        ),
        # Events wait and new ones join them until a human mends it.
        "paused_destinations": Thresholds("above", warning=None, critical=0),
        # The next source serves meanwhile, and a lead without a place is still a lead.
        "geo_providers_down": Thresholds("above", warning=0, critical=None),
        "missing_metrics": Thresholds("above", warning=0, critical=None),
        "missed_checks": Thresholds("above", warning=None, critical=MISSED_CHECKS_STALLED - 1),
    }


def _warning_and_critical(
    settings: Settings, name: str, *, above: bool = True
) -> tuple[float, float]:
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


def alert_rules_from(settings: Settings) -> AlertRules:
    """After how many checks an alert starts and ends."""
    return AlertRules(settings.alert_after_checks, settings.alert_clear_after_checks)


def notification_rules_from(settings: Settings) -> NotificationRules:
    """How often an alert that goes on is told again."""
    return NotificationRules(reminder_hours=settings.alert_reminder_hours)
