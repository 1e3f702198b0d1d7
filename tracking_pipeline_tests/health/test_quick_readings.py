"""The quick look says what a check would say."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline.health.alerts.evaluation import evaluate_quickly
from tracking_pipeline.health.metrics import Metric
from tracking_pipeline.health.readings.readings import read_quickly
from tracking_pipeline.health.thresholds import ThresholdResult
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy

POLICY = policy(health_minimum_events=1)


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    return Site(connection)


def look(site: Site) -> dict[Metric, ThresholdResult]:
    return evaluate_quickly(read_quickly(site.connection, POLICY), POLICY.thresholds)


def agrees(site: Site, url: str) -> None:
    looked = look(site)
    checked = check_tracking_health(url, POLICY).recorded.evaluations
    assert looked == {metric: checked[metric].result for metric in looked}


def test_a_quick_look_agrees_with_the_check(site: Site, database_url: str) -> None:
    agrees(site, database_url)
    site.add_events(50)
    site.add_failed(7)
    site.add_failed(2, status="dead_letter", dead_letter_reason="expired")
    site.connection.execute(
        "insert into tracking_destination_state (destination, state, reason)"
        " values ('meta_capi', 'open', 'token expired')"
    )
    agrees(site, database_url)
    looked = look(site)
    assert looked["queue_depth"].level == "warning"
    assert looked["error_rate"].level == "critical"
    assert looked["dead_letters"].level == "warning"
    assert looked["paused_destinations"].level == "critical"
    site.empty_queue()
    agrees(site, database_url)


def test_what_no_run_can_claim_is_no_breach_for_either(site: Site, database_url: str) -> None:
    # As a site's own table may be.
    site.connection.execute(
        "alter table tracking_failed_events"
        " alter status drop not null, alter destination drop not null"
    )
    site.add_failed(30, destination=None)
    site.add_failed(30, status=None)
    site.add_failed(30, destination=None, status="dead_letter")

    assert look(site)["queue_depth"].value == 0
    agrees(site, database_url)


def test_a_quick_look_counts_events_that_a_worker_holds(site: Site) -> None:
    site.add_failed(12)
    site.connection.execute(
        "update tracking_failed_events set lease_expires_at = now() + interval '1 minute'"
    )
    assert look(site)["queue_depth"].value == 12


def test_a_quick_look_writes_nothing(site: Site) -> None:
    site.add_events(5)
    look(site)
    assert site.rolled_up() == 0
    assert site.one("select count(*) from tracking_health_snapshots") == 0
