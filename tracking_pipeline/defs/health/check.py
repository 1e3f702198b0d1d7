"""``check_tracking_health_job``: one health check, shown asset by asset.

What fails a run: a database that cannot be used, a setting that cannot be read, a report that
cannot be written. A breach is a result. What a second run does: a check of its own; two at the same
time take turns at the alerts, and make one alert.
"""

from typing import Any

import dagster as dg

from tracking_pipeline.defs.health.assets import ALERTS, READINGS
from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, FIRST_IN_QUEUE, GROUP_TAG
from tracking_pipeline.defs.ticks import every
from tracking_pipeline.health.view.summary import check_json

# What a check needs. The report, which takes longer, is left to the checks of the schedule.
CHECKED = [dg.AssetKey(name) for name in (*READINGS, ALERTS)]
_REPORT = dg.AssetKey("tracking_health_report")


def checked_on_an_edge(instance: dg.DagsterInstance) -> list[dg.AssetKey]:
    """What a check makes that does not wait for the schedule. The first one of an installation
    makes the report as well: whoever opens it then finds one."""
    is_made = instance.get_latest_materialization_event(_REPORT) is not None
    return CHECKED if is_made else [*CHECKED, _REPORT]


check_tracking_health_job = dg.define_asset_job(
    "check_tracking_health_job",
    selection=[*READINGS, ALERTS, "tracking_health_report"],
    description="One health check: reads and records EMQ score, queue, error rate and geo "
    "coverage, opens, updates and resolves alerts, and writes the report. Safe to "
    "launch at any time. If a run fails, the database could not be used, and its "
    "error says what to do. A crossed threshold is an alert and does not make the run "
    "fail.",
    tags={
        GROUP_TAG: "check",
        **AGAIN_FROM_THE_START,
        **FIRST_IN_QUEUE,
        "dagster/max_runtime": "1200",
    },
)


def answer_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The JSON of a check that ran in this process."""
    return {
        **check_json(result.output_for_node("tracking_health", ALERTS)),
        "run_id": result.run_id,
    }


check_tracking_health_schedule = every(
    "*/15 * * * *",
    check_tracking_health_job,
    name="check_tracking_health_schedule",
    description="Runs a health check every 15 minutes. If three in a row are missing, "
    "threshold_breach_sensor raises the alert pipeline_stalled.",
)
