from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.delivery.engine.outcomes import Postponed, Rejected, Withheld
from tracking_pipeline.sandbox.google_rules import raw_personal_data, violations
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
# Its pool is never opened: to prepare is to decide, without I/O.
GOOGLE = GoogleEc(
    GoogleAccount("123-456-7890", "987654321", "111-111-1111"),
    AccessToken("token-of-a-test"),
    httpx.AsyncClient(),
    AsyncConnectionPool("", open=False),
)


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


JANE = sha256("janeroe@gmail.com")


def purchase(**changes: Any) -> dict[str, Any]:
    """An event that Google takes, with some fields changed; None leaves a field out."""
    fields = {
        "event_name": "Purchase",
        "event_id": "pixel-7",
        "event_time": "2026-11-24T11:00:00Z",
        "action_source": "website",
        "order_id": "A-1",
        "value": 19.9,
        "currency": "USD",
        "email": "Jane.Roe+shop@gmail.com",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def sent(payload: Any, **changes: Any) -> dict[str, Any]:
    """The element of ``events`` that is sent, which the documented rules take."""
    prepared = GOOGLE.prepare(claimed(payload, **changes))
    assert isinstance(prepared, Prepared), prepared
    event: dict[str, Any] = orjson.loads(prepared.body)
    assert violations(event, NOW.timestamp(), ["d1"]) == []
    assert list(raw_personal_data(event)) == []
    return event


def identifiers(payload: Any, **changes: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(payload, **changes)["userData"]["userIdentifiers"]
    return found


def refused(payload: Any, **changes: Any) -> Rejected:
    rejected = GOOGLE.prepare(claimed(payload, **changes))
    assert isinstance(rejected, Rejected), rejected
    return rejected


def withheld(payload: Any, **changes: Any) -> Withheld:
    kept_back = GOOGLE.prepare(claimed(payload, **changes))
    assert isinstance(kept_back, Withheld), kept_back
    return kept_back


def test_an_event_has_googles_form() -> None:
    payload = purchase(
        phone="(650) 555-1212",
        first_name="Jane",
        last_name="Roe",
        zip="94035",
        country="us",
        gclid="Cj0KCQ-abc_1",
        consent={"ad_user_data": "granted", "ad_personalization": "denied"},
    )

    assert sent(payload) == {
        "destinationReferences": ["d1"],
        "transactionId": "A-1",
        "eventTimestamp": "2026-11-24T11:00:00Z",
        "eventSource": "WEB",
        "currency": "USD",
        "conversionValue": 19.9,
        "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"},
        "adIdentifiers": {"gclid": "Cj0KCQ-abc_1"},
        "userData": {
            "userIdentifiers": [
                {"emailAddress": JANE},
                {"phoneNumber": sha256("+16505551212")},
                {
                    "address": {
                        "givenName": sha256("jane"),
                        "familyName": sha256("roe"),
                        "regionCode": "US",
                        "postalCode": "94035",
                    }
                },
            ]
        },
    }


def test_a_payload_that_was_made_for_meta_serves_as_far_as_its_hashes_do() -> None:
    hashed = sha256("jane.roe@example.com")
    payload = purchase(
        email=None, user_data={"em": [hashed], "ph": [sha256("16505551212")], "fbp": "fb.1.1.1"}
    )

    assert identifiers(payload) == [{"emailAddress": hashed}]


def test_a_phone_hash_of_metas_does_not_hide_the_leads_phone() -> None:
    payload = purchase(email=None, user_data={"ph": [sha256("16505551212")]})

    found = identifiers(payload, lead=Lead(phone="(650) 555-1212"))

    assert found == [{"phoneNumber": sha256("+16505551212")}]


def test_an_email_hash_of_metas_does_not_hide_the_leads_email() -> None:
    payload = purchase(email=None, user_data={"em": [sha256("jane.roe@gmail.com")]})

    found = identifiers(payload, lead=Lead(email="Jane.Roe@gmail.com"))

    assert {"emailAddress": JANE} in found


def test_the_leads_email_is_sent_once_when_it_is_the_payloads_too() -> None:
    assert identifiers(purchase(), lead=Lead(email="janeroe@gmail.com")) == [{"emailAddress": JANE}]


@pytest.mark.parametrize("missing", ["first_name", "last_name", "zip", "country"])
def test_an_address_is_sent_whole_or_not_at_all(missing: str) -> None:
    parts = {"first_name": "Jane", "last_name": "Roe", "zip": "94035", "country": "us"}
    del parts[missing]

    assert [list(each) for each in identifiers(purchase(**parts))] == [["emailAddress"]]


def test_the_leads_place_completes_an_address() -> None:
    payload = purchase(first_name="Jane", last_name="Roe")

    found = identifiers(payload, lead=Lead(zip="94035", country="US"))

    assert found[-1]["address"]["postalCode"] == "94035"


def test_too_many_identifiers_are_cut_to_ten_with_every_kind_among_them() -> None:
    payload = purchase(
        email=[f"jane{number}@example.com" for number in range(12)],
        phone=[f"+1650555121{number}" for number in range(10)],
        first_name="Jane",
        last_name="Roe",
        zip="94035",
        country="us",
    )

    kinds = [next(iter(each)) for each in identifiers(payload)]

    assert len(kinds) == 10
    assert kinds.count("address") == 1
    assert min(kinds.count("emailAddress"), kinds.count("phoneNumber")) >= 4


@pytest.mark.parametrize(
    ("fields", "click"),
    [
        ({"gclid": "abc"}, {"gclid": "abc"}),
        ({"metadata": {"gbraid": "def"}}, {"gbraid": "def"}),
        ({"user_data": {"wbraid": "ghi"}}, {"wbraid": "ghi"}),
        ({"gclid": "abc", "wbraid": "ghi"}, {"gclid": "abc"}),
        ({"gclid": " ", "gbraid": "def"}, {"gbraid": "def"}),
        ({"gclid": "undefined", "gbraid": "def"}, {"gbraid": "def"}),
        ({"gclid": ["abc"]}, {"gclid": "abc"}),
        # Google takes these two together, and of the other two one.
        ({"gclid": "abc", "gbraid": "def"}, {"gclid": "abc", "gbraid": "def"}),
        ({"gclid": "abc", "gbraid": "def", "wbraid": "ghi"}, {"gclid": "abc", "gbraid": "def"}),
        ({"gbraid": "def", "wbraid": "ghi"}, {"wbraid": "ghi"}),
        ({"gbraid": "def", "wbraid": "ghi", "action_source": "app"}, {"gbraid": "def"}),
        ({"page_location": "https://shop.example/?gclid=abc"}, {"gclid": "abc"}),
        ({"cookies": {"_gcl_aw": "GCL.1764400000.abc"}}, {"gclid": "abc"}),
    ],
)
def test_the_click_is_sent_and_is_enough(fields: dict[str, Any], click: dict[str, str]) -> None:
    event = sent(purchase(email=None, **fields))

    assert event["adIdentifiers"] == click
    assert "userData" not in event


@pytest.mark.parametrize(
    "value",
    [
        "jane@example.com",
        "a b",
        "x" * 600,
        1.5e300,
        {},
        ["abc", "def"],
        [],
        True,
        "null",
        "{{gclid}}",
    ],
)
def test_what_is_no_click_id_is_left_out(value: Any) -> None:
    assert "adIdentifiers" not in sent(purchase(gclid=value))


@pytest.mark.parametrize(
    ("fields", "consent"),
    [
        ({}, None),
        ({"consent": "granted"}, None),
        ({"consent": True}, None),
        ({"marketing_consent": True}, None),
        ({"consent": {"marketing": True, "ad_storage": "granted"}}, None),
        ({"consent": {"ad_user_data": "CONSENT_STATUS_UNSPECIFIED"}}, None),
        ({"consent": {"ad_user_data": 1}}, {"adUserData": "CONSENT_GRANTED"}),
        ({"consent": {"ad_user_data": {"granted": True}}}, {"adUserData": "CONSENT_GRANTED"}),
        ({"consent": {"ad_user_data": "granted"}}, {"adUserData": "CONSENT_GRANTED"}),
        ({"consent_state": {"ad_user_data": True}}, {"adUserData": "CONSENT_GRANTED"}),
        ({"ad_user_data": " GRANTED "}, {"adUserData": "CONSENT_GRANTED"}),
        ({"consent": {"adUserData": "CONSENT_GRANTED"}}, {"adUserData": "CONSENT_GRANTED"}),
        ({"consent": {"ad_personalization": False}}, {"adPersonalization": "CONSENT_DENIED"}),
        ({"consent": {"ad_personalization": 0}}, {"adPersonalization": "CONSENT_DENIED"}),
        # What nobody can read is not called granted.
        ({"ad_personalization": "perhaps"}, {"adPersonalization": "CONSENT_DENIED"}),
        # Meta's option for the same.
        ({"opt_out": True}, {"adPersonalization": "CONSENT_DENIED"}),
        (
            {"ad_personalization": "granted", "consent": {"ad_personalization": "denied"}},
            {"adPersonalization": "CONSENT_DENIED"},
        ),
    ],
)
def test_only_a_grant_in_so_many_words_is_granted(
    fields: dict[str, Any], consent: dict[str, str] | None
) -> None:
    assert sent(purchase(**fields)).get("consent") == consent


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("website", "WEB"),
        ("app", "APP"),
        ("physical_store", "IN_STORE"),
        (" Phone_Call", "PHONE"),
        ("chat", "MESSAGE"),
        ("system_generated", "OTHER"),
        ("nonsense", "OTHER"),
        (None, "OTHER"),
    ],
)
def test_the_source_is_googles_word_for_metas(given: Any, source: str) -> None:
    assert sent(purchase(action_source=given))["eventSource"] == source


def test_an_event_without_a_source_that_has_a_user_agent_came_from_the_web() -> None:
    assert sent(purchase(action_source=None, user_agent=AGENT))["eventSource"] == "WEB"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "A-1"),
        ({"order_id": None}, "pixel-7"),
        ({"order_id": None, "event_id": None}, str(ROW_EVENT_ID)),
        # What personal data was taken out of would be the same id for every such order.
        ({"order_id": "order-of-jane@example.com"}, "pixel-7"),
        ({"order_id": None, "event_id": "jane@example.com-7"}, str(ROW_EVENT_ID)),
        ({"order_id": "+1 415 555 0123"}, "pixel-7"),
        ({"order_id": "undefined"}, "pixel-7"),
        ({"order_id": "(not set)", "event_id": "null"}, str(ROW_EVENT_ID)),
        ({"order_id": 10024.0}, "10024"),
        ({"order_id": "10024.0"}, "10024.0"),
        ({"order_id": "00042"}, "00042"),
        # These look like phones as well, and are what the tag on the page calls the order.
        ({"order_id": "415-555-0123"}, "415-555-0123"),
        ({"order_id": "100-200-3000"}, "100-200-3000"),
        ({"order_id": "order 4155550123"}, "order 4155550123"),
        ({"order_id": None, "event_id": "100-200-3000"}, "100-200-3000"),
    ],
)
def test_the_order_names_the_conversion_else_the_event_does(
    changes: dict[str, Any], expected: str
) -> None:
    assert sent(purchase(**changes))["transactionId"] == expected


def test_nothing_changes_between_two_tries() -> None:
    event = claimed(purchase(order_id=None))
    later = claimed(purchase(order_id=None), retry_count=4)

    first, second = GOOGLE.prepare(event), GOOGLE.prepare(later)

    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert first.body == second.body


def test_a_fraction_of_a_second_is_kept() -> None:
    event = sent(purchase(event_time="2026-11-24T12:00:00.250+01:00"))

    assert event["eventTimestamp"] == "2026-11-24T11:00:00.250Z"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency": "dollars"}, "unreadable currency"),
        ({"currency": ["USD", "EUR"]}, "unreadable currency"),
        ({"value": "free"}, "unreadable value"),
        ({"value": "€ 10"}, "unreadable value"),
        ({"order_id": {"a": 1}}, "unreadable order_id"),
        (
            {"email": "no address"},
            "no identifiers: neither a click id nor usable customer information",
        ),
        (
            {"email": None, "first_name": "Jane", "zip": "94035"},
            "no identifiers: neither a click id nor usable customer information",
        ),
        ({"event_time": "soon"}, "unreadable event_time"),
        ({"event_time": "2026-11-24"}, "unreadable event_time"),
        ({"event_time": "2026-11-25T13:00:00Z"}, "event_time lies in the future"),
        ({"consent": {"ad_user_data": "unknown"}}, "unreadable consent: consent"),
        ({"metadata": {"consent": "[object Object]"}}, "unreadable consent: metadata.consent"),
    ],
)
def test_what_google_can_never_accept_is_rejected_without_a_request(
    changes: dict[str, Any], reason: str
) -> None:
    assert refused(purchase(**changes)).reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"consent": {"ad_user_data": "denied"}},
        {"consent": {"adUserData": "CONSENT_DENIED"}},
        {"consent": '{"ad_user_data":"denied","ad_storage":"denied"}'},
        {"ad_storage": "denied"},
        {"user_data": {"consent": 0}},
    ],
)
def test_whose_person_refused_is_withheld_and_is_no_failure(fields: dict[str, Any]) -> None:
    assert withheld(purchase(**fields)).reason == "consent denied"


def test_an_event_that_is_still_to_come_waits_until_then() -> None:
    event = claimed(purchase(event_time="2026-11-24T13:00:00Z"))

    assert GOOGLE.prepare(event) == Postponed(NOW + timedelta(hours=1))


def test_an_event_that_came_too_old_is_withheld_and_one_that_grew_old_is_expired() -> None:
    payload = purchase(event_time="2026-09-01T00:00:00Z")

    assert withheld(payload).reason == "expired at arrival"
    assert refused(payload, created_at=NOW - timedelta(days=80)).reason == "expired"


def test_the_age_limit_is_a_setting() -> None:
    strict = GoogleEc(
        GoogleAccount("1", "2"),
        AccessToken("t"),
        httpx.AsyncClient(),
        AsyncConnectionPool("", open=False),
        max_age=timedelta(days=3),
    )
    old = claimed(purchase(event_time="2026-11-20T00:00:00Z"))

    assert isinstance(GOOGLE.prepare(old), Prepared)
    assert isinstance(strict.prepare(old), Withheld)


@settings(max_examples=150, deadline=None)
@given(PAYLOADS)
def test_any_payload_becomes_a_valid_event_or_a_reasoned_rejection(payload: Any) -> None:
    prepared = prepare_as_a_drain_does(GOOGLE, payload)

    if not isinstance(prepared, Prepared):
        assert prepared.fault.message
        return
    event = orjson.loads(prepared.body)
    assert violations(event, NOW.timestamp(), ["d1"]) == []
    assert list(raw_personal_data(event)) == []
