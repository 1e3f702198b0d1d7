"""How tracking stands as a whole."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tracking_pipeline.health.view.summary import HealthSummary, SystemStatus, system_status
from tracking_pipeline.store.alerts import AlertRow
from tracking_pipeline.store.health_history import RecordedCheck
from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline_tests.health.series import START


def alert(alert_type: str, severity: str) -> AlertRow:
    return AlertRow(uuid4(), alert_type, severity, "words", START)


def test_no_alert_and_no_bad_metric_is_healthy() -> None:
    found = system_status([], {"emq_score": "ok", "error_rate": "no_data"})
    assert found == SystemStatus("healthy", "no alert is open")


def test_before_the_first_check_nobody_knows() -> None:
    assert system_status([], None) == SystemStatus("degraded", "no health check has run yet")


def test_the_worst_alert_decides_and_is_named() -> None:
    warning, critical = alert("emq_critical", "warning"), alert("destination_paused", "critical")
    assert system_status([warning], {}) == SystemStatus("degraded", "emq_critical")
    assert system_status([warning, critical], {}) == SystemStatus("critical", "destination_paused")


def test_a_bad_metric_counts_before_its_alert_fires() -> None:
    found = system_status([], {"queue_depth": "critical"})
    assert found == SystemStatus("critical", "queue_depth")


def test_a_metric_and_its_alert_are_named_once() -> None:
    found = system_status([alert("emq_critical", "critical")], {"emq_score": "critical"})
    assert found == SystemStatus("critical", "emq_critical")


def test_an_alert_holds_until_it_ends_though_its_metric_is_well() -> None:
    found = system_status([alert("emq_critical", "warning")], {"emq_score": "ok"})
    assert found == SystemStatus("degraded", "emq_critical")


@pytest.mark.parametrize(("minutes", "status"), [(44, "healthy"), (46, "critical")])
def test_a_check_that_found_all_well_is_no_good_news_after_three_intervals(
    minutes: int, status: str
) -> None:
    """Whoever looks, and before anybody has raised the alert."""
    check = RecordedCheck(START, [Snapshot("missed_checks", None, 0, "ok")])
    summary = HealthSummary(START + timedelta(minutes=minutes), check)
    assert summary.system.status == status
    assert summary.as_json()["status"] == status
    if status == "critical":
        assert summary.system.reason == "missed_checks"
        assert summary.system.sentence == "Health checks have stopped."
