"""A replayed event asks what its lead says of consent by now, before it is sent."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs


def a_lead(queue: Queue) -> Any:
    lead_id = uuid4()
    queue.connection.execute(
        "insert into leads (id, email) values (%s, 'emily@example.com')", (lead_id,)
    )
    return lead_id


def says(queue: Queue, lead_id: Any, minutes_ago: int, metadata: dict[str, Any]) -> None:
    queue.connection.execute(
        "insert into wm_event_log (event_id, lead_id, event_name, metadata, created_at)"
        " values (%s, %s, 'page_view', %s, now() - make_interval(mins => %s))",
        (uuid4(), lead_id, Jsonb(metadata), minutes_ago),
    )


def add(queue: Queue, lead_id: Any, *, replayed: bool) -> Added:
    added = queue.add_one(lead_id=lead_id, event_payload=payload(consent="granted"))
    if replayed:
        queue.connection.execute(
            "update tracking_failed_events set replayed_at = now() where id = %s", (added.id,)
        )
    return added


REFUSAL = {"consent": {"ad_user_data": "denied"}}
GRANT = {"consent": {"ad_user_data": "granted", "ad_storage": "granted"}}


@pytest.mark.parametrize(
    ("statements", "status"),
    [
        ([(5, REFUSAL)], "withheld"),
        ([(60, GRANT), (5, REFUSAL)], "withheld"),
        ([(60, REFUSAL), (5, GRANT)], "sent"),
        ([(60, REFUSAL), (30, GRANT), (5, {"note": "nothing said"})], "sent"),
        ([(5, {"note": "nothing said"})], "sent"),
        ([], "sent"),
    ],
)
def test_the_newest_statement_of_the_lead_decides_on_a_replay(
    queue: Queue, runs: Runs, statements: list[tuple[int, dict[str, Any]]], status: str
) -> None:
    lead_id = a_lead(queue)
    for minutes_ago, metadata in statements:
        says(queue, lead_id, minutes_ago, metadata)
    added = add(queue, lead_id, replayed=True)

    runs.run()

    row = queue.row(added)
    assert row["status"] == "resolved"
    assert row["resolved_by"] == ("withheld" if status == "withheld" else "tracking_pipeline")
    assert row["withheld_reason"] == ("consent denied" if status == "withheld" else None)


def test_a_column_of_the_sites_own_leads_table_counts_as_the_newest(
    queue: Queue, runs: Runs
) -> None:
    queue.connection.execute("alter table leads add column marketing_consent boolean")
    lead_id = a_lead(queue)
    says(queue, lead_id, 5, GRANT)
    queue.connection.execute("update leads set marketing_consent = false where id = %s", (lead_id,))
    added = add(queue, lead_id, replayed=True)

    runs.run()

    assert queue.row(added)["withheld_reason"] == "consent denied"


def test_a_first_retry_goes_by_what_its_payload_says(queue: Queue, runs: Runs) -> None:
    lead_id = a_lead(queue)
    says(queue, lead_id, 5, REFUSAL)
    added = add(queue, lead_id, replayed=False)

    runs.run()

    assert queue.row(added)["resolved_by"] == "tracking_pipeline"


def test_a_replay_waits_while_nobody_can_know_what_the_lead_says(queue: Queue, runs: Runs) -> None:
    replayed = add(queue, a_lead(queue), replayed=True)
    fresh = add(queue, a_lead(queue), replayed=False)
    queue.connection.execute("alter table wm_event_log rename to elsewhere")

    runs.run()

    queue.connection.execute("alter table elsewhere rename to wm_event_log")
    assert queue.row(fresh)["status"] == "resolved"
    row = queue.row(replayed)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
    assert [attempt["outcome"] for attempt in queue.attempts(replayed)] == ["postponed"]
