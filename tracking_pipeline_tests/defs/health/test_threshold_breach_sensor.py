"""The sensor that launches a check on an edge, and says numbers when there is none."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.health.check import CHECKED
from tracking_pipeline.defs.health.threshold_breach import (
    PATIENCE_WINDOWS,
    cursor_of,
    is_time_to_launch,
    threshold_breach_sensor,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline_tests.health.site import Site


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


@pytest.fixture(autouse=True)
def _channel(monkeypatch: pytest.MonkeyPatch, served_database: None) -> None:
    monkeypatch.setenv("ALERT_CHANNELS", "json://alerts.example.com")


class Daemon:
    """Ticks the sensor as the daemon does, keeping its cursor, and runs what it launches."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.skipped = ""

    def tick(self) -> dg.RunRequest | None:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor)
        answer = threshold_breach_sensor(context, tracking=TrackingResource())
        if isinstance(answer, dg.SkipReason):
            self.skipped = answer.skip_message or ""
            return None
        assert isinstance(answer, dg.SensorResult)
        self.cursor = answer.cursor
        self.skipped = (answer.skip_reason.skip_message or "") if answer.skip_reason else ""
        requests = answer.run_requests or []
        assert len(requests) <= 1
        return requests[0] if requests else None

    def run(self) -> list[dg.AssetKey]:
        """Runs what a tick launches, and gives what that makes."""
        request = self.tick()
        assert request is not None, self.skipped
        job = build_defs().resolve_job_def("check_tracking_health_job")
        result = job.execute_in_process(
            instance=self.instance, asset_selection=request.asset_selection
        )
        assert result.success
        return list(request.asset_selection or [])


@pytest.fixture
def daemon(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Daemon:
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))
    return Daemon(instance)


def test_a_quiet_tick_says_the_numbers(daemon: Daemon, site: Site) -> None:
    site.add_events(30)
    assert daemon.tick() is None
    assert daemon.skipped == (
        "0 waiting, error rate 0.0 %, 0 new dead letters, 0 paused, 0 geolocation providers down; "
        "no check yet"
    )


def test_a_breach_launches_one_check_and_the_first_makes_the_report(
    daemon: Daemon, site: Site
) -> None:
    site.add_failed(6)
    request = daemon.tick()
    assert request is not None
    assert request.asset_selection == [*CHECKED, dg.AssetKey("tracking_health_report")]
    assert request.tags["tracking/edge"] == "breach of failed_events_critical"
    assert daemon.tick() is None
    assert "a check was launched for it" in daemon.skipped


def test_breach_worsening_and_recovery_each_become_known_at_once(
    daemon: Daemon, site: Site
) -> None:
    site.add_failed(6)
    daemon.run()
    assert site.messages() == [("failed_events_critical", "started")]
    assert daemon.tick() is None
    site.add_failed(5)
    assert daemon.run() == CHECKED
    assert site.messages()[1:] == [("failed_events_critical", "worsened")]
    assert daemon.tick() is None
    site.empty_queue()
    daemon.run()
    # The second healthy check, which ends it, is the schedule's.
    assert daemon.tick() is None
    assert site.open_types() == {"failed_events_critical"}


def test_a_destination_that_delivery_paused_is_told_by_the_next_check(
    daemon: Daemon, site: Site
) -> None:
    site.connection.execute(
        "insert into tracking_destination_state (destination, state, reason)"
        " values ('meta_capi', 'open', 'token expired')"
    )
    site.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('destination_paused', 'critical', 'meta_capi is paused')"
    )
    daemon.run()
    assert site.messages() == [("destination_paused", "started")]
    assert daemon.tick() is None


def test_checks_that_stopped_coming_are_an_alert_that_needs_no_check(
    daemon: Daemon, site: Site
) -> None:
    site.add_failed(6)
    daemon.run()
    site.empty_queue()
    site.add_failed(6)
    site.let_pass(hours=1)
    assert daemon.tick() is None
    assert daemon.skipped.endswith("last check 1 h 0 min ago: stalled")
    assert "pipeline_stalled" in site.open_types()
    assert ("pipeline_stalled", "started") in site.messages()


def test_no_second_check_is_launched_beside_one_under_way(
    daemon: Daemon, site: Site, instance: dg.DagsterInstance
) -> None:
    site.add_failed(6)
    job = build_defs().resolve_job_def("check_tracking_health_job")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert daemon.tick() is None
    assert daemon.skipped.endswith("a check is under way")


def test_a_check_that_failed_is_launched_again_later() -> None:
    edges = {"dead_letters": "breach"}
    other = {"dead_letters": "breach", "error_rate_critical": "breach"}
    cursor = cursor_of(edges, 100)
    assert not is_time_to_launch(cursor, edges, 101)
    assert is_time_to_launch(cursor, other, 101)
    assert is_time_to_launch(cursor, edges, 100 + PATIENCE_WINDOWS)
    assert is_time_to_launch(None, edges, 100)
    assert is_time_to_launch("", edges, 100)


def test_a_database_that_is_not_there_fails_the_tick_with_one_line(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    with pytest.raises(dg.Failure) as caught:
        daemon.tick()
    assert "s3cret" not in (caught.value.description or "")
