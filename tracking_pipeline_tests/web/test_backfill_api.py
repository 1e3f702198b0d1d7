"""A backfill over the API: counted first, then handed over, and what is refused before a run."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.web.serving import FUNCTIONS, Served

EMAIL = sha256(b"jane@example.com").hexdigest()
BACKFILL = "/admin-backfill-destination"


@pytest.fixture
def conversions(connection: psycopg.Connection[Any]) -> None:
    """Two that Meta never saw, one of them against the person's will."""
    for metadata in ({}, {"ad_storage": "denied"}):
        connection.execute(
            "insert into wm_event_log (event_id, event_name, event_type, user_data, metadata,"
            " created_at) values (gen_random_uuid(), 'Lead', 'conversion', %s, %s,"
            " now() - interval '1 hour')",
            (Jsonb({"em": EMAIL}), Jsonb(metadata)),
        )


@pytest.mark.usefixtures("with_meta", "conversions")
def test_a_backfill_counts_first_and_then_hands_over(served: Served, queue: Queue) -> None:
    body = {"destination": "meta_capi", "since": "2020-01-01"}

    counted = served.post(BACKFILL, body)
    nothing = queue.statuses()
    handed = served.post(BACKFILL, {**body, "dry_run": False})
    again = served.post(BACKFILL, {**body, "dry_run": False})

    assert (counted["matched"], counted["would_hand_over"], counted["handed_over"]) == (2, 1, 0)
    assert counted["withheld_by_reason"] == {"consent denied": 1}
    assert nothing == {}
    assert (handed["handed_over"], again["handed_over"]) == (1, 0)
    assert queue.statuses() == {"pending": 1}
    actions = queue.read("select action from tracking_admin_actions")
    assert {row["action"] for row in actions} == {"backfill"}


def test_what_cannot_be_read_is_refused_before_a_run_begins(
    served: Served, queue: Queue, with_meta: Sandbox
) -> None:
    del with_meta
    for body in (
        {},
        {"destination": "supabase"},
        {"destination": "nobody"},
        {"destination": "meta_capi", "since": "yesterday"},
        {"destination": "meta_capi", "since": "2026-11-02", "until": "2026-11-01"},
        {"destination": "meta_capi", "events_per_minute": -1},
        {"destination": "meta_capi", "everything": True},
    ):
        response = served.admin.post(FUNCTIONS + BACKFILL, json=body)
        assert response.status_code == 422, (body, response.text)
        assert "\n" not in response.json()["error"]
    assert served.get("/runs")["runs"] == []
