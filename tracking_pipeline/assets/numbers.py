"""Numbers as typed metadata. A key keeps its name and type for ever: the UI plots it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from tracking_pipeline.health.alerts.thresholds import Metric
from tracking_pipeline.health.check import Reading


def floats(values: Mapping[str, float | None]) -> dict[str, Any]:
    """Each value as a float of three decimals. What has no value is left out: a gap in its plot."""
    return {
        name: dg.MetadataValue.float(round(float(value), 3))
        for name, value in values.items()
        if value is not None
    }


def limits(reading: Reading, metric: Metric, prefix: str = "") -> dict[str, Any]:
    """The thresholds of a metric, and the level that its value has by them."""
    thresholds = reading.policy.thresholds[metric]
    return {
        f"{prefix}level": reading.judged[metric].verdict.level,
        **floats(
            {
                f"{prefix}warning_{thresholds.direction}": thresholds.warning,
                f"{prefix}critical_{thresholds.direction}": thresholds.critical,
            }
        ),
    }


def no_verdict(reading: Reading, metric: Metric) -> dict[str, Any]:
    """Why a metric has no level, where it has none."""
    detail = reading.judged[metric].verdict.detail
    return {"no_verdict": detail} if detail else {}


def table(name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """A table under its name; nothing where it would be empty."""
    if not records:
        return {}
    return {name: dg.MetadataValue.table([dg.TableRecord(record) for record in records])}
