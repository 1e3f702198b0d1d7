"""Lines into the queue: rows, bare payloads, ids that stay the same, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.importing.service import ImportTotals, import_file
from tracking_pipeline_tests.importing.writing import Write

LEAD = "10000000-0000-4000-8000-0000000000aa"


def queue(connection: psycopg.Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from tracking_failed_events order by error_code").fetchall()


def only(connection: psycopg.Connection) -> dict[str, Any]:
    [row] = queue(connection)
    return row


def messages(totals: ImportTotals) -> list[str]:
    return [problem.message for problem in totals.problems]


def test_a_bare_payload_becomes_an_event_that_is_due(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    payload = {"event_name": "Lead", "event_id": "px-1", "email": "a@example.com", "value": 19.9}
    path = write("a.ndjson", payload)
    totals = import_file(database_url, path, "failed-events", destination="meta_capi")
    assert totals == ImportTotals(imported=1, rejected=0, skipped=0)
    row = only(connection)
    assert row["event_payload"] == payload
    assert row["event_id"] == ledger_event_id("px-1")
    expected = {
        "event_name": "Lead",
        "event_type": "conversion",
        "destination": "meta_capi",
        "error_message": "imported",
        "status": "pending",
        "retry_count": 0,
        "max_retries": 5,
        "next_retry_at": None,
        "lead_id": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["created_at"] is not None


def test_a_row_keeps_what_its_columns_say(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute("insert into leads (id, email) values (%s, 'a@example.com')", (LEAD,))
    given = {
        "id": "20000000-0000-4000-8000-000000000001",
        "event_id": "30000000-0000-4000-8000-000000000001",
        "event_name": "Purchase",
        "event_type": "purchase",
        "event_payload": {"event_name": "Other", "event_id": "other"},
        "user_data": {"em": "x"},
        "destination": "google_ec",
        "error_message": "boom",
        "error_code": "190",
        "http_status": 503,
        "retry_count": 2,
        "max_retries": 9,
        "status": "dead_letter",
        "resolved_by": "somebody",
        "dead_letter_reason": "expired",
        "lead_id": LEAD,
        "session_id": "40000000-0000-4000-8000-000000000001",
    }
    times = {
        "next_retry_at": 1760000000,
        "resolved_at": "1760000000000",
        "created_at": "2025-10-09T08:53:20Z",
        "updated_at": "2025-10-09 10:53:20.0+02",
    }
    totals = import_file(
        database_url, write("a.ndjson", {**given, **times, "lease_token": 7}), "failed-events"
    )
    assert totals == ImportTotals(1, 0, 0, (), ("lease_token",))
    row = only(connection)
    assert {
        name: str(row[name]) if isinstance(row[name], UUID) else row[name] for name in given
    } == given
    assert {row[name].isoformat() for name in times} == {"2025-10-09T08:53:20+00:00"}
    assert row["lease_token"] == 0


def test_a_table_of_rows_has_json_in_its_cells(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.csv",
        "Event Payload;user_data;destination;retry_count;http_status\n",
        '"{""event_name"":""Lead"",""a"":[1]}";"{""em"":""x""}";meta_capi;3;503.0\n',
        "{not json;;meta_capi;0;\n",
        ";;meta_capi;0;\n",
    )
    totals = import_file(database_url, path, "failed-events")
    assert (totals.imported, totals.rejected) == (1, 2)
    assert messages(totals) == [
        "event_payload is not valid JSON (character 2): correct it",
        "missing event_payload: a failed event needs what is to be sent",
    ]
    row = only(connection)
    assert row["event_payload"] == {"event_name": "Lead", "a": [1]}
    assert (row["user_data"], row["retry_count"], row["http_status"]) == ({"em": "x"}, 3, 503)


def test_a_table_of_payloads_makes_a_payload_of_each_row(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.csv",
        "event_name,email,destination,custom_data,note\n",
        'Lead,a@example.com,supabase,"{""value"":5}",[no json\n',
    )
    assert import_file(database_url, path, "failed-events").imported == 1
    assert only(connection)["event_payload"] == {
        "event_name": "Lead",
        "email": "a@example.com",
        "destination": "supabase",
        "custom_data": {"value": 5},
        "note": "[no json",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({}, "missing destination"),
        ({"destination": "tiktok"}, "destination is not known"),
        ({"destination": 5}, "destination is not known"),
        ({"status": "sent"}, "status is not known"),
        ({"max_retries": 0}, "max_retries is below 1"),
        ({"retry_count": -1}, "retry_count is below 0"),
        ({"retry_count": 2**31}, "retry_count is out of range"),
        ({"retry_count": "9" * 30}, "retry_count is out of range"),
        ({"retry_count": True}, "retry_count is not a whole number"),
        ({"http_status": "5xx"}, "http_status is not a whole number"),
        ({"http_status": 1.5}, "http_status is not a whole number"),
        ({"next_retry_at": "soon"}, "next_retry_at is not a time"),
        ({"created_at": "99999-01-01"}, "created_at is not a time"),
        ({"created_at": -(10**18)}, "created_at is not a time"),
        ({"id": "7"}, "id is not a uuid"),
        ({"session_id": "abc"}, "session_id is not a uuid"),
        ({"lead_id": LEAD}, "lead_id is not in leads"),
        ({"error_message": {"a": 1}}, "error_message is not text"),
        ({"error_code": "a\0b"}, "error_code holds a NUL"),
        ({"event_payload": {"a": ["\0"]}}, "event_payload holds a NUL"),
        ({"event_payload": None}, "missing event_payload"),
        ({"event_payload": " "}, "missing event_payload"),
    ],
)
def test_a_refused_line_names_its_field_and_a_remedy(
    write: Write,
    database_url: str,
    connection: psycopg.Connection,
    line: dict[str, Any],
    said: str,
) -> None:
    good = {"event_payload": {"a": "\\u0000 in letters"}, "destination": "meta_capi"}
    bad = {"event_payload": {"b": 1}, **({"destination": "meta_capi"} if line else {}), **line}
    totals = import_file(database_url, write("a.ndjson", good, bad), "failed-events")
    assert (totals.imported, totals.rejected) == (1, 1)
    [problem] = totals.problems
    assert problem.line == 2
    assert problem.message.startswith(said)
    assert ":" in problem.message
    assert only(connection)["event_payload"] == {"a": "\\u0000 in letters"}


def test_nesting_beyond_what_can_be_written_again_costs_only_its_line(
    write: Write, database_url: str
) -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    path = write("a.ndjson", deep + "\n", {"event_name": "Lead"})
    totals = import_file(database_url, path, "failed-events", destination="supabase")
    assert (totals.imported, totals.rejected) == (1, 1)
    assert "nested too deeply" in totals.problems[0].message


def test_a_payload_that_delivery_cannot_read_is_imported(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.ndjson", {"event_payload": "garbage", "destination": "meta_capi"})
    assert import_file(database_url, path, "failed-events").imported == 1
    row = only(connection)
    assert (row["event_payload"], row["event_name"]) == ("garbage", "")


def test_a_payload_stored_as_json_text_is_read(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    payload = '{"event_name":"Lead","event_id":"px-9"}'
    path = write("a.ndjson", {"event_payload": payload, "destination": "meta_capi"})
    import_file(database_url, path, "failed-events")
    row = only(connection)
    assert row["event_payload"] == {"event_name": "Lead", "event_id": "px-9"}
    assert (row["event_name"], row["event_id"]) == ("Lead", ledger_event_id("px-9"))


def test_json_text_that_is_no_object_stays_text(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.ndjson", {"event_payload": "123", "destination": "meta_capi"})
    import_file(database_url, path, "failed-events")
    assert only(connection)["event_payload"] == "123"


def test_an_id_that_is_no_uuid_reaches_the_destination_in_the_payload(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.ndjson", {"event_payload": {"a": 1}, "event_id": "px-7", "destination": "meta_capi"}
    )
    import_file(database_url, path, "failed-events")
    row = only(connection)
    assert row["event_id"] == ledger_event_id("px-7")
    assert row["event_payload"] == {"a": 1, "event_id": "px-7"}


def test_a_payloads_own_id_is_not_replaced(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    payload = {"metadata": {"eventId": "px-8"}}
    path = write(
        "a.ndjson", {"event_payload": payload, "event_id": "row", "destination": "meta_capi"}
    )
    import_file(database_url, path, "failed-events")
    row = only(connection)
    assert (row["event_id"], row["event_payload"]) == (ledger_event_id("row"), payload)


def test_a_file_that_is_imported_twice_is_skipped(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.ndjson",
        {"event_name": "Lead", "a": 1},
        {"a": 1, "event_name": "Lead"},
        {"event_name": "Lead", "a": 2},
        {"event_payload": {"a": 1}},
    )
    first = import_file(database_url, path, "failed-events", destination="meta_capi")
    assert (first.imported, first.skipped) == (3, 1)
    again = import_file(database_url, path, "failed-events", destination="meta_capi")
    assert (again.imported, again.skipped) == (0, 4)
    elsewhere = import_file(database_url, path, "failed-events", destination="supabase")
    assert (elsewhere.imported, elsewhere.skipped) == (3, 1)
    assert len(queue(connection)) == 6


def test_a_line_names_its_destination_before_the_option_does(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "a.ndjson",
        {"event_payload": {}, "destination": "gtm_server", "error_code": "1"},
        {"event_name": "Search", "destination": "supabase", "error_code": "2"},
        {"event_name": "Search", "destination": "Paris", "error_code": "3"},
    )
    import_file(database_url, path, "failed-events", destination="meta_capi")
    named = connection.execute("select destination from tracking_failed_events").fetchall()
    assert sorted(named) == [("gtm_server",), ("meta_capi",), ("supabase",)]


def test_a_payloads_lead_is_linked_where_it_is_known(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute("insert into leads (id, email) values (%s, 'a@example.com')", (LEAD,))
    path = write(
        "a.ndjson",
        {"event_name": "Known", "lead_id": LEAD},
        {"event_name": "Unknown", "lead_id": LEAD.replace("aa", "bb")},
        {"event_name": "NoUuid", "lead_id": "crm-5"},
    )
    totals = import_file(database_url, path, "failed-events", destination="meta_capi")
    assert totals.imported == 3
    links = connection.execute(
        "select event_name, lead_id::text, event_payload ? 'lead_id' from tracking_failed_events"
        " order by event_name"
    ).fetchall()
    assert links == [("Known", LEAD, True), ("NoUuid", None, True), ("Unknown", None, True)]
