"""All that Dagster loads, on one screen.

Importing this module does no work: no connection, no environment, no file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import dagster as dg

from tracking_pipeline.jobs.retry import default_jobs
from tracking_pipeline.resources import default_resources
from tracking_pipeline.schedules import default_schedules
from tracking_pipeline.sensors import default_sensors

# Dagster itself passes this parameter when it copies a sensor, and warns of its own doing.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_defs(resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The code location, for Dagster, the command line and tests alike."""
    return dg.Definitions(
        jobs=default_jobs,
        schedules=default_schedules,
        sensors=default_sensors,
        resources={**default_resources, **(resource_overrides or {})},
        # A run drains in one process and one event loop; a process per op would cost 2 seconds
        # each.
        executor=dg.in_process_executor,
    )


defs = build_defs()
