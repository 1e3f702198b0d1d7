"""What an operator does about alerts, from the launchpad."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

pytestmark = pytest.mark.usefixtures("served_database")


@pytest.fixture
def site(connection: psycopg.Connection, database_url: str) -> Site:
    """A site with two open alerts."""
    site = Site(connection)
    site.add_failed(12)
    site.add_failed(1, status="dead_letter", dead_letter_reason="expired")
    check_tracking_health(database_url, policy())
    assert site.open_types() == {"failed_events_critical", "dead_letters"}
    return site


def launch(**config: Any) -> dict[str, Any]:
    """The metadata of a run with this config; untouched where there is none."""
    run_config = {"ops": {"act_on_open_alerts": {"config": config}}} if config else None
    job = build_defs().get_job_def("resolve_alerts_job")
    result = job.execute_in_process(run_config=run_config)
    events = result.filter_events(lambda event: event.is_successful_output)
    return dict(events[0].step_output_data.metadata)


def test_launched_untouched_it_lists_and_changes_nothing(site: Site) -> None:
    before = site.alerts()
    shown = launch()
    assert site.alerts() == before
    assert shown["open_alerts"].value == 2
    assert shown["changed"].value == 0
    listed = {record.data["type"]: record.data["id"] for record in shown["open"].records}
    assert listed == {alert["alert_type"]: str(alert["id"]) for alert in before}


def test_an_alert_is_acknowledged_by_somebody_with_a_note(site: Site) -> None:
    launch(
        action="acknowledge",
        alert_types=["dead_letters"],
        by="the growth team",
        note="being mended",
    )
    alerts = {alert["alert_type"]: alert for alert in site.alerts()}
    assert alerts["dead_letters"]["acknowledged_by"] == "the growth team"
    assert alerts["dead_letters"]["note"] == "being mended"
    assert alerts["failed_events_critical"]["acknowledged_at"] is None


def test_an_alert_is_resolved_by_its_id(site: Site) -> None:
    (alert,) = (each for each in site.alerts() if each["alert_type"] == "dead_letters")
    shown = launch(action="resolve", alert_ids=[str(alert["id"])], by="ops")
    assert site.open_types() == {"failed_events_critical"}
    assert shown["changed_types"].value == "dead_letters"
    again = launch(action="resolve", alert_ids=[str(alert["id"])], by="ops")
    assert again["not_open"].value == str(alert["id"])


def test_without_types_and_ids_all_open_alerts_are_silenced(site: Site) -> None:
    launch(action="silence", silence_hours=2)
    now = site.now()
    assert all(alert["silenced_until"] > now for alert in site.alerts())


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"alert_types": ["nonsense"]}, "alert_types"),
        ({"alert_ids": ["nonsense"]}, "alert_ids"),
        ({"action": "silence", "silence_hours": -1.0}, "silence_hours"),
        ({"action": "resolve", "by": " "}, "by"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    site: Site, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(dg.Failure) as caught:
        launch(**config)
    assert named in (caught.value.description or "")
    assert len(site.open_types()) == 2
