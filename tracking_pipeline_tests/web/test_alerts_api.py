"""Alerts: listed, acknowledged, silenced, resolved."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, FUNCTIONS, Served


@pytest.fixture
def alert_id(connection: psycopg.Connection) -> str:
    """An open alert on the queue's depth, and an older one that is over."""
    connection.execute(
        "insert into tracking_health_alerts"
        " (alert_type, severity, message, resolved_at, created_at) values"
        " ('error_rate_critical', 'warning', 'over', now(), now() - interval '1 day')"
    )
    row = connection.execute(
        "insert into tracking_health_alerts (alert_type, severity, message, metric_value,"
        " threshold) values ('failed_events_critical', 'critical', '11 events wait', 11, 10)"
        " returning id"
    ).fetchone()
    assert row is not None
    return str(row[0])


def open_alerts(served: Served) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = served.get("/alerts", resolved=0)["alerts"]
    return alerts


def test_open_alerts_come_first_and_ended_ones_after(served: Served, alert_id: str) -> None:
    first, second = served.get("/alerts")["alerts"]
    assert (first["id"], first["severity"], first["metric_value"]) == (alert_id, "critical", 11)
    assert first["resolved_at"] is None
    assert second["alert_type"] == "error_rate_critical"
    assert second["resolved_at"] is not None
    assert [alert["id"] for alert in open_alerts(served)] == [alert_id]


def test_an_alert_is_acknowledged_by_its_id_with_a_note(served: Served, alert_id: str) -> None:
    body = {"ids": [alert_id], "note": "on it"}
    found = served.post("/alerts/acknowledge", body)
    assert found == {"success": True, "changed": ["failed_events_critical"], "not_open": []}
    (alert,) = open_alerts(served)
    assert alert["acknowledged_by"].startswith("token ")
    assert (alert["note"], alert["acknowledged_at"] is not None) == ("on it", True)


def test_a_body_without_a_label_is_read_and_another_sites_page_gains_nothing_by_it(
    served: Served, alert_id: str
) -> None:
    path, body = f"{FUNCTIONS}/alerts/resolve", b'{"types": ["failed_events_critical"]}'
    label = {"Content-Type": "text/plain;charset=UTF-8"}
    own_page = {"Origin": served.url}
    served.client.post("/session", json={"token": ADMIN_TOKEN}, headers=own_page)
    for page in ({}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}):
        response = served.client.post(path, content=body, headers={**label, **page})
        assert response.status_code == 403, page
    assert len(open_alerts(served)) == 1
    assert served.client.post(path, content=body, headers={**label, **own_page}).is_success
    assert open_alerts(served) == []


def test_an_alert_is_silenced_for_hours_and_heard_again(served: Served, alert_id: str) -> None:
    types = {"types": ["failed_events_critical"]}
    served.post("/alerts/silence", {**types, "hours": 4})
    assert open_alerts(served)[0]["silenced_until"] is not None
    served.post("/alerts/silence", {**types, "hours": 0})
    assert open_alerts(served)[0]["silenced_until"] is None


def test_an_alert_is_resolved_by_hand(served: Served, alert_id: str) -> None:
    served.post("/alerts/resolve", {"ids": [alert_id]})
    assert open_alerts(served) == []
    assert served.get("/alerts")["alerts"][0]["resolved_by"].startswith("token ")


def test_what_has_no_open_alert_is_named(served: Served, alert_id: str) -> None:
    stranger = str(uuid4())
    found = served.post("/alerts/resolve", {"ids": [stranger], "types": ["pipeline_stalled"]})
    assert found["changed"] == []
    assert sorted(found["not_open"]) == sorted(["pipeline_stalled", stranger])
    assert len(open_alerts(served)) == 1


def test_what_names_no_alert_changes_none(served: Served, alert_id: str) -> None:
    for action in ("acknowledge", "resolve", "silence"):
        for body in (
            None,
            {},
            {"types": []},
            {"types": ["everything"]},
            {"ids": ["1"]},
            {"types": ["no_data"], "note": "a\x00b"},
            {"types": ["no_data"], "unknown": 1},
            [],
        ):
            hours = {"hours": 1} if action == "silence" else {}
            given = {**body, **hours} if isinstance(body, dict) else body
            response = served.admin.post(f"{FUNCTIONS}/alerts/{action}", json=given)
            assert response.status_code == 422, response.text
            assert response.json()["error"]
    (alert,) = open_alerts(served)
    assert (alert["acknowledged_at"], alert["silenced_until"]) == (None, None)


def test_a_silence_has_an_end(served: Served) -> None:
    for hours in (-1, 721, "Infinity", "soon", None):
        body = {"types": ["no_data"], "hours": hours}
        assert served.admin.post(f"{FUNCTIONS}/alerts/silence", json=body).status_code == 422


def test_an_action_that_cannot_be_put_on_record_is_not_done(
    served: Served, alert_id: str, connection: psycopg.Connection
) -> None:
    connection.execute("alter table tracking_admin_actions rename to somewhere_else")
    response = served.admin.post(f"{FUNCTIONS}/alerts/resolve", json={"ids": [alert_id]})
    assert response.status_code == 503
    assert len(open_alerts(served)) == 1
