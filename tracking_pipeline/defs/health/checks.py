"""The asset checks that mirror the alerts: what one reading means, beside the asset that shows it.

They are results of the assets' own steps, so they judge the reading that the asset shows. An alert
may start later than its check fails, and end later than it passes: that is what ALERT_AFTER_CHECKS
and ALERT_CLEAR_AFTER_CHECKS are for.

A check fails when its metric is beyond a threshold, with WARN or ERROR as the threshold is the
warning or the critical one. Without data it passes and says so.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.health.alerts.evaluation import Evaluation
from tracking_pipeline.health.alerts.messages import AlertFacts, reading_message
from tracking_pipeline.health.check import Reading
from tracking_pipeline.health.metrics import METRICS, AlertSpec, CheckSpec, Metric


def specs_of(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of an asset."""
    return [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description)
        for _, check, _ in _checks_of(asset)
    ]


def results_of(asset: str, reading: Reading) -> list[dg.AssetCheckResult]:
    """What the checks of an asset say of a reading."""
    return [_result(*each, reading) for each in _checks_of(asset)]


def _checks_of(asset: str) -> list[tuple[Metric, CheckSpec, AlertSpec]]:
    return [
        (spec.name, spec.check, spec.alert)
        for spec in METRICS.values()
        if spec.check and spec.alert and spec.check.asset == asset
    ]


def _result(
    metric: Metric, check: CheckSpec, alert: AlertSpec, reading: Reading
) -> dg.AssetCheckResult:
    evaluation = reading.evaluations[metric]
    result, limits = evaluation.result, reading.config.thresholds[metric]
    numbers = {"value": result.value, "warning": limits.warning, "critical": limits.critical}
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.float(round(float(number), 3))
        for name, number in numbers.items()
        if number is not None
    }
    critical = result.level == "critical"
    return dg.AssetCheckResult(
        asset_key=check.asset,
        check_name=check.name,
        passed=result.level in ("ok", "no_data"),
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=_in_words(alert, evaluation, reading),
        metadata={**metadata, "level": result.level},
    )


def _in_words(alert: AlertSpec, evaluation: Evaluation, reading: Reading) -> str:
    result = evaluation.result
    if result.level == "no_data":
        return f"No verdict: {result.detail}."
    if result.level == "ok":
        return "As it should be."
    return reading_message(
        AlertFacts(
            alert_type=alert.type,
            severity=result.level,
            value=result.value,
            threshold=result.threshold,
            since=reading.readings.taken_at,
            causes=evaluation.causes,
        )
    )
