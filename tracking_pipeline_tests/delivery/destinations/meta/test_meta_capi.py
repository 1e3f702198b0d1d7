from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.delivery.engine.outcomes import Postponed, Rejected, Withheld
from tracking_pipeline.sandbox.meta_rules import hashed_plain_keys, raw_personal_data, refusal
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does

AN_HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp())
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
META = MetaCapi(
    MetaAccount("1234567890", "token-of-a-test"),
    httpx.AsyncClient(),
    site_url="https://shop.example",
)


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def lead_event(**changes: Any) -> dict[str, Any]:
    """An event that Meta takes, with some fields changed; None leaves a field out."""
    fields = {
        "event_name": "Lead",
        "event_id": "pixel-7",
        "event_time": AN_HOUR_AGO,
        "action_source": "website",
        "event_source_url": "https://shop.example/contact",
        "user_data": {"em": sha256("jane.roe@example.com"), "client_user_agent": AGENT},
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def sent(payload: Any, **changes: Any) -> dict[str, Any]:
    """The element of ``data`` that is sent, which the documented rules take."""
    prepared = META.prepare(claimed(payload, **changes))
    assert isinstance(prepared, Prepared), prepared
    event: dict[str, Any] = orjson.loads(prepared.body)
    return event


def refused(payload: Any, **changes: Any) -> Rejected:
    rejected = META.prepare(claimed(payload, **changes))
    assert isinstance(rejected, Rejected), rejected
    return rejected


FLAT = {
    "event_name": "Lead",
    "event_id": "pixel-7",
    "timestamp": AN_HOUR_AGO * 1000,
    "email": "Jane.Roe@example.com ",
    "phone": "(650) 555-1212",
    "user_agent": AGENT,
    "page_url": "https://shop.example/contact",
    "action_source": "website",
}
LEDGER = {
    "event_name": "Lead",
    "event_id": "pixel-7",
    "event_time": "2026-11-24T11:00:00Z",
    "user_data": {"email": "jane.roe@example.com", "phone": "+1 650 555 1212"},
    "page_path": "/contact",
    "metadata": {"user_agent": AGENT, "action_source": "website"},
}


@pytest.mark.parametrize("payload", [FLAT, LEDGER], ids=["flat", "ledger"])
def test_a_payload_of_another_shape_becomes_one_of_metas_form(payload: dict[str, Any]) -> None:
    event = sent(payload)

    assert event == {
        "event_name": "Lead",
        "event_time": AN_HOUR_AGO,
        "event_id": "pixel-7",
        "action_source": "website",
        "event_source_url": "https://shop.example/contact",
        "user_data": {
            "em": sha256("jane.roe@example.com"),
            "ph": sha256("16505551212"),
            "client_user_agent": AGENT,
        },
    }
    assert refusal(event, NOW.timestamp()) is None


def test_a_payload_of_metas_own_form_stays_what_it_is() -> None:
    payload = lead_event(
        event_name="Purchase",
        referrer_url="https://search.example/",
        opt_out=False,
        data_processing_options=["LDU"],
        data_processing_options_country=1,
        data_processing_options_state=1000,
        custom_data={
            "value": 19.9,
            "currency": "USD",
            "order_id": "A-1",
            "contents": [{"id": "sku", "quantity": 2, "item_price": 9.95}],
            "content_ids": ["sku"],
            "num_items": 2,
        },
        original_event_data={"event_name": "Lead", "event_time": AN_HOUR_AGO},
    )

    assert sent(payload) == payload


def test_the_rows_own_id_serves_where_the_payload_has_none() -> None:
    assert sent(lead_event(event_id=None))["event_id"] == str(ROW_EVENT_ID)


def test_nothing_changes_between_two_tries() -> None:
    event = claimed({**FLAT, "fbclid": "IwAR0abc"})
    later = claimed({**FLAT, "fbclid": "IwAR0abc"}, retry_count=4)

    first, second = META.prepare(event), META.prepare(later)

    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert first.body == second.body


def withheld(payload: Any, **changes: Any) -> Withheld:
    kept_back = META.prepare(claimed(payload, **changes))
    assert isinstance(kept_back, Withheld), kept_back
    return kept_back


@pytest.mark.parametrize("given", [None, "", "somewhere", "WEB SITE", 7, {}])
def test_a_source_that_meta_does_not_know_is_chosen_here(given: Any) -> None:
    with_agent = lead_event(action_source=given, event_source_url=None)
    without = {**with_agent, "user_data": {"em": sha256("jane.roe@example.com")}}

    assert sent(with_agent)["action_source"] == "website"
    assert sent(without)["action_source"] == "system_generated"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" Phone_Call ", "phone_call"),
        ("web", "website"),
        ("in_store", "physical_store"),
        ("EVENT_SOURCE_WEB", "website"),
        ("offline", "physical_store"),
        (["website"], "website"),
    ],
)
def test_a_source_in_other_words_is_understood(written: Any, meant: str) -> None:
    assert sent(lead_event(action_source=written))["action_source"] == meant


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_name": "Purchase"}, "missing custom_data.value"),
        (
            {"event_name": "Purchase", "custom_data": {"value": 1}},
            "missing custom_data.currency",
        ),
        (
            {"event_name": "Purchase", "custom_data": {"value": "free", "currency": "USD"}},
            "unreadable custom_data.value",
        ),
        (
            {"event_name": "Purchase", "custom_data": {"value": 1, "currency": "dollars"}},
            "unreadable custom_data.currency",
        ),
        ({"custom_data": {"value": "free"}}, "unreadable custom_data.value"),
        ({"custom_data": {"order_id": {"a": 1}}}, "unreadable custom_data.order_id"),
        ({"event_id": {"a": 1}}, "unreadable event_id"),
        ({"action_source": "app"}, "missing app_data.advertiser_tracking_enabled"),
        ({"action_source": "app", "app_data": "x"}, "missing app_data.advertiser_tracking_enabled"),
        (
            {"action_source": "app", "app_data": {"advertiser_tracking_enabled": 1}},
            "missing app_data.extinfo",
        ),
        ({"action_source": "business_messaging"}, "missing messaging_channel"),
        (
            {"action_source": "business_messaging", "messaging_channel": ""},
            "missing messaging_channel",
        ),
        ({"user_data": None}, "missing user_data: no usable customer information"),
        ({"user_data": "x"}, "missing user_data: no usable customer information"),
        ({"user_data": {"em": "no address"}}, "missing user_data: no usable customer information"),
        ({"opt_out": "perhaps"}, "unreadable opt_out"),
        ({"opt_out": 2}, "unreadable opt_out"),
        ({"metadata": {"optOut": {"a": 1}}}, "unreadable metadata.optOut"),
        ({"data_processing_options": {"LDU": 1}}, "unreadable data_processing_options"),
        ({"data_processing_options": "[LDU"}, "unreadable data_processing_options"),
        ({"data_processing_options_country": "US"}, "unreadable data_processing_options_country"),
        ({"data_processing_options_country": "-1"}, "unreadable data_processing_options_country"),
        ({"data_processing_options_country": "1.5"}, "unreadable data_processing_options_country"),
        ({"data_processing_options_state": True}, "unreadable data_processing_options_state"),
        ({"event_time": "soon"}, "unreadable event_time"),
        ({"event_time": AN_HOUR_AGO + 3_600 + 86_460}, "event_time lies in the future"),
        ({"consent": "maybe"}, "unreadable consent: consent"),
        (
            {"metadata": {"marketingConsent": "[object Object]"}},
            "unreadable consent: metadata.marketingConsent",
        ),
    ],
)
def test_what_meta_would_refuse_is_rejected_with_the_field_named(
    changes: dict[str, Any], reason: str
) -> None:
    assert refused(lead_event(**changes)).reason == reason


@pytest.mark.parametrize(
    "user_data",
    [
        {"ct": "miami", "st": "fl", "zp": "33101", "country": "us", "ge": "f"},
        {"ct": "miami", "client_user_agent": AGENT},
        {"db": "19970216", "client_user_agent": AGENT},
        {"fn": "jane", "ge": "f"},
        {"ln": "roe", "ge": "f"},
        {"client_user_agent": AGENT},
        {"fn": "jane"},
    ],
)
def test_keys_that_fit_too_many_people_are_rejected_without_a_request(
    user_data: dict[str, str],
) -> None:
    reason = refused(lead_event(user_data=user_data, action_source=None)).reason

    assert reason.startswith("too little customer information: only ")
    assert "miami" not in reason


@pytest.mark.parametrize(
    "user_data",
    [
        {"fn": "jane", "ln": "roe"},
        {"fn": "jane", "client_user_agent": AGENT},
        {"fbp": "fb.1.1596403881668.1116446470"},
        {"external_id": "user-1"},
    ],
)
def test_keys_that_fit_few_people_are_sent(user_data: dict[str, str]) -> None:
    event = sent(lead_event(user_data=user_data, action_source="other"))

    assert event["user_data"].keys() == user_data.keys()
    assert refusal(event, NOW.timestamp()) is None


def test_what_a_website_lacks_is_counted_and_costs_no_event() -> None:
    """docs/decisions/0004: a refusal costs one search, a dead letter the event."""
    user_data = {"em": sha256("jane.roe@example.com")}
    payload = lead_event(event_source_url="not an address", user_data=user_data)

    prepared = META.prepare(claimed(payload))

    assert isinstance(prepared, Prepared), prepared
    assert prepared.dropped == (("client_user_agent", "missing"), ("event_source_url", "missing"))
    event = orjson.loads(prepared.body)
    assert event["action_source"] == "website"
    assert "event_source_url" not in event
    assert event["user_data"] == user_data


def test_what_is_complete_counts_nothing_as_missing() -> None:
    for payload in (lead_event(), lead_event(action_source="phone_call", event_source_url=None)):
        prepared = META.prepare(claimed(payload))
        assert isinstance(prepared, Prepared)
        assert prepared.dropped == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"consent": "denied"},
        {"consent": {"ad_storage": "denied", "ad_user_data": "granted"}},
        {"user_data": {"em": sha256("jane.roe@example.com"), "consent": False}},
        {"metadata": {"consent": '{"marketing": 0}'}},
        {"marketingConsent": "no"},
    ],
)
def test_whose_person_refused_is_withheld_and_is_no_failure(changes: dict[str, Any]) -> None:
    assert withheld(lead_event(**changes)).reason == "consent denied"


def test_an_event_that_is_still_to_come_waits_until_then() -> None:
    payload = lead_event(event_time=AN_HOUR_AGO + 7_200)

    assert META.prepare(claimed(payload)) == Postponed(NOW + timedelta(hours=1))


def test_who_refused_personalisation_alone_is_sent_for_attribution_only() -> None:
    consent = {"ad_user_data": "granted", "ad_personalization": "denied"}

    assert sent(lead_event(consent=consent))["opt_out"] is True


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("source", "age", "is_sent"),
    [
        ("website", 7 * DAY - timedelta(minutes=2), True),
        ("website", 7 * DAY, False),
        ("website", 8 * DAY, False),
        ("physical_store", 8 * DAY, True),
        ("physical_store", 62 * DAY - timedelta(minutes=2), True),
        ("physical_store", 62 * DAY, False),
        (None, 8 * DAY, False),
    ],
)
def test_an_event_that_came_past_its_age_limit_is_withheld(
    source: str | None, age: timedelta, is_sent: bool
) -> None:
    payload = lead_event(action_source=source, event_time=int((NOW - age).timestamp()))
    prepared = META.prepare(claimed(payload, created_at=NOW))

    assert isinstance(prepared, Prepared if is_sent else Withheld)
    if isinstance(prepared, Withheld):
        assert prepared.reason == "expired at arrival"
        assert "days Meta accepts" in prepared.fault.message


def test_an_event_that_grew_old_while_it_waited_is_expired() -> None:
    came = NOW - 8 * DAY
    payload = lead_event(event_time=int((came - timedelta(hours=1)).timestamp()))

    rejected = refused(payload, created_at=came)

    assert rejected.reason == "expired"
    assert "days Meta accepts" in rejected.fault.message


def test_a_row_without_a_time_expires_by_its_created_at() -> None:
    assert refused(lead_event(event_time=None), created_at=NOW - 8 * DAY).reason == "expired"


def test_an_event_that_would_cross_the_limit_on_its_way_is_not_sent() -> None:
    payload = lead_event(event_time=int((NOW - 7 * DAY + timedelta(seconds=30)).timestamp()))

    assert refused(payload).reason == "expired"


def test_the_lead_and_its_place_complete_what_the_payload_says() -> None:
    lead = Lead(
        email="other@example.com",
        first_name="Jane",
        city="Miami",
        state="Florida",
        zip="33101",
        country="US",
        client_ip="8.8.8.8",
    )

    keys = sent(lead_event(), lead=lead)["user_data"]

    # Explicit data wins; what is missing is added.
    assert keys["em"] == sha256("jane.roe@example.com")
    assert keys["fn"] == sha256("jane")
    assert (keys["ct"], keys["st"], keys["zp"]) == (sha256("miami"), sha256("fl"), sha256("33101"))
    assert keys["client_ip_address"] == "8.8.8.8"


def test_the_rows_own_user_data_comes_before_the_leads() -> None:
    event = sent(
        lead_event(user_data={"client_user_agent": AGENT}),
        user_data={"email": "row@example.com"},
        lead=Lead(email="lead@example.com"),
    )

    assert event["user_data"]["em"] == sha256("row@example.com")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"lead_id": "123456789012345"}, {"lead_id": 123456789012345}),
        ({"fb_login_id": 42}, {"fb_login_id": 42}),
        ({"lead_id": "0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11"}, {}),
        ({"lead_id": "9" * 40}, {}),
        ({"lead_id": 1.5, "fb_login_id": True}, {}),
        ({"subscription_id": "sub-1"}, {"subscription_id": "sub-1"}),
        ({"subscription_id": "jane.roe@example.com", "madid": "+1 650 555 1212"}, {}),
        ({"page_id": {"x": 1}, "ctwa_clid": [1, 2]}, {}),
        ({"ctwa_clid": ["ARAmadeup"]}, {"ctwa_clid": "ARAmadeup"}),
        ({"lead_id": "l:123456789012345"}, {"lead_id": 123456789012345}),
    ],
)
def test_metas_own_ids_are_sent_where_they_can_be_such(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    user_data = sent(lead_event(user_data={**lead_event()["user_data"], **given}))["user_data"]

    assert {key: user_data[key] for key in given if key in user_data} == expected


@pytest.mark.parametrize("place", ["metadata", "properties", "context", "custom_data"])
def test_a_privacy_option_counts_wherever_the_payload_has_it(place: str) -> None:
    event = sent(lead_event(**{place: {"opt_out": True, "data_processing_options": ["LDU"]}}))

    assert event["opt_out"] is True
    assert event["data_processing_options"] == ["LDU"]


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ({"opt_out": 1}, {"opt_out": True}),
        ({"opt_out": "yes"}, {"opt_out": True}),
        ({"optOut": "true"}, {"opt_out": True}),
        ({"opt_out": "0"}, {"opt_out": False}),
        ({"data_processing_options": "LDU"}, {"data_processing_options": ["LDU"]}),
        ({"dataProcessingOptions": '["ldu"]'}, {"data_processing_options": ["LDU"]}),
        ({"data_processing_options": "[]"}, {"data_processing_options": []}),
    ],
)
def test_a_privacy_option_is_read_in_the_forms_that_sites_write(
    written: dict[str, Any], options: dict[str, Any]
) -> None:
    assert sent(lead_event(**written)).items() >= options.items()


def test_that_an_event_is_not_limited_is_said_as_well() -> None:
    assert sent(lead_event(data_processing_options=[]))["data_processing_options"] == []


@pytest.mark.parametrize(("written", "meant"), [("1", 1), (" 1000 ", 1000), ("0", 0)])
def test_a_privacy_option_written_as_text_is_the_number_it_says(written: str, meant: int) -> None:
    event = sent(
        lead_event(
            data_processing_options=["LDU"],
            data_processing_options_country=written,
            metadata={"data_processing_options_state": written},
        )
    )

    assert event["data_processing_options_country"] == meant
    assert event["data_processing_options_state"] == meant


@pytest.mark.parametrize("place", ["custom_data", "metadata", "app_data", "original_event_data"])
def test_half_a_character_in_json_inside_text_does_not_kill_the_event(place: str) -> None:
    half = '{"a": "\\ud800", "\\udfff": ["\\ud800 b"]}'

    event = sent(lead_event(email=half, note=half, **{place: {"note": half, "content_name": half}}))

    assert event["event_name"] == "Lead"


def test_a_value_in_text_is_sent_as_a_number() -> None:
    payload = lead_event(
        event_name="Purchase", custom_data={"value": "1.234,50", "currency": "eur"}
    )

    assert sent(payload)["custom_data"] == {"value": 1234.5, "currency": "EUR"}


CANARIES = {
    "email": "canary.person@example.com",
    "e-mail": "canary.person@example.com",
    "userEmail": "canary.person@example.com",
    "phone": "+1 650 555 0199",
    "phoneNumber": "(650) 555-0199",
    "mobile": "650-555-0199",
    "first_name": "Canaryfirst",
    "lastName": "Canarylast",
    "full_name": "Canaryfirst Canarylast",
    "dob": "1971-02-03",
    "city": "Canarytown",
    "zip": "94199",
    "street": "7 Canary Row",
}
NEEDLES = (b"canary", b"5550199", b"555-0199", b"555 0199", b"1971-02-03", b"19710203", b"94199")


@pytest.mark.parametrize(
    "payload",
    [
        lead_event(**CANARIES),
        lead_event(user_data={**lead_event()["user_data"], **CANARIES}),
        lead_event(custom_data=CANARIES),
        lead_event(custom_data={"customer": CANARIES, "contents": [CANARIES]}),
        lead_event(custom_data={"order": orjson.dumps(CANARIES).decode()}),
        lead_event(contents=[CANARIES], search_string="canary.person@example.com"),
        lead_event(content_name="call +1 650 555 0199", status="canary.person@example.com"),
        lead_event(metadata=CANARIES, properties=CANARIES, context={"traits": CANARIES}),
        lead_event(app_data=CANARIES, original_event_data=CANARIES, attribution_data=CANARIES),
        lead_event(customer_segmentation={"audience": CANARIES}),
        lead_event(
            event_source_url="https://shop.example/?email=canary.person%40example.com"
            "&first_name=Canaryfirst&phone=%2B16505550199",
            referrer_url="https://shop.example/?e=canary.person@example.com",
        ),
        lead_event(order_id="canary.person@example.com"),
        lead_event(event_name="Lead of canary.person@example.com"),
        lead_event(subscription_id="canary.person@example.com"),
        lead_event(custom_data={"name": "Canaryfirst Canarylast"}, name="Canaryfirst Canarylast"),
        lead_event(custom_data=[{"name": "first_name", "value": "Canaryfirst"}]),
    ],
)
def test_no_raw_personal_data_leaves_the_house(payload: dict[str, Any]) -> None:
    prepared = META.prepare(claimed(payload))

    assert isinstance(prepared, Prepared), prepared
    for needle in NEEDLES:
        assert needle not in prepared.body.lower()
        assert needle not in repr(prepared.dropped).lower().encode()
    assert list(raw_personal_data(orjson.loads(prepared.body))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": "canary.person@example.com"},
        {"opt_out": "canary.person@example.com"},
        {"user_data": {"ct": "Canarytown", "zip": "94199"}, "action_source": None},
        {"event_name": "Purchase", "custom_data": {"value": "canary", "currency": "canary"}},
        {"action_source": "app", "app_data": "canary"},
        {"event_time": AN_HOUR_AGO - 30 * 86_400, "email": "canary.person@example.com"},
        {"event_time": AN_HOUR_AGO + 7_200, "email": "canary.person@example.com"},
        {"custom_data": {"name": "first_name", "value": "Canaryfirst"}},
        {"consent": "canary.person@example.com"},
        {"canary.person@example.com": {"event_id": {"a": 1}, "opt_out": [2]}},
        {"metadata": {"+1 650 555 0199": {"marketing_consent": "denied"}}},
    ],
)
def test_what_is_said_of_an_event_that_is_not_sent_never_quotes_it(changes: dict[str, Any]) -> None:
    not_sent = META.prepare(claimed(lead_event(**changes)))

    assert isinstance(not_sent, (Rejected, Withheld, Postponed)), not_sent
    for needle in NEEDLES:
        assert needle not in repr(not_sent).lower().encode()


def test_the_accounts_secrets_are_in_no_representation() -> None:
    account = MetaAccount("1", "token-of-a-test", app_secret="secret-of-a-test")

    assert "of-a-test" not in repr(account)


def test_a_payload_of_a_megabyte_is_prepared_or_rejected() -> None:
    payload = lead_event(
        custom_data={"note": "a" * 1_000_000, "email": "b" * 100_000 + "@x.example"}
    )

    assert isinstance(META.prepare(claimed(payload)), (Prepared, Rejected))


def _has_text(event: dict[str, Any], place: str) -> bool:
    """The sandbox goes by a field's name; a null or a number in it is nobody's name or address."""
    value: Any = event
    for name in place.split(".", 1):
        value = value[name]
    return any(character.isalpha() for character in _leaves(value))


def _leaves(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(map(_leaves, value.values()))
    if isinstance(value, list):
        return "".join(map(_leaves, value))
    return value if isinstance(value, str) else ""


MISSING = {
    "Missing event source URL": "event_source_url",
    "Missing user agent": "client_user_agent",
}


def assert_is_valid_or_reasoned(payload: Any) -> None:
    prepared = prepare_as_a_drain_does(META, payload)
    if not isinstance(prepared, Prepared):
        assert prepared.fault.message
        assert len(prepared.fault.message) < 200
        return
    event = orjson.loads(prepared.body)
    problem = refusal(event, NOW.timestamp())
    # Of a website, what Meta might refuse for being absent is sent and counted.
    assert problem is None or (MISSING.get(problem.title), "missing") in prepared.dropped, problem
    assert [place for place in raw_personal_data(event) if _has_text(event, place)] == []
    assert list(hashed_plain_keys(event)) == []


@settings(deadline=None, max_examples=150, database=None)
@given(PAYLOADS)
def test_any_payload_becomes_a_valid_request_or_a_reasoned_dead_letter(payload: Any) -> None:
    assert_is_valid_or_reasoned(payload)


PARTS = (
    *lead_event(),
    *("custom_data", "app_data", "opt_out", "consent", "metadata", "data"),
    *("messaging_channel", "value", "currency"),
)


@settings(deadline=None, max_examples=150, database=None)
@given(st.dictionaries(st.sampled_from(PARTS), PAYLOADS, max_size=4))
def test_any_part_of_a_good_payload_may_be_anything(parts: dict[str, Any]) -> None:
    assert_is_valid_or_reasoned({**lead_event(), **parts})
