"""What a monitoring system scrapes."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import Served

WITHHELD = {"status": "resolved", "resolved_by": "withheld", "withheld_reason": "consent denied"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(served: Served) -> Samples:
    response = served.admin.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def add_attempt(connection: psycopg.Connection, outcome: str, duration_ms: int | None) -> None:
    """An attempt that was settled a while ago, as long as settling may take."""
    connection.execute(
        "insert into tracking_delivery_attempts (failed_event_id, event_id, destination, attempt,"
        " outcome, lease_token, duration_ms, attempted_at)"
        " values (%s, %s, 'meta_capi', 1, %s, 1, %s, now() - interval '10 seconds')",
        (uuid4(), uuid4(), outcome, duration_ms),
    )


def test_the_queue_the_score_and_the_alerts_are_there(
    serve: Serve, with_meta: Sandbox, connection: psycopg.Connection, database_url: str
) -> None:
    served = serve(GTM_SERVER_URL="http://127.0.0.1:1")
    site = Site(connection)
    site.add_events(30)
    site.add_failed(11, created_at=site.ago(hours=1))
    site.add_failed(2, destination="google_ec", status="dead_letter")
    site.add_failed(4, **WITHHELD, resolved_at=site.now())
    check_tracking_health(database_url, policy())
    connection.execute(
        "insert into tracking_destination_state (destination, state) values ('gtm_server', 'open')"
    )
    samples = scrape(served)
    assert of(samples, "tracking_queue_waiting_events", destination="meta_capi") == 11
    assert of(samples, "tracking_queue_due_events", destination="meta_capi") == 11
    age = of(samples, "tracking_queue_oldest_age_seconds", destination="meta_capi")
    assert age is not None
    assert 3600 <= age < 3700
    assert of(samples, "tracking_queue_waiting_events", destination="supabase") == 0
    assert of(samples, "tracking_dead_letter_events", destination="google_ec") == 2
    assert of(samples, "tracking_withheld_events", destination="meta_capi") == 4
    assert of(samples, "tracking_withheld_events", destination="google_ec") == 0
    assert of(samples, "tracking_destination_up", destination="gtm_server") == 0
    assert of(samples, "tracking_destination_up", destination="meta_capi") == 1
    assert of(samples, "tracking_destination_up", destination="supabase") == 1
    # Not configured, so neither up nor paused.
    assert of(samples, "tracking_destination_up", destination="google_ec") is None
    assert of(samples, "tracking_emq_score") == 4.5
    assert of(samples, "tracking_alert_level", alert_type="failed_events_critical") == 2
    assert of(samples, "tracking_alert_level", alert_type="pipeline_stalled") == 0
    assert (of(samples, "tracking_last_check_age_seconds") or -1) >= 0


def test_what_nobody_knows_is_absent_and_no_zero(served: Served) -> None:
    samples = scrape(served)
    assert of(samples, "tracking_emq_score") is None
    assert of(samples, "tracking_withheld_events", destination="meta_capi") is None
    assert of(samples, "tracking_last_check_age_seconds") is None


def test_attempts_are_counted_once_from_one_scrape_to_the_next(
    served: Served, connection: psycopg.Connection
) -> None:
    add_attempt(connection, "delivered", 10)  # of before this server
    scrape(served)
    for duration_ms in (50, 51, 30_000, None):
        add_attempt(connection, "delivered", duration_ms)
    add_attempt(connection, "retry", 20)
    for _ in range(2):
        samples = scrape(served)
        counted = {
            outcome: of(
                samples,
                "tracking_delivery_attempts_total",
                destination="meta_capi",
                outcome=outcome,
            )
            for outcome in ("delivered", "retry")
        }
        assert counted == {"delivered": 4, "retry": 1}
        name = "tracking_delivery_attempt_seconds"
        within = {
            bound: of(samples, f"{name}_bucket", destination="meta_capi", le=bound)
            for bound in ("0.05", "0.1", "20.0", "+Inf")
        }
        # The one without a duration is in no bucket.
        assert within == {"0.05": 2, "0.1": 3, "20.0": 3, "+Inf": 4}
        assert of(samples, f"{name}_sum", destination="meta_capi") == pytest.approx(30.121)
    add_attempt(connection, "delivered", 20)
    after = scrape(served)
    labels = {"destination": "meta_capi", "outcome": "delivered"}
    assert of(after, "tracking_delivery_attempts_total", **labels) == 5


def test_only_this_machine_itself_scrapes_without_a_token(served: Served) -> None:
    assert served.client.get("/metrics").status_code == 200
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"CF-Connecting-IP": "127.0.0.1"},
        {"Host": "evil.example.com"},
    ):
        response = served.client.get("/metrics", headers=headers)
        assert response.status_code == 401, headers
        assert served.admin.get("/metrics", headers=headers).status_code == 200


def test_through_a_proxy_on_this_machine_that_says_nothing_nobody_scrapes_without_a_token(
    serve: Serve,
) -> None:
    served = serve(TRUSTED_PROXIES="127.0.0.1")
    assert served.client.get("/metrics").status_code == 401
    assert served.admin.get("/metrics").status_code == 200
