"""Dead letters over the API: counted, forecast, put back."""

from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served, answer

REPLAY = "/admin-replay-dead-letters"


@pytest.fixture
def dead(queue: Queue) -> list[Added]:
    return [
        *queue.add(2, status="dead_letter", dead_letter_reason="max_retries", error_code="2"),
        queue.add_one(
            status="dead_letter", dead_letter_reason="bad currency", destination="google_ec"
        ),
    ]


def test_dead_letters_are_counted_by_reason_and_filtered(served: Served, dead: list[Added]) -> None:
    found = served.get("/admin-dead-letters")
    assert found["total"] == 3
    assert found["groups"][0] == {
        "destination": "meta_capi",
        "reason": "max_retries",
        "matched": 2,
        "delivered": 0,
    }
    assert served.get("/admin-dead-letters", destination="google_ec")["total"] == 1
    assert served.get("/admin-dead-letters", reason="CURRENCY")["total"] == 1
    assert served.get("/admin-dead-letters", error_code="2")["total"] == 2
    assert served.get("/admin-dead-letters", since="2100-01-01T00:00:00Z")["total"] == 0
    assert served.get("/admin-dead-letters", reason="'; drop table leads; --")["total"] == 0


def test_times_are_read_alike_in_a_query_and_in_a_body(
    served: Served, queue: Queue, dead: list[Added]
) -> None:
    queue.connection.execute("update tracking_failed_events set updated_at = '2026-11-25 10:00Z'")
    for since, found in (
        ("2026-11-25", 3),
        ("2026-11-26", 0),
        ("2026-11-25T10:00:00", 3),
        ("2026-11-25T10:00:01", 0),
        ("2026-11-25T11:00:00+01:00", 3),
        ("2026-11-25T11:00:01+01:00", 0),
        ("", 3),
    ):
        assert served.get("/admin-dead-letters", since=since)["total"] == found, since
        assert served.post(REPLAY, {"since": since})["matched"] == found, since
    query = "since=2026-11-25T11:00:01+01:00"
    assert answer(served.admin.get(f"{FUNCTIONS}/admin-dead-letters?{query}"))["total"] == 0


def test_without_a_body_nothing_is_changed(
    with_meta: Sandbox, served: Served, queue: Queue, dead: list[Added]
) -> None:
    found = served.post(REPLAY)
    assert (found["dry_run"], found["matched"], found["replayed"]) == (True, 3, 0)
    assert found["by_reason"] == {"max_retries": 2, "bad currency": 1}
    assert queue.statuses() == {"dead_letter": 3}


def test_a_replay_puts_back_what_the_filters_name(
    with_meta: Sandbox, served: Served, queue: Queue, dead: list[Added]
) -> None:
    body = {"dry_run": False, "destination": "meta_capi", "reason": "max_retries"}
    found = served.post(REPLAY, body)
    assert (found["dry_run"], found["replayed"]) == (False, 2)
    assert queue.statuses() == {"pending": 2, "dead_letter": 1}
    (row,) = queue.read("select action, detail from tracking_admin_actions")
    assert row["action"] == "replay"
    assert row["detail"]["filters"] == body
    assert row["detail"]["run_id"] == found["run_id"]


def test_what_cannot_be_read_is_refused_before_a_run_begins(
    served: Served, queue: Queue, dead: list[Added]
) -> None:
    for body in (
        {"dry_run": "perhaps"},
        {"destination": "tiktok"},
        {"since": "yesterday"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"ids": ["1"]},
        {"canary": -1},
        {"events_per_minute": 10**9},
        {"reason": "a\x00b"},
        {"repair": "- explode: everything"},
        {"filter": "all"},
    ):
        response = served.admin.post(FUNCTIONS + REPLAY, json={"dry_run": False, **body})
        assert response.status_code == 422, (body, response.text)
        assert "\n" not in response.json()["error"]
    assert queue.statuses() == {"dead_letter": 3}
    assert served.get("/runs")["runs"] == []


def test_a_rules_text_stands_in_no_record(served: Served, queue: Queue, dead: list[Added]) -> None:
    served.post(REPLAY, {"repair": "- set: $.currency\n  value: planted-canary"})
    (row,) = queue.read("select detail from tracking_admin_actions")
    assert row["detail"]["repair"] is True
    assert "planted-canary" not in str(row["detail"])
