"""The jobs of places as Dagster runs them: configuration, results, failures, the run page."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.geo.lead_table import LeadTable

IN_BERLIN = "81.2.70.7"


@pytest.fixture
def leads(connection: psycopg.Connection) -> LeadTable:
    return LeadTable(connection)


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Path:
    written = write_database(tmp_path / "places.mmdb", {"81.2.70.0/24": BERLIN})
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    monkeypatch.setenv("GEO_MMDB_PATH", str(written))
    return written


def launch(*, raise_on_error: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs().get_job_def("enrich_leads_job")
    return job.execute_in_process(
        run_config={"ops": {"enrich_leads": {"config": config}}}, raise_on_error=raise_on_error
    )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    return str(failure.step_failure_data.user_failure_data.description)


def test_a_launch_with_untouched_config_enriches_what_is_due(leads: LeadTable) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    result = build_defs().get_job_def("enrich_leads_job").execute_in_process()
    assert result.output_for_node("enrich_leads").enriched == 1
    assert leads.place(lead)[0] == "Berlin"


def test_the_run_tells_once_why_the_file_did_not_serve(
    leads: LeadTable, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"nothing")
    leads.add_many(3, client_ip=IN_BERLIN)
    result = launch()
    assert "no whole MMDB file" in result.output_for_node("enrich_leads").missing["mmdb"]
    assert capfd.readouterr().err.count("mmdb did not serve") == 1


def test_the_launchpad_opens_filled_in_and_every_field_says_what_it_does() -> None:
    job: Any = build_defs().get_job_def("enrich_leads_job")
    filled = job.run_config_schema.config_type.fields["ops"].default_value
    assert filled["enrich_leads"]["config"] == {
        "limit": 0,
        "recheck_failed": False,
        "providers": "all",
        "time_budget_seconds": 240,
        "dry_run": False,
    }
    ops = job.run_config_schema.config_type.fields["ops"].config_type
    fields = ops.fields["enrich_leads"].config_type.fields["config"].config_type.fields
    assert all(field.description for field in fields.values())


def test_the_run_page_tells_numbers_of_fixed_name_and_what_is_not_configured(
    leads: LeadTable,
) -> None:
    leads.add_many(2, client_ip=IN_BERLIN)
    leads.add(city="Miami", state="Florida", zip="33130")
    leads.add(client_ip="10.0.0.1")
    metadata = next(
        event.event_specific_data.metadata
        for event in launch().events_for_node("enrich_leads")
        if event.is_successful_output
    )
    numbers = {
        name: value.value
        for name, value in metadata.items()
        if isinstance(value, (dg.IntMetadataValue, dg.FloatMetadataValue))
    }
    expected = {"examined": 4, "enriched": 2, "skipped": 2, "complete": 1, "waiting": 0}
    assert {name: numbers[name] for name in expected} == expected
    assert (numbers["from_mmdb"], numbers["from_ip_api"]) == (2, 0)
    assert (numbers["status_ok"], numbers["status_private"]) == (3, 1)
    missing = {record.data["provider"] for record in metadata["not_configured"].records}
    assert missing == {"ip_api", "ipinfo"}
    assert IN_BERLIN not in str(metadata)


def test_a_provider_can_be_left_out(leads: LeadTable) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    assert launch(providers="ip_api").output_for_node("enrich_leads").enriched == 0
    assert leads.row(lead)["geo_status"] is None
    assert launch(providers="mmdb").output_for_node("enrich_leads").enriched == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"limit": -1}, "limit must be 0 or more"),
        ({"time_budget_seconds": 0}, "time_budget_seconds must be 1 to 3600"),
    ],
)
def test_a_value_out_of_bounds_fails_the_run_with_one_line(
    leads: LeadTable, config: dict[str, Any], words: str
) -> None:
    assert words in failure_of(launch(raise_on_error=False, **config))


def test_a_database_that_is_not_there_fails_the_run_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    description = failure_of(launch(raise_on_error=False))
    assert "TRACKING_DATABASE_URL" in description
    assert "s3cret" not in description


def test_a_file_that_cannot_serve_is_no_failure_of_the_run(leads: LeadTable, file: Path) -> None:
    file.write_bytes(b"no database")
    lead = leads.add(client_ip=IN_BERLIN)
    assert launch().success
    assert leads.row(lead)["geo_status"] is None


def test_retention_follows_the_settings(leads: LeadTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IP_RETENTION_DAYS", "3")
    monkeypatch.setenv("IP_RETENTION", "remove")
    old = leads.add(client_ip=IN_BERLIN, created_at="2026-01-01")
    launch()
    result = build_defs().get_job_def("ip_retention_job").execute_in_process()
    assert result.output_for_node("cut_old_addresses").leads_cut == 1
    assert leads.row(old)["client_ip"] is None


def test_a_database_that_is_in_place_already_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "geo").mkdir()
    today = datetime.now(timezone.utc).date()
    write_database(tmp_path / "geo" / "dbip-city-lite.mmdb", {"81.2.70.0/24": BERLIN}, built=today)
    result = build_defs().get_job_def("update_geo_database_job").execute_in_process()
    metadata = next(
        event.event_specific_data.metadata
        for event in result.events_for_node("update_database")
        if event.is_successful_output
    )
    assert metadata["build_date"].value == today.isoformat()
    assert metadata["downloaded"].value is False
