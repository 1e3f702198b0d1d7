"""log-event: what a posted event becomes in the ledger and in the queue of accepted events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.reading import said_by
from tracking_pipeline.identity import match_keys
from tracking_pipeline_tests.web.intake_site import ADDRESS, AGENT, Site, site

EMAIL = "Emily.Stone@example.com"
PHONE = "+1 415 555 2671"
PERSON = {"email": EMAIL, "phone": PHONE, "first_name": "Emily", "last_name": "Stone"}
FORWARDING = ("meta_capi", "google_ec", "gtm_server")


@pytest.fixture
def ours(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    with site(connection, database_url) as running:
        yield running


@pytest.fixture
def forwarding(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    with site(connection, database_url, log_event_forward_to=FORWARDING) as running:
        yield running


META_FORM = {
    "event_name": "Lead",
    "event_time": 1_790_000_000,
    "event_id": "ev-1",
    "user_data": {"em": EMAIL, "ph": PHONE, "fn": "Emily", "ln": "Stone"},
    "custom_data": {"value": 49.9, "currency": "USD"},
}
FLAT_FORM = {"event": "Lead", "eventId": "ev-1", **PERSON, "value": "49,90", "currency": "usd"}
LEDGER_FORM = {
    "event_name": "Lead",
    "event_id": "ev-1",
    "event_type": "conversion",
    "page_path": "/thanks",
    "metadata": {"value": 49.9, "currency": "USD"},
    "user_data": PERSON,
}


@pytest.mark.parametrize(
    "payload",
    [META_FORM, {"data": [META_FORM]}, [META_FORM], FLAT_FORM, LEDGER_FORM],
    ids=["Meta's", "Meta's request", "a list of one", "flat", "the ledger's"],
)
def test_every_form_of_a_payload_becomes_the_same_person_in_the_ledger(
    ours: Site, payload: Any
) -> None:
    answer = ours.log_event(payload)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "event_id": "ev-1",
        "duplicate": False,
        "duplicate_conversion": False,
        "forwarded_to": [],
    }
    (row,) = ours.ledger()
    keys = match_keys(PERSON)
    assert row["event_name"] == "Lead"
    assert row["email_sha256"] == row["user_data"]["em"] == keys["em"]
    assert row["phone_sha256"] == row["user_data"]["ph"] == keys["ph"]
    assert row["user_data"]["sha256_phone_number"] == match_keys(PERSON, "google")["ph"]
    assert row["user_data"]["client_ip_address"] == ADDRESS
    assert row["user_data"]["client_user_agent"] == AGENT
    assert row["metadata"]["event_id"] == "ev-1"


def test_no_raw_personal_data_is_kept(forwarding: Site) -> None:
    forwarding.log_event({**FLAT_FORM, "message": f"call me at {PHONE}", "zip": "94107-1234"})

    kept = json.dumps([forwarding.ledger(), forwarding.accepted()], default=str)
    for raw in (EMAIL, EMAIL.lower(), PHONE, "4155552671", "Emily", "Stone", "94107"):
        assert raw not in kept


def test_the_same_event_again_is_a_duplicate(forwarding: Site) -> None:
    event_id = str(uuid4())
    first = forwarding.log_event({**META_FORM, "event_id": event_id})
    again = forwarding.log_event({**META_FORM, "event_id": event_id.upper()})

    assert not first.json()["duplicate"]
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    assert first.json()["forwarded_to"] == list(FORWARDING)
    assert again.json()["forwarded_to"] == []
    assert [row["event_id"] for row in forwarding.ledger()] == [UUID(event_id)]
    assert len(forwarding.accepted()) == len(FORWARDING)


def test_the_same_event_at_the_same_time_is_recorded_once(forwarding: Site) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(forwarding.log_event, [META_FORM] * 64))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 63
    assert len(forwarding.ledger()) == 1
    assert len(forwarding.accepted()) == len(FORWARDING)


def test_a_conversion_that_a_lead_made_under_another_id_is_not_made_again(
    forwarding: Site,
) -> None:
    event = {"event_name": "lead_submission_success", "lead_id": str(uuid4()), **PERSON}
    assert not forwarding.log_event(event).json()["duplicate_conversion"]

    again = forwarding.log_event(event)

    assert (again.status_code, again.json()["duplicate_conversion"]) == (200, True)
    assert (again.json()["duplicate"], again.json()["forwarded_to"]) == (False, [])
    assert len(forwarding.ledger()) == 1
    assert len(forwarding.accepted()) == len(FORWARDING)


def test_an_event_without_an_id_gets_one(ours: Site) -> None:
    answers = [ours.log_event({"event_name": "page_view"}).json() for _ in range(2)]

    assert {UUID(answer["event_id"]) for answer in answers} == {
        row["event_id"] for row in ours.ledger()
    }
    assert len(ours.ledger()) == 2


def test_what_is_handed_over_keeps_its_id_time_and_lead(forwarding: Site) -> None:
    lead_id = uuid4()
    forwarding.log_event({**META_FORM, "lead_id": str(lead_id), "country": "de"})

    (ledger,) = forwarding.ledger()
    rows = forwarding.accepted()
    assert [row["destination"] for row in rows] == sorted(FORWARDING)
    for row in rows:
        assert row["event_id"] == ledger["event_id"]
        assert row["lead_id"] == lead_id
        payload = row["event_payload"]
        assert payload["event_id"] == "ev-1"
        assert payload["event_time"] == "2026-09-21T14:13:20+00:00"
        assert payload["custom_data"] == {"value": 49.9, "currency": "USD"}
        for platform in ("meta", "google"):
            kept, said = match_keys(payload, platform), match_keys(META_FORM, platform)
            assert said.items() <= kept.items()
        assert match_keys(payload, "google")["country"] == "DE"


def test_google_gets_conversions_alone(forwarding: Site) -> None:
    answer = forwarding.log_event({"event_name": "page_view", **PERSON})

    assert answer.json()["forwarded_to"] == ["meta_capi", "gtm_server"]


def test_an_event_without_consent_stays_in_the_ledger(forwarding: Site) -> None:
    answer = forwarding.log_event({**META_FORM, "consent": {"ad_user_data": "denied"}})

    assert answer.json()["forwarded_to"] == []
    assert len(forwarding.ledger()) == 1
    assert forwarding.accepted() == []


@pytest.mark.parametrize(
    "around",
    [
        {"consent": {"ad_personalization": "denied"}, "context": {"consent": {"ads": "yes"}}},
        {"context": {"consent": {"ad_personalization": "denied"}}, "consent": "granted"},
    ],
)
def test_what_was_refused_around_an_event_is_handed_over_with_it(
    forwarding: Site, around: dict[str, Any]
) -> None:
    forwarding.log_event({"payload": META_FORM, **around})

    for handed_over in forwarding.accepted():
        said = said_by(handed_over["event_payload"])
        assert said[Purpose.AD_PERSONALIZATION].said is Said.DENIED
        assert said[Purpose.AD_USER_DATA].said is Said.AGREED


def test_the_ledger_is_no_destination_of_what_is_in_it(
    connection: psycopg.Connection, database_url: str
) -> None:
    with site(connection, database_url, log_event_forward_to=("supabase",)) as ours:
        assert ours.log_event(META_FORM).json()["forwarded_to"] == []
        assert ours.accepted() == []


def test_an_opaque_external_id_goes_out_as_the_pixel_sends_it(
    connection: psycopg.Connection, database_url: str
) -> None:
    settings = {"log_event_forward_to": ("meta_capi",), "external_id": "raw"}
    with site(connection, database_url, **settings) as ours:
        ours.log_event({**META_FORM, "external_id": "customer-77"})
        (row,), (ledger,) = ours.accepted(), ours.ledger()

    assert row["event_payload"]["user_data"]["external_id"] == "customer-77"
    assert "customer-77" not in json.dumps(ledger, default=str)


@pytest.mark.parametrize(
    "named",
    [
        {"user_agent": "Mozilla/5.0 of the event"},
        {"lead": {"userAgent": "Mozilla/5.0 of the event"}},
        {"client": {"user_agent": "Mozilla/5.0 of the event"}},
        {"context": {"user_agent": "Mozilla/5.0 of the event"}},
    ],
)
def test_an_event_that_names_its_visitor_is_believed_before_who_forwards_it(
    ours: Site, named: dict[str, Any]
) -> None:
    ours.log_event({**FLAT_FORM, **named}, x_visitor_address="2.125.160.216")

    (row,) = ours.ledger()
    assert row["user_data"]["client_user_agent"] == "Mozilla/5.0 of the event"
    assert "client_ip_address" not in row["user_data"]


def test_who_forwards_an_event_names_its_visitor_beside_it(ours: Site) -> None:
    ours.log_event({"event_name": "Lead"}, x_visitor_address="2.125.160.216")

    (row,) = ours.ledger()
    assert row["user_data"] == {
        "client_ip_address": "2.125.160.216",
        "client_user_agent": AGENT,
    }


def test_a_sites_server_names_its_visitor(ours: Site) -> None:
    ours.log_event({**FLAT_FORM, "client_ip_address": "2.125.160.216"}, user_agent="node")

    (row,) = ours.ledger()
    assert row["user_data"]["client_ip_address"] == "2.125.160.216"
    assert "client_user_agent" not in row["user_data"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b'{"event_name": NaN}', 400, "JSON"),
        (b"\xff\xfe", 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b"null", 422, "JSON object"),
        (b"17", 422, "JSON object"),
        (b'"text"', 422, "JSON object"),
        (b"[]", 422, "JSON object"),
        ([META_FORM, META_FORM], 422, "send one event a request"),
        ({"data": [META_FORM, META_FORM]}, 422, "send one event a request"),
        ({}, 422, "event_name"),
        ({"event_name": None}, 422, "event_name"),
        ({"event_name": {"a": 1}}, 422, "event_name"),
        ({"event_name": "\x00"}, 422, "event_name"),
        ({"event_name": "x" * 201}, 422, "event_name is longer than 200"),
        ({"events": [META_FORM, {**META_FORM, "event_id": "2"}]}, 422, "send one event a request"),
        ({"event_name": "Lead", "event_time": "yesterday"}, 422, "unreadable event_time"),
        ({"event_name": "Lead", "event_time": "2026-11-24"}, 422, "unreadable event_time"),
        ({"event_name": "Lead", "event_time": {"a": 1}}, 422, "unreadable event_time"),
        ({"event_name": "Lead", "event_time": 9e18}, 422, "event_time lies in the future"),
        ({"event_name": "Lead", "event_time": "2999-01-01T00:00Z"}, 422, "lies in the future"),
        ({"event_name": "Lead", "event_id": {"a": 1}}, 422, "unreadable event_id"),
        ({"event_name": "Lead", "event_id": True}, 422, "unreadable event_id"),
        ({"event_name": "Lead", "metadata": {"eventId": {}, "event_id": True}}, 422, "event_id"),
    ],
)
def test_what_is_no_event_is_refused_with_what_is_wrong(
    ours: Site, body: Any, status: int, word: str
) -> None:
    answer = ours.log_event(body)

    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert word in answer.json()["error"]
    assert "event_payload" not in answer.text
    assert ours.ledger() == []


@pytest.mark.parametrize("seconds", [90, 300, 3600])
def test_an_event_ahead_of_our_clock_is_taken_with_its_own_time(ours: Site, seconds: int) -> None:
    moment = int(time.time()) + seconds

    assert ours.log_event({**META_FORM, "event_time": moment}).status_code == 200
    assert [int(row["event_time"].timestamp()) for row in ours.ledger()] == [moment]


def test_who_wrote_an_event_is_not_the_senders_to_say(ours: Site) -> None:
    ours.log_event({**META_FORM, "ingested_by": "finance"})

    assert [row["ingested_by"] for row in ours.ledger()] == ["tracking_pipeline"]


def test_a_text_that_was_cut_inside_an_emoji_does_not_cost_the_event(ours: Site) -> None:
    body = b'\xef\xbb\xbf{"event_name": "Lead", "metadata": {"note": "hi \\ud83d"}}'

    assert ours.log_event(body).status_code == 200
    assert ours.ledger()[0]["metadata"]["note"] == "hi \ufffd"


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": ["x"]},
        {"event_id": []},
        {"event_id": "undefined"},
        {"event_id": 12345},
        {"event_id": "x" * 100_000},
        {"event_id": "'; drop table leads; --"},
        {"event_id": "a\x00b"},
        {"user_data": "text"},
        {"user_data": [1, None, {"em": [[]]}]},
        {"user_data": {"em": {"a": {"b": 1}}, "ph": 1e308, "client_ip_address": ["::1"]}},
        {"email": 17, "phone": None, "zip": False, "metadata": 5, "custom_data": []},
        {"lead_id": "no uuid", "session_id": 17},
        {"lead_score": 1e300, "intent_tier": "many", "value": "1e999"},
        {"event_type": ["x"], "page_path": {"a": 1}},
        {"metadata": {"\x00": "\x00", "a": "\ud7ff\uffff"}},
        {"metadata": nested(40)},
        {"metadata": nested(100)},
        {"metadata": nested(450)},
        {"a": 2**64 - 1, "b": -(2**63), "c": 1e308, "d": 10**300},
        {"__proto__": {"x": 1}, "constructor": None, "": ""},
        {f"k{i}": i for i in range(5000)},
        {"note": "x" * 500_000},
    ],
)
def test_values_of_the_wrong_type_do_not_cost_the_event(
    forwarding: Site, fields: dict[str, Any]
) -> None:
    body = json.dumps({"event_name": "Lead", **fields}).encode()

    answer = forwarding.log_event(body)

    assert answer.status_code == 200, answer.text
    assert len(forwarding.ledger()) == 1
    assert len(forwarding.accepted()) == len(FORWARDING)


def test_an_event_that_the_ledger_refuses_does_not_cost_its_neighbours(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute(
        "alter table wm_event_log add constraint no_spam check (event_name <> 'Spam')"
    )
    names = ["Lead", "Spam"] * 20
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda name: ours.log_event({"event_name": name}), names))

    assert [answer.status_code for answer in answers] == [200, 422] * 20
    assert len(ours.ledger()) == 20


def test_a_broken_connection_costs_no_event(
    forwarding: Site, connection: psycopg.Connection
) -> None:
    cut = (
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        " and datname = current_database() and application_name = 'tracking_pipeline'"
    )
    events = [{**META_FORM, "event_id": str(uuid4())} for _ in range(200)]
    with ThreadPoolExecutor(16) as pool:
        posted = [pool.submit(forwarding.log_event, event) for event in events]
        for _ in range(5):
            connection.execute(cut.encode())
            posted[0].result()
        answers = [each.result() for each in posted]

    assert {answer.status_code for answer in answers} == {200}
    assert {str(row["event_id"]) for row in forwarding.ledger()} == {
        event["event_id"] for event in events
    }
    assert len(forwarding.accepted()) == 200 * len(FORWARDING)


def test_a_database_that_refuses_the_row_for_us_all_is_no_success(
    ours: Site, connection: psycopg.Connection
) -> None:
    connection.execute("drop table tracking_accepted_events")

    answer = ours.log_event(META_FORM)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert ours.ledger() == []
