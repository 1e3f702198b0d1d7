"""A whole health check, as a run makes it, without the run."""

from __future__ import annotations

from tracking_pipeline.health.check import CheckResult, record_reading, take_reading
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.readings.rollup import TIME_BUDGET_SECONDS


def check_tracking_health(
    database_url: str,
    policy: HealthConfig,
    *,
    run_id: str | None = None,
    roll_up_budget_seconds: float = TIME_BUDGET_SECONDS,
) -> CheckResult:
    reading = take_reading(database_url, policy, roll_up_budget_seconds=roll_up_budget_seconds)
    recorded = record_reading(database_url, reading, run_id=run_id)
    return CheckResult(reading.rolled_up, reading.readings, recorded)
