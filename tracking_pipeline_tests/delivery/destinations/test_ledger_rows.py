from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import orjson
import psycopg
import pytest
from hypothesis import given, settings
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.ledger import Ledger, ledger_event_id
from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    PerEvent,
    Postponed,
    Refused,
    Rejected,
)
from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline.events.reading import said_by
from tracking_pipeline.identity import match_keys
from tracking_pipeline.store.database import connection_pool
from tracking_pipeline.store.ledger import COLUMNS
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does

# Never opened: to prepare is to decide, without I/O.
LEDGER = Ledger(AsyncConnectionPool("", open=False))
LEAD_ID = UUID("7b3f5a0e-5d0c-4a52-8a36-0c8f4d0f6b22")


def row(payload: Any, **changes: Any) -> dict[str, Any]:
    prepared = LEDGER.prepare(claimed(payload, **changes))
    assert isinstance(prepared, Prepared), prepared
    columns: dict[str, Any] = orjson.loads(prepared.body)
    assert columns.keys() == COLUMNS.keys()
    return columns


def test_a_row_has_the_events_own_words() -> None:
    columns = row(
        {
            "event_name": "Lead",
            "event_time": "2026-11-24T11:00:00Z",
            "traffic_source": "newsletter",
            "gclid": "Cj0KCQ",
            "page_path": "/contact",
            "metadata": {"funnel_stage": "top", "lead_score": "70", "note": "kept"},
            "custom_data": {"value": 5},
        }
    )

    assert columns["event_name"] == "Lead"
    assert datetime.fromisoformat(columns["event_time"]) == NOW - timedelta(hours=1)
    assert (columns["traffic_source"], columns["gclid"]) == ("newsletter", "Cj0KCQ")
    assert (columns["page_path"], columns["funnel_stage"]) == ("/contact", "top")
    assert columns["lead_score"] == 70
    assert columns["metadata"]["note"] == "kept"
    assert columns["metadata"]["value"] == 5
    assert columns["ingested_by"] == "tracking_pipeline"


def test_an_old_event_is_written_all_the_same() -> None:
    assert row({"event_time": "2020-01-01T00:00:00Z"})["event_time"].startswith("2020-01-01")


def test_a_time_or_an_id_that_cannot_be_read_is_never_replaced_by_another() -> None:
    for payload, path in (
        ({"event_time": "2020-01-01"}, "event_time"),
        ({"event_time": "yesterday"}, "event_time"),
        ({"event_id": {"a": 1}}, "event_id"),
        ({"metadata": {"eventTime": [1, 2]}}, "metadata.eventTime"),
    ):
        rejected = LEDGER.prepare(claimed(payload))
        assert isinstance(rejected, Rejected)
        assert rejected.reason == f"unreadable {path}"


def test_a_value_that_cannot_be_read_is_kept_as_it_is_and_counted() -> None:
    prepared = LEDGER.prepare(claimed({"custom_data": {"value": "free", "currency": "dollars"}}))

    assert isinstance(prepared, Prepared)
    assert orjson.loads(prepared.body)["metadata"] == {"value": "free", "currency": "dollars"}
    assert set(prepared.dropped) == {
        ("custom_data.currency", "unreadable"),
        ("custom_data.value", "unreadable"),
    }


def test_an_event_that_is_still_to_come_waits_until_then() -> None:
    event = claimed({"event_time": "2026-11-24T13:00:00Z"})

    assert LEDGER.prepare(event) == Postponed(NOW + timedelta(hours=1))


def test_what_fits_no_typed_column_is_not_lost() -> None:
    given = {"session_id": "1732904512", "lead_id": "4711", "intent_tier": "hot", "lead_score": "A"}

    columns = row({**given, "metadata": '{"plan": "pro"}'})

    assert {name: columns[name] for name in given} == dict.fromkeys(given)
    assert columns["metadata"] == {**given, "plan": "pro"}


@pytest.mark.parametrize("placeholder", ["undefined", "null", "{{event_id}}", " N/A ", "0"])
def test_a_placeholder_is_nobodys_id(placeholder: str) -> None:
    assert row({"event_id": placeholder})["event_id"] == str(ROW_EVENT_ID)
    assert row({"gclid": placeholder, "client_id": placeholder})["gclid"] is None
    assert row({"gclid": placeholder, "client_id": placeholder})["client_id"] is None


def test_a_consent_managers_own_ids_are_read_as_the_site_says() -> None:
    policy = ReadingPolicy(denied_consent_ids=frozenset({"C-7"}))
    ledger = Ledger(AsyncConnectionPool("", open=False), policy=policy)
    prepared = ledger.prepare(
        claimed({"event_name": "Lead", "user_data": {"deniedConsentIds": ["C-7"]}})
    )
    assert isinstance(prepared, Prepared)
    assert orjson.loads(prepared.body)["metadata"]["consent"] == {
        "ad_storage": "denied",
        "ad_user_data": "denied",
        "ad_personalization": "denied",
    }


@pytest.mark.parametrize("consent", ["denied", {"ad_user_data": "denied", "ad_storage": "granted"}])
def test_an_event_without_consent_is_kept_and_says_so(consent: Any) -> None:
    assert row({"event_name": "Lead", "consent": consent})["metadata"] == {"consent": consent}
    assert row({"metadata": {"consent": consent}})["metadata"] == {"consent": consent}


@pytest.mark.parametrize(
    "payload",
    [
        {"consent": "denied", "payload": {"event_name": "Lead", "event_id": "a", "consent": True}},
        {"event_name": "Lead", "consent": "granted", "user_data": {"consent": "denied"}},
        {"event_name": "Lead", "consent": "denied", "metadata": {"consent": "granted"}},
    ],
    ids=["around the event", "of the person", "twice under one name"],
)
def test_a_refusal_in_another_place_than_the_grant_is_kept_and_read_again(payload: Any) -> None:
    metadata = row(payload)["metadata"]

    assert said_by({"metadata": metadata})[Purpose.AD_USER_DATA].said is Said.DENIED


def test_half_a_character_in_json_inside_text_does_not_kill_the_row() -> None:
    half = '{"a": "\\ud800", "\\udfff": "\\ud800 b"}'
    whole = '{"a": "\\ufffd", "": "\\ufffd b"}'

    assert row({"event_name": "Lead", "metadata": {"note": half}})["metadata"] == {"note": whole}


def test_an_id_that_is_a_uuid_stays_what_it_is() -> None:
    own = "11111111-2222-4333-8444-AAAAAAAAAAAA"

    columns = row({"event_id": own})

    assert columns["event_id"] == own.lower()
    assert columns["metadata"] is None


def test_an_id_of_other_text_becomes_a_uuid_and_is_kept() -> None:
    columns = row({"event_id": "pixel-7"})

    assert columns["event_id"] == str(ledger_event_id("pixel-7"))
    assert columns["metadata"] == {"event_id": "pixel-7"}


def test_the_uuid_of_a_text_never_changes() -> None:
    # Written down, not computed: another namespace would give every event a second row.
    assert str(ledger_event_id("pixel-7")) == "f5716387-e5b5-5e0c-ba3d-01773b30c401"


def test_an_event_without_an_id_has_its_rows() -> None:
    assert row({})["event_id"] == str(ROW_EVENT_ID)


def test_a_lead_that_is_no_uuid_is_the_rows_own() -> None:
    assert row({"lead_id": "4711"}, lead_id=LEAD_ID)["lead_id"] == str(LEAD_ID)
    assert row({"lead_id": {"id": 1}})["lead_id"] is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [(3, 3), ("3", 3), (2.9, 2), (1e300, None), (2**31, None), ("high", None), (True, None)],
)
def test_a_number_column_holds_an_integer_or_nothing(given: Any, expected: int | None) -> None:
    assert row({"intent_tier": given})["intent_tier"] == expected


CANARIES = {
    "email": "canary.person@example.com",
    "phone": "(650) 555-0199",
    "first_name": "Canaryfirst",
    "lastName": "Canarylast",
    "dob": "1971-02-03",
    "city": "Canarytown",
}
NEEDLES = (b"canary", b"5550199", b"555-0199", b"1971-02-03")


@pytest.mark.parametrize(
    "payload",
    [
        CANARIES,
        {"user_data": CANARIES},
        {"metadata": CANARIES},
        {"metadata": {"form": [CANARIES]}, "custom_data": {"customer": CANARIES}},
        {"metadata": {"raw": orjson.dumps(CANARIES).decode()}},
        {"page_path": "/thanks?email=canary.person@example.com"},
        {"page_url": "https://shop.example/?email=canary.person%40example.com"},
        {"client_id": "canary.person@example.com", "campaign_id": "canary.person@example.com"},
        {"external_id": "canary.person@example.com", "traffic_source": "call (650) 555-0199"},
        {"email_sha256": "canary.person@example.com", "fbp": "canary.person@example.com"},
        {"event_name": "Lead of canary.person@example.com"},
        {"event_type": "canary.person@example.com"},
        {"name": "Canaryfirst Canarylast", "user_data": {"email": "canary.person@example.com"}},
        {"metadata": {"Name": "Canaryfirst Canarylast"}},
        {"custom_data": {"name": "first_name", "value": "Canaryfirst"}},
    ],
)
def test_no_raw_personal_data_is_written(payload: dict[str, Any]) -> None:
    lead = Lead(email="canary.person@example.com", first_name="Canaryfirst", city="Canarytown")

    prepared = LEDGER.prepare(claimed(payload, lead=lead))

    assert isinstance(prepared, Prepared), prepared
    for needle in NEEDLES:
        assert needle not in prepared.body.lower()


def test_the_token_of_a_stored_request_is_not_written() -> None:
    payload = {"data": [{"event_name": "Lead"}], "access_token": "EAAB-of-a-test"}

    assert "EAAB-of-a-test" not in str(row(payload))
    assert "EAAB-of-a-test" not in str(row({**payload, "data": {}}))


def test_hashes_stand_in_their_columns() -> None:
    columns = row({"email": "Jane.Roe@example.com", "phone": "(650) 555-1212"})

    assert columns["email_sha256"] == columns["user_data"]["em"]
    assert columns["phone_sha256"] == columns["user_data"]["ph"]
    assert re.fullmatch("[0-9a-f]{64}", columns["email_sha256"])


@pytest.mark.parametrize(
    ("note", "kept"),
    [
        ("a\x00b", "ab"),
        ("\x00\x00\x00", ""),
        ("a\\u0000b", "a\\u0000b"),
        ("a\\\x00b", "a\\b"),
        ("\\\\\x00", "\\\\"),
    ],
)
def test_nul_is_left_out_and_a_backslash_is_not(note: str, kept: str) -> None:
    assert row({"metadata": {"note": note}})["metadata"] == {"note": kept}


@settings(deadline=None, max_examples=150, database=None)
@given(PAYLOADS)
def test_any_payload_becomes_a_row_or_a_reasoned_dead_letter(payload: Any) -> None:
    prepared = prepare_as_a_drain_does(LEDGER, payload)
    if not isinstance(prepared, Prepared):
        assert 0 < len(prepared.fault.message) < 200
        return
    columns = orjson.loads(prepared.body)
    assert columns.keys() == COLUMNS.keys()
    assert not re.search(rb"(?<!\\)(?:\\\\)*\\u0000", prepared.body)
    for name, kind in COLUMNS.items():
        assert _fits(columns[name], kind), name


def _fits(value: Any, kind: str) -> bool:
    if value is None or kind == "jsonb":
        return True
    if kind == "uuid":
        return isinstance(value, str) and str(UUID(value)) == value
    if kind == "integer":
        return type(value) is int and abs(value) < 2**31
    if kind == "timestamptz":
        return datetime.fromisoformat(value).tzinfo is not None
    return isinstance(value, str)


HOSTILE: list[dict[str, Any]] = [
    {"event_id": "a\x00b", "metadata": {"k\x00ey": ["\x00", {"deep\x00": "\\u0000\\\x00"}]}},
    {"event_id": "numbers", "lead_score": 1e300, "metadata": {"n": 1.7e308, "m": 2**64 - 1}},
    {"event_id": "types", "lead_id": [], "session_id": 7, "traffic_source": {}, "fbp": True},
    {"event_id": "controls", "page_path": "/\x01\x02\x7f", "metadata": {"c": "\x1b[2J"}},
    {"event_id": "early", "event_time": "1970-01-01T00:00:01Z"},
    {"event_id": "first day", "event_time": "0001-01-02T00:00:00Z"},
    {"event_id": "large", "metadata": {"note": "x" * 1_000_000}},
]


def insert(database_url: str, payloads: list[dict[str, Any]]) -> Reply:
    async def run() -> Reply:
        async with connection_pool(database_url, size=1) as pool:
            ledger = Ledger(pool)
            batch = [ledger.prepare(claimed(payload)) for payload in payloads]
            assert all(isinstance(each, Prepared) for each in batch)
            return await ledger.send([each for each in batch if isinstance(each, Prepared)], NOW)

    return anyio.run(run)


def test_postgresql_takes_what_was_prepared(
    database_url: str, connection: psycopg.Connection
) -> None:
    reply = insert(database_url, HOSTILE)

    assert reply.verdict == PerEvent([Delivered()] * len(HOSTILE))
    found = connection.execute(
        "select metadata from wm_event_log where event_id = %s", (ledger_event_id("ab"),)
    ).fetchone()
    assert found == ({"key": ["", {"deep": "\\u0000\\"}], "event_id": "ab"},)


def test_an_event_that_is_in_the_ledger_already_is_delivered(database_url: str) -> None:
    insert(database_url, [{"event_id": "pixel-7"}])

    reply = insert(database_url, [{"event_id": "pixel-7"}, {"event_id": "pixel-8"}])

    assert reply.verdict == PerEvent([Delivered(duplicate="event"), Delivered()])


def test_two_events_of_one_batch_with_one_id_are_one_row(
    database_url: str, connection: psycopg.Connection
) -> None:
    reply = insert(database_url, [{"event_id": "pixel-7"}] * 2)

    assert reply.verdict == PerEvent([Delivered(), Delivered(duplicate="event")])
    assert connection.execute("select count(*) from wm_event_log").fetchone() == (1,)


def test_a_second_conversion_of_a_lead_is_told_apart(
    database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        "create unique index on wm_event_log (lead_id, event_name) where event_name = 'Lead'"
    )
    payload = {"event_name": "Lead", "lead_id": str(LEAD_ID)}
    insert(database_url, [{**payload, "event_id": "pixel-7"}])

    reply = insert(database_url, [{**payload, "event_id": "pixel-8"}])

    assert reply.verdict == PerEvent([Delivered(duplicate="conversion")])


def test_a_row_that_the_table_refuses_is_not_told_in_the_answer(
    database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute(
        "alter table wm_event_log add constraint no_canary check (traffic_source <> 'canary')"
    )

    reply = insert(database_url, [{"event_id": "pixel-7", "traffic_source": "canary"}])

    assert isinstance(reply.verdict, Refused)
    assert reply.verdict.rejected.reason == "refused by the ledger: 23514"
    assert "canary" not in repr(reply)


def test_what_single_platforms_call_a_click_or_a_browser_is_kept_for_them() -> None:
    columns = row(
        {
            "event_name": "Lead",
            "email": "jane@example.com",
            "event_source_url": "https://shop.example/?ttclid=click-1&epik=click-2",
            "cookies": {"_ttp": "browser-1", "_scid": "browser-2"},
        }
    )

    kept = columns["user_data"]
    assert (kept["ttclid"], kept["epik"]) == ("click-1", "click-2")
    assert (kept["ttp"], kept["scid"]) == ("browser-1", "browser-2")
    assert match_keys({"user_data": kept}, "tiktok").keys() == {"em", "ttclid", "ttp"}
