"""The asset tracking_health_report: from a real check to what an operator reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.defs.health.tracking_health_report import tracking_health_report
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy

pytestmark = pytest.mark.usefixtures("served_database")


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def materialize(*, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [tracking_health_report],
        resources={"tracking": TrackingResource()},
        raise_on_error=raise_on_error,
    )


def metadata() -> Mapping[str, dg.MetadataValue]:
    (made,) = materialize().asset_materializations_for_node("tracking_health_report")
    return made.metadata


def test_a_sick_site_is_told_in_the_ui_and_in_a_file(
    site: Site, database_url: str, tmp_path: Path
) -> None:
    site.add_events(30, keys=EVERYTHING)
    site.add_failed(12)
    check_tracking_health(database_url, policy())
    made = metadata()
    report = made["report"].value
    assert isinstance(report, str)
    assert "## Tracking health: critical" in report
    assert "Failed events waiting to be sent again: 12, more than 10" in report
    assert made["status"].value == "critical"
    assert made["critical_alerts"].value >= 1
    page = Path(str(made["page"].value))
    assert page == tmp_path / "reports" / "latest.html"
    text = page.read_text(encoding="utf-8")
    assert "Tracking health: critical" in text
    assert "From breach to alert" in text


def test_every_number_is_a_float_or_an_int_of_its_own(site: Site, database_url: str) -> None:
    site.add_failed(12)
    check_tracking_health(database_url, policy())
    made = metadata()
    for name in ("recovery_percent", "breach_to_alert_seconds", "seconds_since_check"):
        assert isinstance(made[name], dg.FloatMetadataValue), name
    for name in ("open_alerts", "critical_alerts"):
        assert isinstance(made[name], dg.IntMetadataValue), name


def test_a_quiet_site_is_healthy(site: Site, database_url: str) -> None:
    site.add_events(30, keys=EVERYTHING)
    check_tracking_health(database_url, policy())
    made = metadata()
    assert made["status"].value == "healthy"
    assert "recovery_percent" not in made


def test_it_can_be_materialized_before_any_check() -> None:
    assert metadata()["status"].value == "unknown"


def test_it_changes_nothing(site: Site, database_url: str) -> None:
    site.add_failed(12)
    check_tracking_health(database_url, policy())

    def rows() -> list[object]:
        return [
            site.read(f"select * from {table} order by id")
            for table in ("tracking_health_snapshots", "tracking_health_alerts")
        ]

    before = rows()
    metadata()
    assert rows() == before


def test_a_folder_that_cannot_be_written_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file in the way")
    result = materialize(raise_on_error=False)
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    described = failure.step_failure_data.user_failure_data
    assert described is not None
    assert str(described.description).startswith("the report cannot be written to")
