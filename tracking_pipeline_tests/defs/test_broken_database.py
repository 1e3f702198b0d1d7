"""A database that opens and then fails in the middle of a run: what the operator reads."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.health.site import EVERYTHING
from tracking_pipeline_tests.health.test_reported_emq import post_events

# What PostgreSQL says of a column that is not there.
_STATE = "(SQLSTATE 42703)"


@pytest.fixture(autouse=True)
def _seen_by_meta(sandbox: Sandbox, meta_on_the_sandbox: None) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]})


@pytest.mark.parametrize(
    ("job", "asset", "column", "begins"),
    [
        (
            "retry_failed_events_job",
            None,
            "tracking_failed_events.event_payload",
            f"the database failed during the run {_STATE}: nothing is lost",
        ),
        (
            "replay_dead_letters_job",
            None,
            "tracking_failed_events.dead_letter_reason",
            f"the database failed during the replay {_STATE}: what is back in the queue",
        ),
        (
            "enrich_leads_job",
            None,
            "leads.geo_status",
            f"the database failed during the run {_STATE}: what was found is kept",
        ),
        (
            "send_notifications_job",
            None,
            "tracking_alert_notifications.next_attempt_at",
            f"the database failed while alerts were sent {_STATE}: what is not marked",
        ),
        (
            "ip_retention_job",
            None,
            "leads.client_ip",
            f"the database failed {_STATE}: what was cut stays cut",
        ),
        (
            "check_tracking_health_job",
            "queue_depth",
            "tracking_destination_state.reason",
            f"the database failed during the health check {_STATE}: nothing is lost",
        ),
        (
            "check_tracking_health_job",
            "tracking_health_alerts",
            "tracking_health_snapshots.run_id",
            f"the database failed during the health check {_STATE}: nothing is lost",
        ),
        (
            "check_tracking_health_job",
            "tracking_health_report",
            "tracking_health_snapshots.detail",
            f"the database failed while the report was read {_STATE}: materialize it again",
        ),
        (
            "read_meta_emq_job",
            None,
            "tracking_health_snapshots.run_id",
            f"the database failed while Meta's scores were kept {_STATE}: materialize",
        ),
    ],
)
def test_the_run_fails_in_one_line_that_says_what_is_kept(
    connection: psycopg.Connection, job: str, asset: str | None, column: str, begins: str
) -> None:
    table, name = column.split(".")
    connection.execute(f"alter table {table} rename column {name} to taken_away")
    selection = None if asset is None else [dg.AssetKey(asset)]
    with pytest.raises(dg.Failure) as failed:
        build_defs().resolve_job_def(job).execute_in_process(asset_selection=selection)
    description = failed.value.description or ""
    assert description.startswith(begins)
    assert "\n" not in description
