"""What explain says was read: each field with its place, and where each match key came from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.events.explain import PayloadExplained, ReadingRules, explain_payload
from tracking_pipeline.events.masking import masked, match_keys_in, shortened, shown_body
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.events.written import AD_DESTINATIONS, destination

EMAIL = "jane.roe@example.com"
RULES = ReadingRules()


def explain(payload: Any, rules: ReadingRules = RULES, **row: Any) -> PayloadExplained:
    return explain_payload(claimed(payload, **row), rules)


def test_each_field_is_read_with_the_path_where_it_stands() -> None:
    time = int((NOW - timedelta(hours=1)).timestamp())
    event = {
        "event_name": "Purchase",
        "event_id": "px-1",
        "event_time": time,
        "action_source": "website",
        "event_source_url": "https://shop.example/t?gclid=Cj0KCQiA-made-up",
        "custom_data": {"value": "1.299,00", "currency": "EUR", "order_id": "A-1"},
    }
    found = explain({"type": "INSERT", "record": {"body": [event]}})
    assert found.form.name == "meta_event"
    shown = {name: (each.state, each.value, each.path) for name, each in found.fields.items()}
    at = "record.body[0]"
    assert shown["event_name"] == ("read", "Purchase", f"{at}.event_name")
    assert shown["event_id"] == ("read", "px-1", f"{at}.event_id")
    assert shown["value"] == ("read", 1299.0, f"{at}.custom_data.value")
    assert shown["order_id"] == ("read", "A-1", f"{at}.custom_data.order_id")
    assert shown["event_time"][1:] == ("2026-11-24T11:00:00+00:00", f"{at}.event_time")
    assert shown["page_url"] == (
        "read", "https://shop.example/t?gclid=Cj0KCQ…", f"{at}.event_source_url",
    )  # fmt: skip
    assert found.click_ids["gclid"].path == f"{at}.event_source_url"
    assert shown["client_id"][0] == "absent"


def test_what_is_there_and_cannot_be_read_is_unreadable_with_its_place() -> None:
    found = explain(
        {
            "event_name": "Lead",
            "event_time": "soon",
            "event_id": {"a": [1]},
            "value": "free",
            "currency": "coins",
            "event_source_url": "/t",
            "action_source": "the moon",
        }
    )
    unreadable = {name for name, each in found.fields.items() if each.state == "unreadable"}
    assert unreadable == {
        "event_time", "event_id", "value", "currency", "page_url", "action_source",
    }  # fmt: skip
    assert found.fields["event_time"].path == "event_time"
    assert "SITE_URL" in found.fields["page_url"].note


def test_what_stands_in_for_a_field_that_is_not_there_is_said() -> None:
    found = explain({"event_id": "undefined"}, event_name="Lead")
    assert found.fields["event_name"].path == "the row's event_name"
    assert "0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11" in found.fields["event_id"].note
    assert "created_at" in found.fields["event_time"].note
    assert found.fields["event_id"].state == "absent"


def test_an_event_without_a_name_is_explained_all_the_same() -> None:
    found = explain({"order_id": "A-1", "email": EMAIL}, event_name="")
    assert found.problem == "missing event_name"
    assert found.fields["event_name"].state == "absent"
    assert found.fields["order_id"].value == "A-1"
    assert [each.key for each in found.people] == ["em"]


def test_what_is_no_one_event_says_why() -> None:
    event = {"event_name": "Lead", "event_id": "1", "user_data": {"em": EMAIL}}
    other = {**event, "event_id": "2"}
    for payload, why in (
        ({"events": [event, other]}, "several events"),
        ("text", "no JSON object"),
    ):
        found = explain(payload)
        assert found.problem is not None
        assert why in found.problem
        assert (found.fields, found.people) == ({}, ())


def test_where_a_match_key_came_from_and_why_another_value_serves_nobody() -> None:
    found = explain(
        {
            "event_name": "Lead",
            "user_data": {"em": EMAIL, "ph": "12"},
            "billing": {"email": EMAIL, "full_name": "Jane Roe"},
            "items": [{"email": "seller@example.com"}],
        },
        user_data={"phone": "+1 650 555 1212"},
        lead=Lead(email="other@example.com", city="Miami", country="US"),
    )
    shown = [(each.key, each.source, each.path, each.used_by, each.note) for each in found.people]
    both = ("meta", "google")
    assert shown[0] == ("em", "payload", "user_data.em", both, "")
    assert ("ph", "payload", "user_data.ph", (), "invalid phone") in shown
    nearer = "the same value stands nearer to the person"
    assert ("em", "payload", "billing.email", (), nearer) in shown
    assert ("fn", "payload", "billing.full_name", both, "") in shown
    assert ("ln", "payload", "billing.full_name", both, "") in shown
    assert ("ph", "user_data column", "user_data.phone", both, "") in shown
    later = "another value stands nearer to the person"
    assert ("em", "lead", "leads.email", (), later) in shown
    assert ("ct", "lead", "leads.city", both, "") in shown
    assert not [each for each in shown if "items" in each[2]]


def test_the_place_of_a_host_serves_where_it_is_set_to_and_explain_says_why_it_does_not() -> None:
    lead = Lead(city="San Jose", country="US", state="Texas", hosting_fields=["city", "country"])
    for serves in (True, False):
        rules = ReadingRules(ReadingPolicy(hosting_match_keys=serves))
        found = explain({"event_name": "Lead"}, rules, lead=lead)
        people = {each.key: each for each in found.people}
        assert people["st"].used_by
        assert bool(people["ct"].used_by) is bool(people["country"].used_by) is serves
        assert serves or "GEO_MATCH_KEYS_FROM_HOSTING" in people["ct"].note


def test_a_click_that_makes_a_cookie_is_named_as_its_source() -> None:
    payload = {"event_name": "Lead", "page": {"url": "https://shop.example/?fbclid=IwAR2abcdefgh"}}
    (found,) = explain(payload).people
    assert (found.key, found.source, found.path) == ("fbc", "click", "page.url")


def test_consent_is_told_by_purpose_with_what_silence_means() -> None:
    rules = ReadingRules(ReadingPolicy(consent_default="denied"))
    said = {"event_name": "Lead", "user_data": {"consent": {"ad_user_data": "denied"}}, "gpc": 1}
    consent = explain(said, rules).consent
    assert (consent.purposes["ad_user_data"].said, consent.purposes["ad_storage"].said) == (
        "denied",
        "nothing",
    )
    assert consent.purposes["ad_user_data"].path == "user_data.consent"
    assert consent.global_privacy_control
    assert (consent.default, "not sent" in consent.silence) == ("denied", True)


def test_privacy_options_are_told_as_they_go_out() -> None:
    found = explain({"event_name": "Lead", "dataProcessingOptions": '["LDU"]', "optOut": "no"})
    assert {each.name: each.value for each in found.privacy_options} == {
        "data_processing_options": ["LDU"],
        "opt_out": False,
    }
    unreadable = explain({"event_name": "Lead", "opt_out": "perhaps"}).privacy_options
    assert [(each.value, each.path) for each in unreadable] == [(None, "opt_out")]


def test_what_nobody_reads_is_named_without_its_value() -> None:
    said = {
        "event_name": "Lead",
        "mystery": EMAIL,
        EMAIL: 1,
        "custom_data": {"any": 1},
        "empty": "",
    }
    assert explain({**said, "email": EMAIL}).ignored == ("mystery", "*")
    many = {"event_name": "Lead", **{f"field_{n}": n for n in range(60)}}
    found = explain(many)
    assert (len(found.ignored), found.ignored_more) == (50, 10)


# --- what is shown ---


def test_masks_leave_enough_to_compare_and_nothing_to_use() -> None:
    assert masked("em", EMAIL) == "j…@…"
    assert masked("em", "ab" * 32) == "abababab…"
    assert masked("ph", "+16505551212") == "…12"
    assert masked("fn", "Jane") == "J…"
    assert masked("client_ip_address", "81.2.69.160") == "81.2.…"
    assert masked("client_user_agent", "Mozilla/5.0 (X11)") == "Mozilla… (17 characters)"
    assert masked("fbp", "fb.1.1700000000000.123456789") == "fb.1.1700000000000.…"
    assert shortened("abc") == "a…"


def test_a_products_place_is_shown_and_a_persons_is_not() -> None:
    body = {"custom_data": {"city": "Paris", "email": "x"}, "user_data": {"ct": "paris"}}
    assert shown_body(body) == {
        "custom_data": {"city": "Paris", "email": "…"},
        "user_data": {"ct": "p…"},
    }
    assert match_keys_in(body) == ["ct"]


WORDS = st.sampled_from("Zanzibarina Quettamarie Xylophonia Wolframine".split())
PEOPLE = st.fixed_dictionaries(
    {
        "email": WORDS.map(lambda word: f"{word}@example.com"),
        "phone": st.integers(10**6, 10**7 - 1).map(lambda number: f"+1650{number}"),
        "first_name": WORDS,
        "last_name": WORDS,
        "city": WORDS,
        "ip": st.integers(20, 200).map(lambda number: f"81.2.{number}.177"),
        "user_agent": WORDS.map(lambda word: f"Mozilla/5.0 ({word})"),
        "user_id": WORDS,
    }
)


@given(person=PEOPLE, place=st.sampled_from(["user_data", "customer", "user", "payload"]))
def test_nobody_is_told_of_by_what_is_shown(person: dict[str, str], place: str) -> None:
    event = {"event_name": "Lead", "event_id": "px-1", place: {**person, "value": 5}}
    text = str(explain(event))
    for name in AD_DESTINATIONS:
        made = destination(name).prepare(claimed(event))
        assert isinstance(made, Prepared)
        text += str([shown_body(orjson.loads(part)) for part in (made.body, made.shared) if part])
    assert not [value for value in person.values() if value.lower() in text.lower()]
