"""What reports read back: checks, episodes, and how fast a breach became an alert."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline.store.alerts import read_alerts_since
from tracking_pipeline.store.health_history import (
    REPORTED_METRIC,
    read_breach_to_alert_seconds,
    read_last_check,
    read_reported_scores,
)
from tracking_pipeline.store.health_snapshots import Snapshot, write_snapshots
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def test_the_last_check_is_read_whole_and_alone(site: Site, database_url: str) -> None:
    check_tracking_health(database_url, policy())
    site.let_pass(minutes=15)
    site.add_failed(3)
    last = check_tracking_health(database_url, policy())
    read = read_last_check(site.connection, ("queue_depth", "emq_score"))
    assert read is not None
    assert read.taken_at > last.readings.taken_at - timedelta(seconds=1)
    queue = [(s.dimension, s.value) for s in read.snapshots if s.metric == "queue_depth"]
    assert (None, 3.0) in queue
    assert ("meta_capi", 3.0) in queue
    assert {snapshot.metric for snapshot in read.snapshots} == {"queue_depth", "emq_score"}


def test_before_the_first_check_there_is_none(connection: psycopg.Connection) -> None:
    assert read_last_check(connection, ("queue_depth",)) is None


def test_meta_s_own_scores_are_no_check(site: Site, database_url: str) -> None:
    check_tracking_health(database_url, policy())
    before = read_last_check(site.connection, ("queue_depth",))
    rows = [Snapshot(REPORTED_METRIC, "Lead", 6.4)]
    write_snapshots(site.connection, uuid4(), rows, run_id=None)
    assert read_last_check(site.connection, ("queue_depth",)) == before


def test_episodes_are_open_or_were_within_the_window(site: Site, database_url: str) -> None:
    site.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message, created_at,"
        " resolved_at) values"
        " ('emq_critical', 'warning', 'old', now() - interval '30 d', now() - interval '20 d'),"
        " ('emq_critical', 'warning', 'lately', now() - interval '30 d', now() - interval '2 d'),"
        " ('error_rate_critical', 'critical', 'still', now() - interval '40 d', null)"
    )
    found = read_alerts_since(site.connection, site.ago(days=14))
    assert [each.message for each in found] == ["still", "lately"]


def test_a_breach_begins_with_the_event_that_crossed_the_threshold(
    site: Site, database_url: str
) -> None:
    limits = policy(failed_events_warning=2, failed_events_critical=10)
    for seconds in (500, 400, 300, 40, 20):
        site.add_failed(created_at=site.ago(seconds=seconds))
    site.add_failed(
        created_at=site.ago(seconds=600),
        status="resolved",
        resolved_at=site.ago(seconds=550),
    )
    check_tracking_health(database_url, limits)
    (seconds,) = read_breach_to_alert_seconds(site.connection, site.ago(days=1))
    assert 299 <= seconds < 360  # the third event, which was one too many


def test_what_was_delivered_after_the_alert_still_counts_as_waiting_at_it(
    site: Site, database_url: str
) -> None:
    for seconds in (500, 400, 300):
        site.add_failed(created_at=site.ago(seconds=seconds))
    check_tracking_health(database_url, policy(failed_events_warning=2, failed_events_critical=10))
    site.empty_queue()
    (seconds,) = read_breach_to_alert_seconds(site.connection, site.ago(days=1))
    assert 299 <= seconds < 360


def test_an_alert_that_no_check_wrote_says_nothing_of_its_breach(site: Site) -> None:
    site.add_failed(20, created_at=site.ago(hours=1))
    site.connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message)"
        " values ('failed_events_critical', 'critical', 'of a dashboard')"
    )
    assert read_breach_to_alert_seconds(site.connection, site.ago(days=1)) == []


def test_reported_scores_come_back_with_both_coverages(site: Site) -> None:
    detail = {"meta_coverage_percent": {"email": 60.0}, "ledger_coverage_percent": {"em": 90.0}}
    rows = [
        Snapshot(REPORTED_METRIC, "Lead", 6.4, detail=detail),
        Snapshot(REPORTED_METRIC, "Purchase", 9.1),
    ]
    write_snapshots(site.connection, uuid4(), rows, run_id=None)
    lead, purchase = read_reported_scores(site.connection, site.ago(days=1))
    assert (lead.event_name, lead.score) == ("Lead", 6.4)
    assert lead.meta_coverage_percent == {"email": 60.0}
    assert lead.ledger_coverage_percent == {"em": 90.0}
    assert purchase.ledger_coverage_percent == {}
