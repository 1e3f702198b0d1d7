"""A health check on demand."""

from __future__ import annotations

import psycopg

from tracking_pipeline_tests.health.site import Site
from tracking_pipeline_tests.web.serving import Served


def test_a_check_answers_as_the_command_does_and_opens_alerts(
    served: Served, connection: psycopg.Connection
) -> None:
    site = Site(connection)
    site.add_events(30)
    site.add_failed(11)
    found = served.post("/check-tracking-health")
    assert found["success"] is True
    assert found["metrics"]["queue_depth"] == 11
    assert found["metrics"]["emq_score"] == 4.5
    assert set(found["metrics"]) >= {"emq_score", "queue_depth", "error_rate", "geo_coverage"}
    assert found["alerts_created"] == len(found["active_alerts"]) > 0
    assert "failed_events_critical" in site.open_types()
    assert served.get("/runs")["runs"][0]["run_id"] == found["run_id"]


def test_each_check_takes_a_reading_of_its_own(
    served: Served, connection: psycopg.Connection
) -> None:
    site = Site(connection)
    first = served.post("/check-tracking-health")
    site.add_failed(3)
    second = served.post("/check-tracking-health")
    assert (first["metrics"]["queue_depth"], second["metrics"]["queue_depth"]) == (0, 3)
    assert first["check_id"] != second["check_id"]
