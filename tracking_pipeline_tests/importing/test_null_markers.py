"""What says nothing: one notion for files, forms, look-ups and counts."""

from __future__ import annotations

import csv
import io
import json

import psycopg
import pytest

from tracking_pipeline.events.reading import read_payload
from tracking_pipeline.geo.place import session_place
from tracking_pipeline.geo.provider import NO_PLACE
from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.quick import name_for_meta
from tracking_pipeline.importing.service import import_file
from tracking_pipeline.null_markers import NULL_MARKERS, says_nothing
from tracking_pipeline.store.lead_text import NOT_SAID, SAID
from tracking_pipeline_tests.importing.writing import Write

# A surname, given names, towns, Namibia, North America.
SAID_BY_PEOPLE = ["Null", "Nil", "Nan", "NA", "Na", "Nulle", "Nanterre", "N", "None, TO", "0"]
AROUND = ["{}", " {} ", "\t{}", "{}\u00a0", "\ufeff{}"]


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_a_marker_says_nothing_and_a_person_does(around: str) -> None:
    assert all(says_nothing(around.format(marker)) for marker in ("", *NULL_MARKERS))
    assert not any(says_nothing(around.format(said)) for said in SAID_BY_PEOPLE)
    assert says_nothing('"NULL"')


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_the_database_has_the_same_notion(connection: psycopg.Connection, around: str) -> None:
    for said in ("", *NULL_MARKERS, *SAID_BY_PEOPLE):
        text = around.format(said)
        statement = f"select %(text)s::text {SAID}, %(text)s::text {NOT_SAID}"
        row = connection.execute(statement, {"text": text}).fetchone()
        assert row == (not says_nothing(text), says_nothing(text)), text


KEYS = "em ph fn ln ge db ct st zp country external_id fbp fbc client_ip_address client_user_agent"


@pytest.mark.parametrize("around", [*AROUND, '"{}"'], ids=ascii)
def test_nothing_is_hashed_of_a_marker_and_a_name_is(around: str) -> None:
    for marker in NULL_MARKERS:
        for platform in ("meta", "google"):
            made = {key: normalize(key, around.format(marker), platform) for key in KEYS.split()}
            assert not any(made.values()), marker
        assert name_for_meta(around.format(marker), "US") is None, marker
    assert normalize("ln", "Null") == "null"


EVENT_FIELDS = (
    "event_name event_id event_time order_id session_id currency value page_location gclid city"
)


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_a_field_of_an_event_that_holds_a_marker_is_absent(around: str) -> None:
    for marker in NULL_MARKERS:
        reading = read_payload(dict.fromkeys(EVENT_FIELDS.split(), around.format(marker)))
        assert reading.found == {}, marker


def test_a_session_that_holds_markers_says_no_place() -> None:
    for marker in NULL_MARKERS:
        session = json.dumps({"city": marker, "region": marker, "postal": marker})
        assert session_place(session, "US") in (None, NO_PLACE), marker


def table(*rows: tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def test_no_marker_becomes_a_value_of_a_lead(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    head = ("email", "last_name", "city", "state", "zip", "client_ip", "fbp")
    people = [
        (f"{number}@example.com", *(marker for _ in head[1:]))
        for number, marker in enumerate(NULL_MARKERS)
    ]
    totals = import_file(database_url, write("leads.csv", table(head, *people)), "leads")
    assert totals.imported == len(NULL_MARKERS), totals.problems
    ((said,),) = connection.execute(
        "select count(coalesce(last_name, city, state, zip, client_ip, fbp)) from leads"
    ).fetchall()
    assert said == 0


def test_no_marker_costs_a_failed_event_its_row(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    typed = ("event_id", "lead_id", "session_id", "http_status", "retry_count", "max_retries")
    head = ("event_payload", "destination", "status", *typed, "next_retry_at", "user_data")
    rows = [
        (json.dumps({"event_name": "Lead", "n": number}), "meta_capi", *([marker] * 9))
        for number, marker in enumerate(NULL_MARKERS)
    ]
    totals = import_file(database_url, write("a.csv", table(head, *rows)), "failed-events")
    assert totals.imported == len(NULL_MARKERS), totals.problems
    # Each its own event: a marker is no id.
    ((ids, other),) = connection.execute(
        "select count(distinct event_id), count(*) filter (where status <> 'pending'"
        " or retry_count <> 0 or max_retries <> 5 or lead_id is not null"
        " or http_status is not null or next_retry_at is not null or user_data is not null)"
        " from tracking_failed_events"
    ).fetchall()
    assert (ids, other) == (len(NULL_MARKERS), 0)


@pytest.mark.parametrize("email", ["(2 rows)", "-----", "total", "a@b", "@", "NULL"])
def test_what_is_no_lead_is_told_by_its_line(write: Write, database_url: str, email: str) -> None:
    path = write("leads.csv", table(("email", "city"), ("a@example.com", "Tampa"), (email, "")))
    totals = import_file(database_url, path, "leads")
    assert totals.imported == 1
    (problem,) = totals.problems
    assert problem.line == 3
    assert "email" in problem.message
