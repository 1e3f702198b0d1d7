from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from hypothesis import given, settings

from tracking_pipeline.delivery.destinations.gtm.data_client import content
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.delivery.engine.outcomes import Postponed, Withheld
from tracking_pipeline.sandbox.gtm_rules import data_client_problems
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does

AN_HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp())
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
FBC = "fb.1.1764000000000.IwAR0abc"
FBP = "fb.1.1764000000000.1234567890"
LEAD_ID = UUID("7d0f3f52-1d5e-4a43-9ab1-0a4e4ad1c111")
GTM = GtmServer(
    GtmContainer("https://sgtm.shop.example"),
    httpx.AsyncClient(),
    site_url="https://shop.example",
)


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def prepared(payload: Any, **changes: Any) -> Prepared:
    made = GTM.prepare(claimed(payload, **changes))
    assert isinstance(made, Prepared), made
    return made


def sent(payload: Any, **changes: Any) -> dict[str, Any]:
    """The event that is sent, of which a container has to fill in nothing."""
    event: dict[str, Any] = orjson.loads(prepared(payload, **changes).body)
    assert list(data_client_problems(event)) == []
    return event


PAYLOAD = {
    "event_name": "generate_lead",
    "event_id": "pixel-7",
    "client_id": "111.222",
    "event_time": AN_HOUR_AGO,
    "page_location": "https://shop.example/contact",
    "user_data": {
        "email_address": "Jane.Roe@gmail.com ",
        "phone_number": "(650) 555-1212",
        "address": {
            "first_name": "Jane",
            "last_name": "Roe-O'Neil",
            "street": "12 Ocean Drive",
            "city": "Miami",
            "country": "US",
        },
    },
    "ip_override": "8.8.8.8",
    "user_agent": AGENT,
    "consent_state": {"ad_storage": True, "ad_user_data": True},
    "common_cookie": {"_fbp": FBP, "_fbc": FBC, "_gcl_aw": "GCL.1764000000.abc"},
    "value": 19.9,
    "currency": "USD",
    "form_id": "contact-form",
}


def test_a_payload_of_the_clients_own_form_keeps_what_it_says() -> None:
    assert sent(PAYLOAD) == {
        **{name: value for name, value in PAYLOAD.items() if name != "event_time"},
        "event_time": AN_HOUR_AGO,
        "timestamp": AN_HOUR_AGO,
        "user_data": {
            "email_address": "jane.roe@gmail.com",
            "phone_number": "+16505551212",
            "address": {
                # Each tag hashes a name by its own rule, so all its signs are there.
                "first_name": "Jane",
                "last_name": "Roe-O'Neil",
                "street": "12 Ocean Drive",
                "city": "miami",
                "country": "US",
            },
        },
    }


def test_where_only_a_hash_is_known_it_is_named_a_hash() -> None:
    hashes = {
        "sha256_email_address": sha256("jane@example.com"),
        "sha256_phone_number": sha256("+16505551212"),
        "sha256_first_name": sha256("jane"),
    }

    assert sent({**PAYLOAD, "user_data": hashes})["user_data"] == {
        "sha256_email_address": hashes["sha256_email_address"],
        "sha256_phone_number": hashes["sha256_phone_number"],
        "address": {"sha256_first_name": hashes["sha256_first_name"]},
    }


def test_a_hash_under_a_name_for_clear_text_is_renamed() -> None:
    payload = {**PAYLOAD, "user_data": {"email_address": sha256("jane@example.com")}}

    assert sent(payload)["user_data"] == {"sha256_email_address": sha256("jane@example.com")}


def test_the_street_of_another_person_is_not_this_ones() -> None:
    payload = {
        **PAYLOAD,
        "user_data": {"email_address": "jane.roe@gmail.com"},
        "customer": {"email": "joe@example.com", "address": {"street": "1 Elm", "city": "Ulm"}},
    }

    assert sent(payload)["user_data"] == {"email_address": "jane.roe@gmail.com"}


def test_the_browser_is_the_events_whoever_else_is_named_beside_it() -> None:
    payload = {**PAYLOAD, "email": "joe@example.com", "first_name": "Joe"}

    event = sent(payload)

    assert (event["ip_override"], event["user_agent"]) == ("8.8.8.8", AGENT)
    assert event["user_data"] == sent(PAYLOAD)["user_data"]


def test_the_lead_adds_what_the_payload_lacks() -> None:
    lead = Lead(
        email="lead@example.com", phone="+44 20 7946 0958", zip="33101", client_ip="9.9.9.9"
    )
    bare = {"event_name": "generate_lead", "user_data": {"email": "payload@example.com"}}

    event = sent(bare, lead=lead, lead_id=LEAD_ID)

    assert event["user_data"]["email_address"] == "payload@example.com"
    assert event["user_data"]["phone_number"] == "+442079460958"
    assert event["user_data"]["address"] == {"postal_code": "33101"}
    assert event["ip_override"] == "9.9.9.9"


def test_an_event_happened_when_it_happened_and_not_now() -> None:
    for payload in ({**PAYLOAD, "event_time": AN_HOUR_AGO * 1000}, {"event_name": "x"}):
        assert sent(payload)["timestamp"] == AN_HOUR_AGO


def test_an_address_that_is_nobodys_is_not_sent_under_another_name() -> None:
    payload = {**PAYLOAD, "ip_override": "10.0.0.1", "ip": "10.0.0.1", "ipOverride": "10.0.0.1"}

    assert sent(payload).keys().isdisjoint({"ip", "ip_override", "ipOverride"})


@pytest.mark.parametrize(
    "payload",
    [
        {"event_name": "x", "client_id": "111.222"},
        {"event_name": "x", "data_client_id": "111.222"},
        {"event_name": "x", "metadata": {"clientId": "111.222"}},
        {"event_name": "x", "_ga": "GA1.1.111.222"},
        {"event_name": "x", "cookies": {"_ga": "GA1.2.111.222"}},
        {"event_name": "x", "cookies": "a=b; _ga=GA1.1-2.111.222"},
        {"event_name": "x", "headers": {"cookie": "_ga=GA1.3.111.222; c=d"}},
        {"event_name": "x", "_ga": "111.222"},
        {"event_name": "x", "_ga": "GA1.1.111%2E222"},
        {"event_name": "x", "_ga": "undefined", "gaClientId": "111.222"},
        {"event_name": "x", "client_id": "GA1.1.111.222"},
        {"e_n": "x", "e_v": 5, "_dcid": "111.222"},
    ],
)
def test_the_visitors_own_client_id_is_found(payload: dict[str, Any]) -> None:
    assert sent(payload)["client_id"] == "111.222"


@pytest.mark.parametrize("cookie", ["amp-RropBFRsiNKdhvMm-_4", "GA1.1.amp-RropBFRsiNKdhvMm-_4"])
def test_a_visitor_of_amp_pages_has_an_id_of_its_own_form(cookie: str) -> None:
    assert sent({"event_name": "x", "_ga": cookie})["client_id"] == "amp-RropBFRsiNKdhvMm-_4"


def test_the_clients_own_short_names_are_read() -> None:
    event = sent({"e_n": "purchase", "e_v": "19.90", "currency": "EUR"})

    assert (event["event_name"], event["value"]) == ("purchase", 19.9)


def test_the_session_of_analytics_is_told_where_the_event_names_none() -> None:
    cookies = {"_ga_ABC1234567": "GS2.1.s1764000000$o1$g0$t1764000001$j60$l0$h0"}

    assert sent({"event_name": "x", "cookies": cookies})["session_id"] == "1764000000"
    own = sent({"event_name": "x", "cookies": cookies, "session_id": "of-the-site"})
    assert own["session_id"] == "of-the-site"


def test_a_client_id_that_is_missing_is_the_same_at_every_try() -> None:
    first = sent({"event_name": "x"})["client_id"]

    assert first == sent({"event_name": "x"}, retry_count=4)["client_id"]
    assert first != sent({"event_name": "x", "event_id": "another"})["client_id"]


def test_the_events_of_one_lead_have_one_client_id() -> None:
    one = sent({"event_name": "x", "event_id": "a"}, lead_id=LEAD_ID)["client_id"]

    assert one == sent({"event_name": "y", "event_id": "b"}, lead_id=LEAD_ID)["client_id"]


@pytest.mark.parametrize("given", ["jane.roe@example.com", "+1 650 555 1212", "x" * 300, {}, True])
def test_what_is_no_id_is_not_sent_as_one(given: Any) -> None:
    event = sent({"event_name": "x", "client_id": given, "user_id": given})

    assert event["client_id"] == sent({"event_name": "x"})["client_id"]
    assert "user_id" not in event


def test_the_rows_own_event_id_serves_where_the_payload_has_none() -> None:
    assert sent({"event_name": "x"})["event_id"] == str(ROW_EVENT_ID)


def test_nothing_changes_between_two_tries() -> None:
    payload = {**PAYLOAD, "fbclid": "IwAR0abc", "common_cookie": None}

    assert prepared(payload).body == prepared(payload, retry_count=4).body


@pytest.mark.parametrize("value", [0, 0.0, "0"])
def test_a_value_of_nothing_is_a_value(value: Any) -> None:
    assert sent({**PAYLOAD, "value": value})["value"] == 0


def test_the_payloads_own_fields_go_without_what_is_personal_in_them() -> None:
    event = sent({**PAYLOAD, "email": "jane@example.com", "note": "call jane@example.com"})

    assert event["note"] == "call [removed]"
    assert "email" not in event


@pytest.mark.parametrize("consent", [{"ad_user_data": False}, {"ad_storage": "denied"}])
def test_an_event_whose_person_refused_advertising_is_not_sent(consent: dict[str, Any]) -> None:
    refused = GTM.prepare(claimed({**PAYLOAD, "consent_state": consent}))

    assert isinstance(refused, Withheld)
    assert refused.reason == "consent denied"


def test_an_event_that_is_still_to_come_waits_until_then() -> None:
    event = claimed({**PAYLOAD, "event_time": AN_HOUR_AGO + 7_200})

    assert GTM.prepare(event) == Postponed(NOW + timedelta(hours=1))


def test_what_a_person_allowed_is_passed_on() -> None:
    consent = {"ad_storage": True, "analytics_storage": False}
    payload = {**PAYLOAD, "consent_state": None, "consent": consent}

    assert sent(payload)["consent_state"] == consent


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        (
            {"marketing_consent": "yes"},
            {"ad_storage": True, "ad_user_data": True, "ad_personalization": True},
        ),
        (
            {"ad_user_data": "granted", "ad_personalization": "denied"},
            {"ad_user_data": True, "ad_personalization": False},
        ),
        (
            {"metadata": {"consent": {"analytics": "no", "marketing": "yes"}}},
            {"analytics": "no", "marketing": "yes"},
        ),
        ({}, None),
    ],
)
def test_what_a_person_said_in_other_places_is_passed_on_as_well(
    fields: dict[str, Any], state: dict[str, Any] | None
) -> None:
    assert sent({**PAYLOAD, "consent_state": None, **fields}).get("consent_state") == state


def test_what_a_person_said_is_passed_on_without_what_is_personal_in_it() -> None:
    consent = {"marketing": True, "given_by": "jane.roe@example.com"}

    assert "jane" not in str(sent({**PAYLOAD, "consent_state": consent})["consent_state"])


def test_one_event_is_sent_as_an_object_and_more_as_a_list() -> None:
    one, other = prepared(PAYLOAD), prepared({**PAYLOAD, "event_id": "pixel-8"})

    assert orjson.loads(content([one]))["event_id"] == "pixel-7"
    assert [each["event_id"] for each in orjson.loads(content([one, other]))] == [
        "pixel-7",
        "pixel-8",
    ]


def test_only_events_of_one_visitor_may_share_a_list() -> None:
    assert prepared(PAYLOAD).shared == prepared({**PAYLOAD, "event_id": "pixel-8"}).shared
    assert prepared(PAYLOAD).shared != prepared({**PAYLOAD, "client_id": "333.444"}).shared


@settings(deadline=None, max_examples=150, database=None)
@given(PAYLOADS)
def test_any_payload_becomes_a_good_event_or_a_reasoned_dead_letter(payload: Any) -> None:
    made = prepare_as_a_drain_does(GTM, payload)
    if not isinstance(made, Prepared):
        assert made.fault.message
        assert len(made.fault.message) < 200
    else:
        assert list(data_client_problems(orjson.loads(made.body))) == []
