"""Lines into the ledger: stored as delivery stores them, once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import sha256

import psycopg
from psycopg.rows import dict_row

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.importing.records import Problem
from tracking_pipeline.importing.service import ImportTotals, import_file
from tracking_pipeline_tests.importing.writing import Write

LEAD = "10000000-0000-4000-8000-000000000001"


def test_any_shape_is_stored_without_raw_personal_data(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.ndjson",
        {
            "event_name": "Lead",
            "event_id": "px-1",
            "event_time": 1760000000,
            "user_data": {"em": "ana@example.com", "fbp": "fb.1.1760000000000.123"},
            "custom_data": {"note": "call ana@example.com"},
        },
        {"event_name": "Lead", "event_id": "px-2", "email": "ana@example.com", "phone": "x"},
        {"event_name": "Lead", "event_id": "px-3", "lead_id": LEAD, "metadata": {"a": 1}},
    )
    assert import_file(database_url, path, "ledger") == ImportTotals(3, 0, 0)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select * from wm_event_log").fetchall()
    by_id = {row["event_id"]: row for row in rows}
    first = by_id[ledger_event_id("px-1")]
    assert first["email_sha256"] == sha256(b"ana@example.com").hexdigest()
    assert first["event_time"].timestamp() == 1760000000
    assert first["metadata"]["event_id"] == "px-1"
    assert str(by_id[ledger_event_id("px-3")]["lead_id"]) == LEAD
    assert "ana@" not in str(rows)


def test_a_tables_json_cells_are_read(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.csv",
        "event_name,user_data,metadata,fbclid\n",
        'Lead,"{""em"":""ana@example.com""}","{""plan"":""gold""}",\n',
    )
    assert import_file(database_url, path, "ledger").imported == 1
    rows = connection.execute("select email_sha256, metadata, fbclid from wm_event_log").fetchall()
    assert rows == [(sha256(b"ana@example.com").hexdigest(), {"plan": "gold"}, None)]


def test_events_that_are_imported_twice_are_skipped(write: Write, database_url: str) -> None:
    path = write("a.csv", "event_name,event_id\nLead,1\nLead,\nLead,1\n")
    assert import_file(database_url, path, "ledger") == ImportTotals(2, 0, 1)
    assert import_file(database_url, path, "ledger") == ImportTotals(0, 0, 3)


def test_a_conversion_that_the_ledger_knows_under_another_id_is_skipped(
    write: Write, site_url: str
) -> None:
    known = {"event_name": "lead_submission_success", "event_id": "px-1", "lead_id": LEAD}
    path = write("a.ndjson", known, {**known, "event_name": "other_event"})
    assert import_file(site_url, path, "ledger") == ImportTotals(1, 0, 1)


def test_what_could_never_be_sent_is_refused_with_its_field(
    write: Write, database_url: str
) -> None:
    path = write(
        "a.ndjson",
        {"event_id": "px-1"},
        {"event_name": "Lead", "event_time": "yesterday"},
        {"event_name": "Lead", "metadata": {"note": "a\0b"}},
        {"event_name": "Lead", "event_time": "2026-11-24"},
        {"event_name": "Lead", "event_id": {"a": 1}},
        {"events": [{"event_name": "Lead", "event_id": "a"}, {"event_name": "Lead"}]},
        {"event_name": "Lead"},
    )
    totals = import_file(database_url, path, "ledger")
    assert totals == ImportTotals(
        1,
        6,
        0,
        (
            Problem(1, "missing event_name: correct the line or leave it out"),
            Problem(2, "unreadable event_time: correct the line or leave it out"),
            Problem(
                3,
                "metadata holds a NUL character (U+0000), which PostgreSQL cannot store: remove it",
            ),
            Problem(4, "unreadable event_time: correct the line or leave it out"),
            Problem(5, "unreadable event_id: correct the line or leave it out"),
            Problem(
                6,
                "event_payload holds several events: store each in a row of its own:"
                " correct the line or leave it out",
            ),
        ),
    )


def test_a_time_is_taken_that_comes_within_a_day_and_none_beyond(
    write: Write, database_url: str
) -> None:
    now = datetime.now(timezone.utc)
    path = write(
        "a.ndjson",
        {"event_name": "Lead", "event_time": (now + timedelta(hours=20)).isoformat()},
        {"event_name": "Lead", "event_time": (now + timedelta(hours=28)).isoformat()},
    )
    assert import_file(database_url, path, "ledger") == ImportTotals(
        1,
        1,
        0,
        (Problem(2, "event_time lies in the future: correct the line or leave it out"),),
    )
