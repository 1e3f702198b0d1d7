"""The asset checks that mirror the alerts: what one reading means, beside the asset that shows it.

They are results of the assets' own steps, so they judge the reading that the asset shows. An alert
may start later than its check fails, and end later than it passes: that is what ALERT_AFTER_CHECKS
and ALERT_CLEAR_AFTER_CHECKS are for.
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from tracking_pipeline.health.alerts.judgement import Judgement
from tracking_pipeline.health.alerts.messages import AlertFacts, reading_message
from tracking_pipeline.health.alerts.rules import ALERT_OF_METRIC, Severity
from tracking_pipeline.health.alerts.thresholds import Metric
from tracking_pipeline.health.check import Reading


@dataclass(frozen=True)
class MetricCheck:
    """One check of one asset: it fails when the metric is beyond a threshold, with WARN or ERROR as
    the threshold is the warning or the critical one. Without data it passes and says so."""

    asset: str
    metric: Metric
    name: str
    description: str


METRIC_CHECKS = (
    MetricCheck(
        "emq_score",
        "emq_score",
        "score_is_good",
        "Is the estimated EMQ score above EMQ_WARNING (else WARN) and EMQ_CRITICAL (else ERROR)? "
        "Where it is not, this says which match key fell, and which would add most.",
    ),
    MetricCheck(
        "emq_score",
        "missing_metrics",
        "conversions_arrive",
        "Do conversions reach the ledger, as they did before? Where none do, the site has stopped "
        "writing wm_event_log, or CONVERSION_EVENT_NAMES does not name its events.",
    ),
    MetricCheck(
        "queue_depth",
        "queue_depth",
        "queue_is_short",
        "Do no more failed events wait than FAILED_EVENTS_WARNING (else WARN) and "
        "FAILED_EVENTS_CRITICAL (else ERROR)? Where more do, this says for which destination.",
    ),
    MetricCheck(
        "queue_depth",
        "dead_letters",
        "events_are_not_given_up",
        "Did no more events become dead letters in a day than DEAD_LETTERS_WARNING (else WARN) and "
        "DEAD_LETTERS_CRITICAL (else ERROR)? They are not tried again until somebody replays them.",
    ),
    MetricCheck(
        "queue_depth",
        "paused_destinations",
        "destinations_take_events",
        "Does every destination take events? ERROR: one refuses everybody, because of a token, a "
        "permission or an account that somebody must mend. Its events wait unspent.",
    ),
    MetricCheck(
        "error_rate",
        "error_rate",
        "few_events_fail",
        "Is the error rate no higher than ERROR_RATE_WARNING (else WARN) and ERROR_RATE_CRITICAL "
        "(else ERROR)? Where it is, this says at which destination most events failed.",
    ),
    MetricCheck(
        "geo_coverage",
        "geo_providers_down",
        "sources_of_places_answer",
        "Do the online sources of places answer? WARN: one has failed several times in a row. The "
        "next source serves meanwhile, and leads wait for no longer than that.",
    ),
)


def specs_of(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of an asset."""
    return [
        dg.AssetCheckSpec(each.name, asset=each.asset, description=each.description)
        for each in METRIC_CHECKS
        if each.asset == asset
    ]


def results_of(asset: str, reading: Reading) -> list[dg.AssetCheckResult]:
    """What the checks of an asset say of a reading."""
    return [_result(each, reading) for each in METRIC_CHECKS if each.asset == asset]


def _result(check: MetricCheck, reading: Reading) -> dg.AssetCheckResult:
    judgement = reading.judged[check.metric]
    verdict, limits = judgement.verdict, reading.policy.thresholds[check.metric]
    numbers = {"value": verdict.value, "warning": limits.warning, "critical": limits.critical}
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.float(round(float(number), 3))
        for name, number in numbers.items()
        if number is not None
    }
    critical = verdict.level == "critical"
    return dg.AssetCheckResult(
        asset_key=check.asset,
        check_name=check.name,
        passed=verdict.level in ("ok", "no_data"),
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=_in_words(check.metric, judgement, reading),
        metadata={**metadata, "level": verdict.level},
    )


def _in_words(metric: Metric, judgement: Judgement, reading: Reading) -> str:
    verdict = judgement.verdict
    if verdict.level == "no_data":
        return f"No verdict: {verdict.detail}."
    if verdict.level == "ok":
        return "As it should be."
    severity: Severity = verdict.level
    return reading_message(
        AlertFacts(
            alert_type=ALERT_OF_METRIC[metric],
            severity=severity,
            value=verdict.value,
            threshold=verdict.threshold,
            since=reading.readings.taken_at,
            causes=judgement.causes,
        )
    )
