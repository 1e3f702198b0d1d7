"""save-lead: what a posted form becomes in leads and in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.identity import match_keys
from tracking_pipeline_tests.geo.databases import BERLIN, write_database
from tracking_pipeline_tests.web.intake_site import ADDRESS, AGENT, Site, site

EMAIL = "Emily.Stone@example.com"
SESSION = "a0000000-0000-4000-8000-000000000001"
FORM = {
    "name": "Emily Stone",
    "email": f" {EMAIL} ",
    "phone": "+1 415 555 2671",
    "address": {"street": "1 Main St", "city": "Austin", "state": "TX", "zip_code": "78701"},
    "gclid": "Cj0KCQ",
    "fbp": "fb.1.1700000000000.1234567890",
    "session_data": {"utm_source": "google", "answers": ["yes", 3]},
    "message": "I would like to know more about my condition",
}


@pytest.fixture
def ours(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    with site(connection, database_url, log_event_forward_to=("meta_capi",)) as running:
        yield running


def test_a_form_becomes_a_lead_and_its_event(ours: Site) -> None:
    answer = ours.save_lead(FORM)

    assert answer.status_code == 200, answer.text
    (lead,), (event,) = ours.leads(), ours.ledger()
    assert answer.json() == {
        "success": True,
        "lead_id": str(lead["id"]),
        "duplicate": False,
        "located": True,
        "event": {
            "success": True,
            "event_id": str(event["event_id"]),
            "duplicate": False,
            "duplicate_conversion": False,
            "forwarded_to": [],
        },
    }
    expected = {
        "email": EMAIL,
        "name": "Emily Stone",
        "first_name": "Emily",
        "last_name": "Stone",
        "phone": "+1 415 555 2671",
        "city": "Austin",
        "state": "Texas",
        "zip": "78701",
        "gclid": "Cj0KCQ",
        "fbp": FORM["fbp"],
        "session_data": FORM["session_data"],
        "client_ip": ADDRESS,
        "client_user_agent": AGENT,
        "geo_status": "ok",
        "geo_source": "user",
    }
    assert {name: lead[name] for name in expected} == expected
    assert (event["event_name"], event["event_type"]) == ("lead_captured", "conversion")
    assert event["lead_id"] == lead["id"]
    assert event["gclid"] == "Cj0KCQ"
    keys = match_keys({"user_data": {**FORM, **FORM["address"]}})  # type: ignore[dict-item]
    assert {name: event["user_data"].get(name) for name in ("em", "ph", "fn", "ln", "zp")} == {
        name: keys[name] for name in ("em", "ph", "fn", "ln", "zp")
    }


def test_what_somebody_wrote_into_a_form_stays_out_of_the_ledger(ours: Site) -> None:
    ours.save_lead(FORM)

    kept = json.dumps(ours.ledger(), default=str)
    for raw in (EMAIL, "Emily", "4155552671", "condition", "1 Main", "answers"):
        assert raw not in kept


def test_a_form_that_names_its_event_is_forwarded_as_that(ours: Site) -> None:
    answer = ours.save_lead({**FORM, "event_name": "Lead", "event_id": "ev-9", "value": 20})

    assert answer.json()["event"]["event_id"] == "ev-9"
    assert answer.json()["event"]["forwarded_to"] == ["meta_capi"]
    (accepted,), (lead,) = ours.accepted(), ours.leads()
    assert accepted["lead_id"] == lead["id"]
    assert accepted["event_payload"]["event_id"] == "ev-9"
    # The same event by the other way is the same event.
    again = ours.log_event({"event_name": "Lead", "event_id": "ev-9"})
    assert again.json()["duplicate"]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"lead_id": str(uuid4())}, {}),
        ({}, {"idempotency_key": "form-1"}),
        ({"event_id": "ev-1"}, {}),
        ({"session_id": SESSION}, {}),
        ({"sessionId": "any text"}, {}),
    ],
    ids=["lead id", "idempotency key", "event id", "session", "session as text"],
)
def test_a_form_that_is_sent_again_makes_no_second_lead(
    ours: Site, fields: dict[str, str], headers: dict[str, str]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        posts = [pool.submit(ours.save_lead, {**FORM, **fields}, **headers) for _ in range(16)]
        answers = [post.result().json() for post in posts]

    (lead,) = ours.leads()
    assert {answer["lead_id"] for answer in answers} == {str(lead["id"])}
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 15
    assert len(ours.ledger()) == 1
    if "lead_id" in fields:
        assert lead["id"] == UUID(fields["lead_id"])


def test_another_person_in_the_same_session_is_another_lead(ours: Site) -> None:
    for email in (EMAIL, EMAIL.upper(), "somebody.else@example.com"):
        ours.save_lead({**FORM, "email": email, "session_id": SESSION})

    assert [lead["email"] for lead in ours.leads()] == [EMAIL, "somebody.else@example.com"]


def test_a_lead_that_is_there_is_not_changed_by_whoever_knows_its_id(ours: Site) -> None:
    lead_id = ours.save_lead(FORM).json()["lead_id"]
    before = ours.leads()

    answer = ours.save_lead({"lead_id": lead_id, "email": "thief@example.com", "fbc": "fb.1.2.3"})

    assert answer.status_code == 409
    assert "lead_id" in answer.json()["error"]
    assert EMAIL.lower() not in answer.text.lower()
    assert ours.leads() == before
    assert len(ours.ledger()) == 1


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"event_id": "lead-form"}, {}), ({}, {"idempotency_key": "form-1"})],
    ids=["a constant event id", "a constant key"],
)
def test_persons_who_share_the_id_of_a_form_are_leads_of_their_own(
    ours: Site, fields: dict[str, str], headers: dict[str, str]
) -> None:
    emails = ["a@example.com", "b@example.com", "c@example.com"]

    answers = [ours.save_lead({"email": each, **fields}, **headers).json() for each in emails]

    assert [lead["email"] for lead in ours.leads()] == emails
    assert len({answer["lead_id"] for answer in answers}) == 3
    assert not any(answer["duplicate"] for answer in answers)


@pytest.mark.parametrize("names_id", [True, False], ids=["by its id", "by its session"])
def test_the_second_step_of_a_form_fills_what_the_first_left_open(
    ours: Site, names_id: bool
) -> None:
    first = ours.save_lead({"email": EMAIL, "city": "Austin", "session_id": SESSION}).json()
    which = {"lead_id": first["lead_id"]} if names_id else {"session_id": SESSION}

    step = {"phone": "+1 415 555 2671", "city": "Dallas", "state": "TX", "zip": "78701"}
    second = ours.save_lead({"email": EMAIL.upper(), **step, **which}).json()

    assert (second["lead_id"], second["duplicate"]) == (first["lead_id"], True)
    (lead,) = ours.leads()
    said = {"email": EMAIL, "phone": "+1 415 555 2671", "city": "Austin", "state": "Texas"}
    assert {name: lead[name] for name in said} == said
    assert lead["zip"] == "78701"


def test_a_blank_column_is_filled_and_a_row_in_which_nothing_is_open_is_not_written(
    ours: Site, connection: psycopg.Connection
) -> None:
    form = {"email": EMAIL, "session_id": SESSION}
    ours.save_lead({**form, "zip": "78701"})
    connection.execute("update leads set phone = '  '")

    ours.save_lead({**form, "phone": "+1 415 555 2671"})
    (filled,) = ours.read("select phone, xmin::text from leads")
    ours.save_lead({**form, "phone": "+1 415 555 0000", "zip": "10001"})

    assert filled["phone"] == "+1 415 555 2671"
    assert ours.read("select phone, xmin::text from leads") == [filled]


def test_the_server_of_a_second_step_is_not_taken_for_the_visitor(ours: Site) -> None:
    form = {"email": EMAIL, "session_id": SESSION}
    ours.save_lead({**form, "client_ip": "2.125.160.216"})

    ours.save_lead({**form, "phone": "+1 415 555 2671"}, user_agent="node")

    (lead,) = ours.leads()
    assert (lead["client_ip"], lead["client_user_agent"]) == ("2.125.160.216", None)


def test_what_a_person_says_replaces_what_was_looked_up_and_nothing_they_said_before(
    connection: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    path = write_database(tmp_path / "places.mmdb", {f"{ADDRESS}/32": BERLIN})
    form = {"email": EMAIL, "session_id": SESSION}
    with site(connection, database_url, geo_mmdb_path=path) as ours:
        ours.save_lead({**form, "zip": "78701"})
        assert ours.leads()[0]["city"] == "Berlin"
        for city in ("Austin", "Dallas"):
            ours.save_lead({**form, "city": city, "state": "TX", "zip": "10001", "country": "US"})
        (lead,) = ours.leads()

    place = {"city": "Austin", "state": "Texas", "zip": "78701", "country": "US"}
    assert {name: lead[name] for name in place} == place
    assert lead["geo_fields"] == {name: {"source": "user"} for name in place}
    assert (lead["geo_source"], lead["state_code"]) == ("user", None)


def test_a_place_that_is_half_the_persons_keeps_the_source_of_the_rest(
    connection: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    path = write_database(tmp_path / "places.mmdb", {f"{ADDRESS}/32": BERLIN})
    form = {"email": EMAIL, "session_id": SESSION}
    with site(connection, database_url, geo_mmdb_path=path) as ours:
        ours.save_lead(form)
        before = ours.leads()[0]
        ours.save_lead({**form, "city": "Austin"})
        (lead,) = ours.leads()

    assert (lead["city"], lead["state"]) == ("Austin", before["state"])
    assert lead["geo_source"] == before["geo_source"] != "user"
    assert lead["geo_fields"] == {**before["geo_fields"], "city": {"source": "user"}}


def test_what_the_session_said_of_the_place_is_the_persons(ours: Site) -> None:
    place = {"city": "Austin", "state": "Texas", "zip": "78701"}
    form = {"email": EMAIL, "session_id": SESSION}
    ours.save_lead({**form, "session_data": place})
    (before,) = ours.leads()
    assert before["geo_fields"]["city"]["source"] == "session"

    ours.save_lead({**form, "city": "Dallas"})

    assert ours.leads() == [before]


@pytest.mark.parametrize("address", ["10.0.0.1", "'; drop table leads; --", "::1", 17])
def test_an_address_that_is_nobodys_gives_way_to_the_connections(
    ours: Site, address: object
) -> None:
    ours.save_lead({**FORM, "client_ip": address}).raise_for_status()
    ours.save_lead({**FORM, "client_ip": address, "user_agent": "Mozilla/5.0 (X11)"})

    assert [(lead["client_ip"], lead["client_user_agent"]) for lead in ours.leads()] == [
        (ADDRESS, AGENT),
        (ADDRESS, "Mozilla/5.0 (X11)"),
    ]


def test_a_lead_with_an_event_name_that_is_too_long_is_still_a_lead(ours: Site) -> None:
    answer = ours.save_lead({**FORM, "event_name": "x" * 201})

    assert (answer.status_code, answer.json()["event"]) == (200, None)
    assert len(ours.leads()) == 1


def test_a_form_reaches_no_other_column_of_the_sites_table(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table leads add column is_vip boolean, add column score int")

    ours.save_lead({**FORM, "is_vip": True, "score": 99, "geo_status": "ok", "id": str(uuid4())})
    ours.save_lead({**FORM, "created_at": "2001-01-01", "ip_hash": "x"})

    for lead in ours.leads():
        assert lead["is_vip"] is lead["score"] is lead["ip_hash"] is None
        assert lead["created_at"].year > 2001


def test_a_column_that_the_sites_table_needs_comes_from_the_form(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table leads add column form_name text not null")

    refused = ours.save_lead(FORM)
    taken = ours.save_lead({**FORM, "formName": "contact"})

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert "form_name" in refused.json()["error"]
    assert [lead["form_name"] for lead in ours.leads()] == ["contact"]


def test_a_site_that_has_each_address_once_gets_the_event_of_the_lead_it_has(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table leads add unique (email)")
    first = ours.save_lead(FORM).json()

    again = ours.save_lead({**FORM, "session_id": SESSION, "fbc": "fb.1.1700000000000.x"}).json()

    # Whoever knows no more of somebody than their address is not told the id.
    assert (again["lead_id"], again["duplicate"]) == (None, True)
    assert [lead["fbc"] for lead in ours.leads()] == ["fb.1.1700000000000.x"]
    assert {str(row["lead_id"]) for row in ours.ledger()} == {first["lead_id"]}


def test_an_address_that_a_site_has_once_in_any_case_is_found_in_another(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("create unique index on leads (lower(email))")
    ours.save_lead({"email": EMAIL})

    assert ours.save_lead({"email": EMAIL.upper(), "zip": "78701"}).json()["duplicate"]
    assert [lead["zip"] for lead in ours.leads()] == ["78701"]


def test_a_lead_that_another_unique_column_is_in_the_way_of_is_no_success(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table leads add unique (phone)")
    ours.save_lead(FORM)

    answer = ours.save_lead({**FORM, "email": "somebody.else@example.com"})

    assert answer.status_code == 409
    assert len(ours.leads()) == len(ours.ledger()) == 1


def test_a_lead_that_the_sites_table_refuses_is_refused_whole(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table leads add check (city <> 'Austin')")

    answer = ours.save_lead(FORM)

    assert answer.status_code == 422
    assert "23514" in answer.json()["error"]
    assert EMAIL not in answer.text
    assert ours.leads() == ours.ledger() == []


def test_a_ledger_that_refuses_the_event_does_not_cost_the_lead(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("alter table wm_event_log add check (event_name <> 'lead_captured')")

    answer = ours.save_lead(FORM)

    assert (answer.status_code, answer.json()["event"]) == (200, None)
    assert len(ours.leads()) == 1


def test_a_form_with_an_event_time_that_is_none_is_still_a_lead(ours: Site) -> None:
    answer = ours.save_lead({**FORM, "event_time": "soon"})

    assert (answer.status_code, answer.json()["event"]) == (200, None)
    assert len(ours.leads()) == 1


def test_a_lead_gets_its_place_at_once_where_the_local_file_knows_its_address(
    connection: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    path = write_database(tmp_path / "places.mmdb", {f"{ADDRESS}/32": BERLIN})
    with site(connection, database_url, geo_mmdb_path=path) as ours:
        known = ours.save_lead({"email": EMAIL, "zip": "10999"})
        unknown = ours.save_lead({"email": EMAIL}, x_forwarded_for="2.125.160.216")
        first, second = ours.leads()

    assert (known.json()["located"], unknown.json()["located"]) == (True, False)
    assert (first["city"], first["zip"], first["country"]) == ("Berlin", "10999", "DE")
    assert (first["geo_status"], first["geo_source"]) == ("ok", "mmdb dbip-city-lite 2026-11")
    assert first["geo_fields"]["zip"] == {"source": "user"}
    # The batch asks the other sources about it.
    assert (second["city"], second["geo_status"]) == (None, None)


def test_a_lead_of_a_sites_server_has_the_address_that_it_names(ours: Site) -> None:
    ours.save_lead({**FORM, "client_ip_address": "2.125.160.216"}, user_agent="node")

    (lead,) = ours.leads()
    assert (lead["client_ip"], lead["client_user_agent"]) == ("2.125.160.216", None)


def test_only_a_trusted_proxy_says_whose_address_it_is(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, trusted_proxies="10.0.0.0/8") as ours:
        ours.save_lead(FORM)
        assert ours.leads()[0]["client_ip"] is None
    with site(connection, database_url, trusted_proxies="127.0.0.1,10.0.0.0/8") as ours:
        # What stands left of the first address that is no proxy, the client wrote itself.
        ours.save_lead(FORM, x_forwarded_for=f"1.1.1.1, {ADDRESS}, 10.0.0.7")
        assert ours.leads()[1]["client_ip"] == ADDRESS


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"{'email': 1}", 400, "JSON"),
        (b"[]", 422, "JSON object"),
        ({}, 422, "email"),
        ({"email": None}, 422, "email"),
        ({"email": "no address"}, 422, "email"),
        ({"email": 17}, 422, "email"),
        ({"email": ["a@example.com"]}, 422, "email"),
        ({"email": {"a": "b"}}, 422, "email"),
        ({**FORM, "phone": {"number": "1"}}, 422, "phone"),
        ({**FORM, "city": ["Austin"]}, 422, "city"),
        ({**FORM, "lead_id": "17"}, 422, "lead_id"),
        ({**FORM, "name": "x" * 3000}, 422, "name"),
    ],
)
def test_what_is_no_lead_is_refused_with_what_is_wrong(
    ours: Site, body: Any, status: int, word: str
) -> None:
    answer = ours.save_lead(body)

    assert answer.status_code == status
    assert word in answer.json()["error"]
    assert EMAIL not in answer.text
    assert ours.leads() == ours.ledger() == []


def test_a_nul_does_not_cost_the_lead_as_it_does_not_cost_an_event(ours: Site) -> None:
    form = {**FORM, "fbp": "a\x00b", "session_data": {"a": "b\x00c"}}

    assert ours.save_lead(form).status_code == 200
    (lead,) = ours.leads()
    assert (lead["fbp"], lead["session_data"]) == ("ab", {"a": "bc"})


@pytest.mark.parametrize("place", ["lead", "customer"])
def test_a_form_that_names_its_visitor_is_believed_before_who_forwards_it(
    ours: Site, place: str
) -> None:
    form = {"email": EMAIL, place: {"user_agent": "Mozilla/5.0 of the form"}}

    assert ours.save_lead(form, x_visitor_address="81.2.70.7").status_code == 200
    (lead,) = ours.leads()
    assert (lead["client_ip"], lead["client_user_agent"]) == (None, "Mozilla/5.0 of the form")


def test_who_forwards_a_form_names_its_visitor_beside_it(ours: Site) -> None:
    ours.save_lead({"email": EMAIL}, x_visitor_address="81.2.70.7")
    ours.save_lead({"email": f"another.{EMAIL}"}, x_visitor_address="")

    assert [lead["client_ip"] for lead in ours.leads()] == ["81.2.70.7", None]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"user": value}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"address": "1 Main St, Austin"},
        {"address": [1, 2], "user": None, "customer": "x"},
        {"session_data": "text", "sessionData": 5},
        {"session_data": deep(200)},
        {"user": deep(900)},
        {"name": 17, "zip": 78701, "country": "Atlantis"},
        {"client_ip": "not an address", "client_user_agent": ""},
        {"event_id": ["x"], "session_id": {"a": 1}, "event_name": 5},
        {"'; drop table leads; --": "x", "": None, "%s": "%s", "__proto__": {}},
    ],
)
def test_values_of_the_wrong_type_do_not_cost_the_lead(ours: Site, fields: dict[str, Any]) -> None:
    answer = ours.save_lead(json.dumps({"email": EMAIL, **fields}).encode())

    assert answer.status_code == 200, answer.text
    assert len(ours.leads()) == 1


def test_a_marker_of_no_value_is_none_in_a_form_and_in_an_event(ours: Site) -> None:
    names = ("lead_id", "event_id", "session_id", "name", "city", "state", "zip", "gclid")
    for number, marker in enumerate(("\\N", "[NULL]", "(null)", "undefined", "NaN", "<nil>")):
        fields = dict.fromkeys(names, marker)
        answer = ours.save_lead({"email": f"{number}@example.com", **fields})
        assert answer.status_code == 200, (marker, answer.text)
        event = {"event_name": "Lead", "event_time": marker, "user_data": {"ct": marker}}
        answer = ours.log_event(json.dumps({**fields, **event}).encode())
        assert answer.status_code == 200, (marker, answer.text)
        assert not answer.json()["duplicate"], marker
    assert {lead[name] for lead in ours.leads() for name in names[3:]} == {None}
    events = ours.ledger()
    assert len(events) == 12
    assert {(event["session_id"], event["gclid"]) for event in events} == {(None, None)}
    assert not any((event["user_data"] or {}).get("ct") for event in events)
