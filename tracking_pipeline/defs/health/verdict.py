"""What the thresholds say of a metric, as typed metadata beside its value."""

from typing import Any

from tracking_pipeline.defs.metadata import floats
from tracking_pipeline.health.check import Reading
from tracking_pipeline.health.metrics import Metric


def limits(reading: Reading, metric: Metric, prefix: str = "") -> dict[str, Any]:
    """The thresholds of a metric, and the level that its value has by them."""
    thresholds = reading.config.thresholds[metric]
    return {
        f"{prefix}level": reading.evaluations[metric].result.level,
        **floats(
            {
                f"{prefix}warning_{thresholds.direction}": thresholds.warning,
                f"{prefix}critical_{thresholds.direction}": thresholds.critical,
            }
        ),
    }


def no_verdict(reading: Reading, metric: Metric) -> dict[str, Any]:
    """Why a metric has no level, where it has none."""
    detail = reading.evaluations[metric].result.detail
    return {"no_verdict": detail} if detail else {}
