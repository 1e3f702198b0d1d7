"""A pipeline whose checks no longer come is noticed by whoever looks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tracking_pipeline.health.alerts.heartbeat import is_stalled, read_heartbeat, watch_heartbeat
from tracking_pipeline.health.formatting import moment
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

POLICY = policy(alert_channels="json://alerts.example.com")


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def test_an_installation_that_never_checked_is_not_stalled(site: Site) -> None:
    heartbeat = watch_heartbeat(site.connection, POLICY)

    assert (heartbeat.seconds_since_check, heartbeat.missed_checks) == (None, 0)
    assert not is_stalled(site.connection)
    assert site.alerts() == []


@pytest.mark.parametrize(("minutes", "missed"), [(1, 0), (44, 2), (46, 3), (600, 40)])
def test_checks_are_missed_by_the_interval(
    site: Site, database_url: str, minutes: int, missed: int
) -> None:
    check_tracking_health(database_url, POLICY)
    site.let_pass(minutes=minutes)

    assert read_heartbeat(site.connection).missed_checks == missed
    assert is_stalled(site.connection) == (missed >= 3)


def test_a_stalled_pipeline_is_told_once_and_ends_with_the_next_check(
    site: Site, database_url: str
) -> None:
    check_tracking_health(database_url, POLICY)
    site.let_pass(hours=2)
    for _ in range(3):
        assert watch_heartbeat(site.connection, POLICY).is_stalled

    (alert,) = site.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("pipeline_stalled", "critical")
    assert alert["metric_value"] == 8
    check_tracking_health(database_url, POLICY)
    watch_heartbeat(site.connection, POLICY)

    assert site.open_types() == set()
    assert site.messages() == [("pipeline_stalled", "started"), ("pipeline_stalled", "ended")]


def test_a_stall_is_told_from_the_last_check_on(site: Site, database_url: str) -> None:
    check_tracking_health(database_url, POLICY)
    site.let_pass(hours=5)
    watch_heartbeat(site.connection, POLICY)
    since = site.one(
        "select (state ->> 'since')::timestamptz from tracking_alert_state"
        " where alert_type = 'pipeline_stalled'"
    )
    check_tracking_health(database_url, POLICY)

    assert abs(since - site.ago(hours=5)) < timedelta(minutes=2)
    started, ended = site.read("select body from tracking_alert_notifications order by id")
    assert f"since {moment(since)}" in started["body"]
    assert ended["body"].startswith("Resolved after 5 h")


def test_a_check_that_comes_while_the_watch_waits_is_no_stall(
    site: Site, database_url: str
) -> None:
    check_tracking_health(database_url, POLICY)
    site.let_pass(hours=2)
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url) as checking,
        psycopg.connect(database_url, autocommit=True) as watching,
    ):
        checking.execute("select pg_advisory_xact_lock(%s)", (int.from_bytes(b"trackalt", "big"),))
        watch = pool.submit(watch_heartbeat, watching, POLICY)
        wait_until(lambda: site.one("select count(*) from pg_locks where not granted"))
        checking.execute("update tracking_health_snapshots set taken_at = now()")
        checking.commit()
        assert not watch.result().is_stalled

    assert site.alerts() == []
