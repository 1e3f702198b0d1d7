"""The ledger as a destination: inserted once, whoever was first, and nothing raw in it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs

ONE_CONVERSION = "lead_submission_success"


def _drain(runs: Runs) -> DestinationTotals:
    return runs.run(destinations=("supabase",)).by_destination["supabase"]


def _ledger(queue: Queue, event_id: UUID) -> dict[str, Any]:
    (row,) = queue.read("select * from wm_event_log where event_id = %s", event_id)
    return row


def _count(queue: Queue) -> int:
    return int(queue.one("select count(*) from wm_event_log"))


def _add(queue: Queue, count: int = 1, **columns: Any) -> list[Added]:
    return queue.add(count, **{"destination": "supabase", **columns})


def test_an_event_is_inserted_under_its_own_id(queue: Queue, runs: Runs) -> None:
    (added,) = _add(queue, event_payload=payload(page_path="/quote", lead_score=7))

    totals = _drain(runs)

    assert (totals.resolved, totals.duplicates, totals.duplicate_conversions) == (1, 0, 0)
    row = _ledger(queue, added.event_id)
    assert (row["event_name"], row["page_path"], row["lead_score"]) == ("Lead", "/quote", 7)
    assert row["ingested_by"] == "tracking_pipeline"
    assert row["event_time"] == queue.row(added)["created_at"]


def test_an_event_that_is_there_already_counts_as_delivered(queue: Queue, runs: Runs) -> None:
    there, new = _add(queue, 2)
    queue.connection.execute(
        "insert into wm_event_log (event_id, event_name) values (%s, 'first')", (there.event_id,)
    )

    totals = _drain(runs)

    assert (totals.resolved, totals.duplicates, totals.duplicate_conversions) == (2, 1, 0)
    assert _ledger(queue, there.event_id)["event_name"] == "first"
    assert _ledger(queue, new.event_id)["event_name"] == "Lead"
    assert queue.row(there)["status"] == "resolved"


def test_one_event_in_the_queue_twice_is_in_the_ledger_once(queue: Queue, runs: Runs) -> None:
    event_id = str(uuid4())
    _add(queue, 2, event_payload=payload(event_id=event_id))

    totals = _drain(runs)

    assert (totals.resolved, totals.duplicates) == (2, 1)
    assert _count(queue) == 1


def test_a_conversion_that_was_recorded_under_another_id_counts_as_delivered(
    queue: Queue, runs: Runs
) -> None:
    lead = uuid4()
    queue.connection.execute("insert into leads (id, email) values (%s, 'a@example.com')", (lead,))
    queue.connection.execute(
        "insert into wm_event_log (event_id, lead_id, event_name) values (%s, %s, %s)",
        (uuid4(), lead, ONE_CONVERSION),
    )
    (added,) = _add(queue, lead_id=lead, event_payload=payload(event_name=ONE_CONVERSION))

    totals = _drain(runs)

    assert (totals.resolved, totals.duplicates, totals.duplicate_conversions) == (1, 0, 1)
    assert queue.row(added)["status"] == "resolved"
    assert _count(queue) == 1


def test_a_row_that_the_ledger_refuses_is_parked_and_its_mates_are_inserted(
    queue: Queue, runs: Runs
) -> None:
    rows = _add(queue, 40)
    queue.connection.execute(
        "alter table wm_event_log add constraint site_rule"
        f" check (event_id <> '{rows[23].event_id}')"
    )

    totals = _drain(runs)

    assert (totals.resolved, totals.dead_lettered) == (39, 1)
    assert queue.row(rows[23])["dead_letter_reason"] == "refused by the ledger: 23514"
    assert _count(queue) == 39


def test_an_id_that_is_no_uuid_is_mapped_and_kept(queue: Queue, runs: Runs) -> None:
    _add(queue, event_payload=payload(event_id="order-77"))

    _drain(runs)

    assert _ledger(queue, ledger_event_id("order-77"))["metadata"]["event_id"] == "order-77"


def test_a_ledger_that_is_missing_a_column_pauses_and_spends_nothing(
    queue: Queue, runs: Runs
) -> None:
    (added,) = _add(queue)
    queue.connection.execute("alter table wm_event_log drop column campaign_id")

    totals = _drain(runs)

    assert (totals.state, totals.paused) == ("paused", 1)
    assert queue.row(added)["retry_count"] == 0
    assert queue.alerts()[0]["alert_type"] == "destination_paused"


def test_the_ledger_stays_append_only(queue: Queue, runs: Runs) -> None:
    _add(queue)
    _drain(runs)

    for statement in (b"update wm_event_log set event_name = 'x'", b"delete from wm_event_log"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            queue.connection.execute(statement)


def test_the_ledgers_row_holds_no_raw_identifier(queue: Queue, runs: Runs) -> None:
    (added,) = _add(
        queue,
        event_payload=payload(
            "canary.person@example.com",
            phone="+1 415 555 0132",
            first_name="Canarisha",
            metadata={"note": "ask canary.person@example.com", "form": "quote"},
            custom_data={"phone": "4155550132"},
        ),
    )

    _drain(runs)

    row = _ledger(queue, added.event_id)
    whole = json.dumps(row, default=str).lower()
    for canary in ("canary.person", "415 555 0132", "4155550132", "canarisha"):
        assert canary not in whole
    assert len(row["email_sha256"]) == len(row["phone_sha256"]) == 64
    assert row["metadata"]["form"] == "quote"


def test_a_payload_with_nul_characters_is_inserted(queue: Queue, runs: Runs) -> None:
    # jsonb holds no U+0000, but JSON text inside it may spell one.
    (added,) = _add(queue, event_payload=Jsonb('{"event_name": "Lead", "note": "a\\u0000b"}'))
    assert isinstance(queue.row(added)["event_payload"], str)

    assert _drain(runs).resolved == 1
