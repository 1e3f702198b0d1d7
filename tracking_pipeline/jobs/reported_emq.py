"""``read_meta_emq_job``: reads the Event Match Quality that Meta itself reports, once a day.

It is a job of its own so that no health check waits for Meta.
"""

import dagster as dg

from tracking_pipeline.jobs.tags import AGAIN_FROM_THE_START, GROUP_TAG

read_meta_emq_job = dg.define_asset_job(
    "read_meta_emq_job",
    selection=["meta_reported_emq"],
    description="Reads the Event Match Quality that Meta reports, for the calibration in "
    "tracking_health_report. Needs META_DATASET_ID and META_ACCESS_TOKEN; without them, or while "
    "Meta does not answer, the run succeeds and its metadata says so. Safe to launch at any time.",
    tags={GROUP_TAG: "reported_emq", **AGAIN_FROM_THE_START, "dagster/max_runtime": "300"},
)

default_jobs = [read_meta_emq_job]
