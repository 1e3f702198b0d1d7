from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings

from tracking_pipeline.delivery.destinations.gtm.measurement_protocol import content
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline.sandbox.gtm_rules import measurement_protocol_problems
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does

AN_HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp())
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
GTM = GtmServer(
    GtmContainer(
        "https://sgtm.shop.example",
        "measurement_protocol",
        measurement_id="G-TEST",
        api_secret="secret-of-a-test",
    ),
    httpx.AsyncClient(),
)
PAYLOAD = {
    "event_name": "purchase",
    "event_id": "pixel-7",
    "client_id": "111.222",
    "event_time": AN_HOUR_AGO,
    "user_data": {"email": "Jane.Roe@gmail.com", "phone": "(650) 555-1212", "first_name": "Jane"},
    "ip_override": "8.8.8.8",
    "user_agent": AGENT,
    "value": 19.9,
    "currency": "usd",
    "order_id": "A-1",
    "session_id": "1764000000",
    "items": [{"item_id": "sku", "quantity": 2}],
}


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def prepared(payload: Any) -> Prepared:
    made = GTM.prepare(claimed(payload))
    assert isinstance(made, Prepared), made
    return made


def refused(payload: Any) -> Rejected:
    made = GTM.prepare(claimed(payload))
    assert isinstance(made, Rejected), made
    return made


def withheld(payload: Any) -> Withheld:
    made = GTM.prepare(claimed(payload))
    assert isinstance(made, Withheld), made
    return made


def _stream(cookie: str) -> dict[str, Any]:
    """The cookie in which Analytics keeps a stream's session."""
    return {"cookies": {"_ga_ABC1234567": cookie}}


def request_of(*payloads: Any) -> dict[str, Any]:
    """The body of one request with these events, of which Google would drop nothing."""
    body = content([prepared(payload) for payload in payloads])
    request: dict[str, Any] = orjson.loads(body)
    assert list(measurement_protocol_problems(request, len(body), NOW.timestamp())) == []
    return request


def test_an_event_is_sent_in_the_protocols_form() -> None:
    assert request_of(PAYLOAD) == {
        "client_id": "111.222",
        "ip_override": "8.8.8.8",
        "user_agent": AGENT,
        "timestamp_micros": AN_HOUR_AGO * 1_000_000,
        "user_data": {
            "sha256_email_address": [sha256("janeroe@gmail.com")],
            "sha256_phone_number": [sha256("+16505551212")],
            "address": [{"sha256_first_name": sha256("jane")}],
        },
        "events": [
            {
                "name": "purchase",
                "timestamp_micros": AN_HOUR_AGO * 1_000_000,
                "params": {
                    "value": 19.9,
                    "currency": "USD",
                    "transaction_id": "A-1",
                    "event_id": "pixel-7",
                    "session_id": "1764000000",
                    "items": [{"item_id": "sku", "quantity": 2}],
                    # Realtime shows no event without it.
                    "engagement_time_msec": 1,
                },
            }
        ],
    }


def test_a_time_of_engagement_that_the_site_says_is_kept() -> None:
    payload = {**PAYLOAD, "engagement_time_msec": 4200}

    assert request_of(payload)["events"][0]["params"]["engagement_time_msec"] == 4200


@pytest.mark.parametrize(
    ("fields", "session"),
    [
        ({"session_id": "1764000000"}, "1764000000"),
        ({"session_id": 1764000000.0}, "1764000000"),
        ({"session_id": None, "ga_session_id": "1764000001"}, "1764000001"),
        ({"session_id": None, "metadata": {"ga_session_id": 1764000001}}, "1764000001"),
        ({"session_id": "GS1.1.1764000000.14.0.1764000009.0.0.1"}, "1764000000"),
        ({"session_id": None, **_stream("GS1.1.1764000000.1.0.1764000009.0.0.0")}, "1764000000"),
        ({"session_id": None, **_stream("GS2.1.s1764000000$o1$g0$t1764000009")}, "1764000000"),
        ({"session_id": None, **_stream("GS2.1.o1$g0$s1764000000$t1764000009")}, "1764000000"),
        ({"session_id": None, **_stream("GS2.1.s1764000000%24o1%24g0")}, "1764000000"),
        ({"session_id": "0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11",
          **_stream("GS2.1.s1764000000$o1")}, "1764000000"),
        ({"session_id": None, "headers": {"cookie": "_ga_XYZ123=GS1.1.1764000000.1.0; a=b"}},
         "1764000000"),
        ({"session_id": None, "cookies": {"_ga_A1B2": "GS2.1.s1$o1", "_ga_D4E5": "GS2.1.s2$o1"}},
         None),
        ({"session_id": None, **_stream("GS2.1.o1$g0")}, None),
        ({"session_id": None, "cookies": {"_ga_test": "1764000000x"}}, None),
        ({"session_id": "0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11"}, None),
        ({"session_id": "undefined"}, None),
        ({"session_id": None}, None),
    ],
)  # fmt: skip
def test_a_session_of_analytics_is_sent_and_a_sites_own_is_not(
    fields: dict[str, Any], session: str | None
) -> None:
    parameters = request_of({**PAYLOAD, **fields})["events"][0]["params"]

    assert parameters.get("session_id") == session
    assert "ga_session_id" not in parameters


def test_of_more_parameters_than_google_takes_those_of_its_reports_stay() -> None:
    made = prepared({**PAYLOAD, **{f"own_{number}": number for number in range(40)}})
    parameters = orjson.loads(made.body)["params"]

    assert len(parameters) == 25
    assert {"session_id", "engagement_time_msec", "transaction_id"} <= parameters.keys()
    assert made.dropped.count(("parameter", "more than 25")) == 40 + 7 - 25


@pytest.mark.parametrize("stated", [0, -1, "", "soon", None, {"a": 1}, True])
def test_a_time_of_engagement_that_is_none_is_a_millisecond(stated: object) -> None:
    parameters = request_of({**PAYLOAD, "engagement_time_msec": stated})["events"][0]["params"]

    assert parameters["engagement_time_msec"] == 1


def test_user_properties_are_counted_as_left_out() -> None:
    made = prepared({**PAYLOAD, "user_properties": {"plan": {"value": "pro"}}})

    assert ("user_properties", "not sent") in made.dropped
    assert "plan" not in str(made.body)


def test_events_of_one_visitor_share_a_request_and_keep_their_own_times() -> None:
    later = {**PAYLOAD, "event_id": "pixel-8", "event_time": AN_HOUR_AGO + 60}

    assert prepared(PAYLOAD).shared == prepared(later).shared
    request = request_of(PAYLOAD, later)
    assert [event["timestamp_micros"] // 1_000_000 for event in request["events"]] == [
        AN_HOUR_AGO,
        AN_HOUR_AGO + 60,
    ]


@pytest.mark.parametrize(
    "change",
    [{"client_id": "333.444"}, {"ip_override": "9.9.9.9"}, {"user_data": {"email": "a@b.example"}}],
)
def test_events_of_two_visitors_share_no_request(change: dict[str, Any]) -> None:
    assert prepared(PAYLOAD).shared != prepared({**PAYLOAD, **change}).shared


@pytest.mark.parametrize(
    "name", ["Lead Captured", "1st", "x" * 41, "_x", "ga_x", "session_start", "first_visit", "a-b"]
)
def test_a_name_that_google_would_drop_in_silence_is_refused_here(name: str) -> None:
    assert "event_name" in refused({**PAYLOAD, "event_name": name}).reason


@pytest.mark.parametrize("name", ["Lead", "x" * 40, "lead_1", "página"])
def test_a_name_that_google_takes_is_sent_as_it_is(name: str) -> None:
    assert request_of({**PAYLOAD, "event_name": name})["events"][0]["name"] == name


def test_an_event_of_more_than_72_hours_ago_is_expired() -> None:
    limit = int((NOW - timedelta(hours=72)).timestamp())
    came_young = claimed({**PAYLOAD, "event_time": limit}, created_at=NOW - timedelta(hours=71))
    grown_old = GTM.prepare(came_young)

    assert isinstance(grown_old, Rejected)
    assert grown_old.reason == "expired"
    assert withheld({**PAYLOAD, "event_time": limit - 7_200}).reason == "expired at arrival"
    assert request_of({**PAYLOAD, "event_time": limit + 120})


def test_a_parameter_beyond_the_limits_is_left_out_and_counted() -> None:
    payload = {
        **PAYLOAD,
        "coupon": "c" * 101,
        "p" * 41: "x",
        "_hidden": "x",
        "page_location": "https://shop.example/" + "p" * 900,
        "custom_data": {f"extra_{number}": number for number in range(40)},
    }

    parameters = request_of(payload)["events"][0]["params"]

    assert len(parameters) == 25
    assert len(parameters["page_location"]) > 900
    assert {"value", "currency", "transaction_id", "event_id"} <= parameters.keys()
    assert set(prepared(payload).dropped) == {
        ("parameter", "value too long"),
        ("parameter", "name not allowed"),
        ("parameter", "more than 25"),
    }


def test_what_identifies_the_visitor_is_no_parameter() -> None:
    payload = {**PAYLOAD, "em": sha256("jane@example.com"), "name": "Jane Roe", "city": "Miami"}

    parameters = request_of(payload)["events"][0]["params"]

    assert parameters == request_of(PAYLOAD)["events"][0]["params"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ad_user_data": True, "ad_personalization": "denied"}, ("GRANTED", "DENIED")),
        ({"ad_user_data": "granted"}, ("GRANTED", None)),
        ({"ad_user_data": "CONSENT_STATUS_UNSPECIFIED", "ad_personalization": None}, (None, None)),
        ({"marketing": True}, (None, None)),
        ({"adUserData": "CONSENT_GRANTED", "adPersonalization": 0}, ("GRANTED", "DENIED")),
        ({}, (None, None)),
    ],
)
def test_what_nobody_said_is_never_called_granted(
    given: dict[str, Any], said: tuple[str | None, str | None]
) -> None:
    consent = request_of({**PAYLOAD, "consent_state": given}).get("consent", {})

    assert (consent.get("ad_user_data"), consent.get("ad_personalization")) == said


@pytest.mark.parametrize("purpose", ["ad_user_data", "ad_storage", "analytics_storage"])
def test_whose_person_refused_what_the_protocol_needs_is_withheld(purpose: str) -> None:
    assert withheld({**PAYLOAD, "consent_state": {purpose: "denied"}}).reason == "consent denied"


def test_a_statement_that_nobody_can_read_is_not_sent_on_a_guess() -> None:
    reason = refused({**PAYLOAD, "consent_state": {"ad_user_data": "unknown"}}).reason

    assert reason == "unreadable consent: consent_state"


def test_an_event_of_130_kb_is_refused() -> None:
    items = [{"item_id": "s" * 90, "quantity": number} for number in range(1_500)]

    assert "130 kB" in refused({**PAYLOAD, "items": items}).reason


@settings(deadline=None, max_examples=150, database=None)
@given(PAYLOADS)
def test_any_payload_becomes_a_good_request_or_a_reasoned_dead_letter(payload: Any) -> None:
    made = prepare_as_a_drain_does(GTM, payload)
    if not isinstance(made, Prepared):
        assert made.fault.message
        assert len(made.fault.message) < 200
        return
    body = content([made])
    request = orjson.loads(body)
    assert list(measurement_protocol_problems(request, len(body), NOW.timestamp())) == []
