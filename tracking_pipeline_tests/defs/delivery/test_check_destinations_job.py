"""The daily question to all destinations, as Dagster runs it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs, defs
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.rehearsal import mark_rehearsal


def launch(**arguments: Any) -> dg.ExecuteInProcessResult:
    job = build_defs().get_job_def("check_destinations_job")
    return job.execute_in_process(**arguments)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = (e for e in result.events_for_node("check_destinations") if e.is_successful_output)
    return {
        name: value.value if hasattr(value, "value") else value
        for name, value in event.event_specific_data.metadata.items()
    }


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)


def test_a_launch_of_a_rehearsal_asks_the_sandbox_whatever_is_configured(
    monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection
) -> None:
    mark_rehearsal(connection)
    monkeypatch.setenv("META_DATASET_ID", "1")
    monkeypatch.setenv("META_ACCESS_TOKEN", "real-token")
    monkeypatch.setenv("META_GRAPH_URL", "https://graph.facebook.invalid")
    metadata = metadata_of(launch())
    assert metadata["success"] is True
    assert {value for name, value in metadata.items() if name.endswith("_state")} == {"ok"}
    states = connection.execute(
        "select state, count(*) from tracking_destination_checks group by 1"
    )
    assert states.fetchall() == [("ok", len(DESTINATIONS))]


def test_a_destination_that_refuses_is_a_result_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, connection: psycopg.Connection
) -> None:
    monkeypatch.setenv("META_DATASET_ID", "1")
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-for-tests")
    monkeypatch.setenv("META_GRAPH_URL", sandbox.meta_url)
    sandbox.conditions["meta_capi"].outage({"status": 400, "code": 190})
    metadata = metadata_of(launch())
    assert (metadata["success"], metadata["meta_capi_state"]) == (False, "refused")
    assert metadata["google_ec_state"] == "not_configured"


def test_destinations_are_asked_once_a_day() -> None:
    schedule = defs.get_repository_def().get_schedule_def("check_destinations_schedule")
    assert schedule.cron_schedule == "10 5 * * *"
    assert schedule.job_name == "check_destinations_job"
