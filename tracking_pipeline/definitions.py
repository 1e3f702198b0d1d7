"""All that Dagster loads, on one screen.

Importing this module does no work: no connection, no environment, no file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import dagster as dg

from tracking_pipeline.assets import (
    emq_score,
    error_rate,
    geo_coverage,
    meta_reported_emq,
    queue_depth,
    tracking_health_alerts,
    tracking_health_report,
)
from tracking_pipeline.executor import in_process_with_heartbeat
from tracking_pipeline.jobs import (
    alerts,
    check,
    enrich,
    geo_update,
    maintenance,
    notify,
    replay,
    reported_emq,
    retention,
    retry,
)
from tracking_pipeline.resources import default_resources
from tracking_pipeline.schedules import default_schedules
from tracking_pipeline.sensors import default_sensors

# Dagster itself passes this parameter when it copies a sensor, and warns of its own doing.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_defs(resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The code location, for Dagster, the command line and tests alike."""
    return dg.Definitions(
        assets=[
            *emq_score.default_assets,
            *queue_depth.default_assets,
            *error_rate.default_assets,
            *geo_coverage.default_assets,
            *tracking_health_alerts.default_assets,
            *meta_reported_emq.default_assets,
            *tracking_health_report.default_assets,
        ],
        asset_checks=geo_coverage.default_checks,
        jobs=[
            *retry.default_jobs,
            *replay.default_jobs,
            *check.default_jobs,
            *alerts.default_jobs,
            *notify.default_jobs,
            *enrich.default_jobs,
            *retention.default_jobs,
            *geo_update.default_jobs,
            *reported_emq.default_jobs,
            *maintenance.default_jobs,
        ],
        schedules=default_schedules,
        sensors=default_sensors,
        resources={**default_resources, **(resource_overrides or {})},
        executor=in_process_with_heartbeat,
    )


defs = build_defs()
