"""What is counted of the queue, and what is not."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tracking_pipeline.store.queue_counts import count_dead_letters, count_unclaimable
from tracking_pipeline_tests.delivery.failed_event_queue import Queue


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        ({}, 0),
        ({"status": "retrying"}, 0),
        ({"status": "resolved", "destination": None}, 0),
        ({"status": "dead_letter", "destination": None}, 0),
        ({"status": None}, 3),
        ({"destination": None}, 3),
        ({"status": "retrying", "destination": None}, 3),
        ({"status": None, "destination": None}, 3),
    ],
)
def test_a_row_without_a_status_or_a_destination_is_counted(
    connection: psycopg.Connection, columns: dict[str, Any], count: int
) -> None:
    # As a site's own table is.
    connection.execute(
        "alter table tracking_failed_events"
        " alter status drop not null, alter destination drop not null"
    )
    Queue(connection).add(3, **columns)
    assert count_unclaimable(connection) == count


def test_rare_reasons_are_counted_together_and_none_is_left_out(
    connection: psycopg.Connection,
) -> None:
    queue = Queue(connection)
    queue.add(4, status="dead_letter", dead_letter_reason="expired", failure_code="EVENT_EXPIRED")
    for number in range(3):
        queue.add(1, status="dead_letter", dead_letter_reason=f"refused {number}")
    queue.add(9, status="pending")
    assert count_dead_letters(connection, reasons=1) == [
        ("meta_capi", "expired", 4, "EVENT_EXPIRED"),
        ("meta_capi", "other reasons", 3, None),
    ]
