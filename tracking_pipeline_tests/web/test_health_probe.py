"""``/healthz``: one word for everybody, the reasons for admins."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from tracking_pipeline.health.alerts.heartbeat import watch_heartbeat
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import Database
from tracking_pipeline.web.watch import Watch
from tracking_pipeline.wiring.installation import Installation
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.sinks import SECRET, webhook
from tracking_pipeline_tests.health.site import Site, policy
from tracking_pipeline_tests.servers import TestServer
from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import Served


def test_a_server_that_can_serve_says_ok_and_no_more(served: Served) -> None:
    response = served.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_an_admin_is_told_when_the_last_check_was(served: Served, database_url: str) -> None:
    check_tracking_health(database_url, policy())
    found = served.admin.get("/healthz").json()
    assert (found["status"], found["database"], found["migrated"]) == ("ok", True, True)
    assert found["last_check_seconds"] >= 0


def test_checks_that_no_longer_come_degrade_it_and_it_still_serves(
    served: Served, database_url: str, connection: psycopg.Connection
) -> None:
    check_tracking_health(database_url, policy())
    Site(connection).let_pass(hours=1)
    response = served.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "degraded"})


def test_serve_tells_by_itself_that_checks_have_stopped(
    connection: psycopg.Connection, database_url: str
) -> None:
    """The daemon that would is not there."""
    site = Site(connection)
    with webhook() as hook:
        settings = Settings(
            tracking_database_url=SecretStr(database_url), alert_channels=SecretStr(hook.url)
        )
        watch = Watch(Installation(settings, Database(database_url, "the test's database")))
        watch.look()
        assert site.alerts() == []
        check_tracking_health(database_url, policy())
        site.let_pass(minutes=46)
        watch.look()
        assert site.open_types() == {"pipeline_stalled"}
        (title,) = hook.titles
        assert "health checks that did not come" in title


def test_a_server_that_waited_in_vain_for_the_first_check_says_so(
    connection: psycopg.Connection,
) -> None:
    assert watch_heartbeat(connection, policy(), waited_seconds=44 * 60).is_stalled is False
    assert watch_heartbeat(connection, policy(), waited_seconds=46 * 60).is_stalled is True
    assert Site(connection).open_types() == {"pipeline_stalled"}


def test_a_channel_that_takes_nothing_is_seen_by_admins_page_and_monitoring(
    serve: Serve, connection: psycopg.Connection, database_url: str
) -> None:
    served = serve(ALERT_CHANNELS=f"json://127.0.0.1:1/{SECRET}")
    Site(connection).add_failed(11)
    check_tracking_health(database_url, policy(alert_channels=f"json://127.0.0.1:1/{SECRET}"))
    connection.execute(
        "update tracking_alert_notifications set last_error = 'error=404', attempts = 1"
    )
    assert "undelivered_alerts" not in served.client.get("/healthz").json()
    (found,) = served.admin.get("/healthz").json()["undelivered_alerts"]
    assert (found["position"], found["waiting"], found["reason"]) == (1, 1, "error=404")
    page, metrics = served.admin.get("/").text, served.admin.get("/metrics").text
    assert "Alerts do not reach channel 1" in page
    labels = f'{{channel="{found["channel"]}",position="1"}}'
    assert f"tracking_alert_channel_up{labels} 0.0" in metrics
    assert f"tracking_alert_messages_undelivered{labels} 1.0" in metrics
    assert SECRET not in page + metrics + str(found)


def test_tables_of_another_version_are_a_reason_not_to_be_asked(
    served: Served, connection: psycopg.Connection
) -> None:
    connection.execute("update tracking_schema_version set version_num = '0001'")
    response = served.client.get("/healthz")
    assert (response.status_code, response.json()) == (503, {"status": "degraded"})
    assert served.admin.get("/healthz").json()["migrated"] is False


def test_without_its_database_it_says_so_and_recovers(
    served: Served, server: TestServer, database_url: str
) -> None:
    name = conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false".encode())
        response = served.client.get("/healthz")
        assert (response.status_code, response.json()) == (503, {"status": "degraded"})
        alerts = served.admin.get("/functions/v1/alerts")
        assert (alerts.status_code, alerts.headers["Retry-After"]) == (503, "5")
        connection.execute(f"alter database {name} allow_connections true".encode())
    assert served.client.get("/healthz").status_code == 200
