"""``/healthz``: one word for everybody, the reasons for admins."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.site import Site, policy
from tracking_pipeline_tests.servers import TestServer
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
