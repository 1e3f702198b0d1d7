"""Rows of the queue that nothing ever sends are found, and no others."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tracking_pipeline.store.unclaimable_events import count_unclaimable
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
