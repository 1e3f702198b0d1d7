from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.identity import match_keys, sanitize
from tracking_pipeline.identity.phone import REMOVED
from tracking_pipeline.identity.sanitize import (
    _EMAIL,
    _SIGN,
    _Around,
    _sanitized_text,
    _without_addresses,
)

DIGEST = sha256(b"jane@example.com").hexdigest()
CANARY = "Canary-4711"

NAMES = [
    "email", "email_address", "e-mail", "mail", "em", "userEmail", "sha256_email_address", "phone",
    "phone_number", "mobile", "tel", "ph", "sha256_phone_number", "first_name", "fname",
    "givenName",
    "fn", "last_name", "surname", "familyName", "ln", "zip", "zip_code", "postal_code", "postcode",
    "zp", "state", "region", "province", "st", "city", "ct", "external_id", "user_id",
    "client_user_id", "dob", "db", "gender", "ge", "full_name", "street", "address", "address_1",
    "E-Mail", "First Name", "LAST_NAME", "Postal-Code",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_canary_survives_under_any_name_at_any_depth(name: str) -> None:
    planted = [
        {name: CANARY},
        {name: [CANARY, {"value": CANARY, "inner": [CANARY]}]},
        {name: 4711},
        {"a": {"b": [{"c": {name: CANARY}}]}},
        {"merchant": {name: CANARY}},
        {"fields": [{"name": name, "value": CANARY}, {"label": name, "values": [CANARY]}]},
        {"user_data": json.dumps({"x": [{name: CANARY}]})},
        {"url": f"https://shop.example/?a=b&{name.replace(' ', '_')}={CANARY}#top"},
        json.dumps({name: CANARY}),
    ]
    for payload in planted:
        before = copy.deepcopy(payload)
        assert "4711" not in json.dumps(sanitize(payload)), payload
        assert payload == before


@pytest.mark.parametrize("place", ["user", "customer", "traits", "lead", "user_data", "billing"])
def test_the_name_of_a_person_is_removed_and_the_name_of_a_thing_stays(place: str) -> None:
    payload = {"name": "Lead", "items": [{"name": "Blue Shoes"}], place: {"name": CANARY}}
    assert sanitize(payload) == {"name": "Lead", "items": [{"name": "Blue Shoes"}], place: {}}


def test_a_name_beside_an_email_is_a_persons() -> None:
    payload = {"name": CANARY, "email": CANARY, "items": [{"name": "Blue Shoes"}]}
    assert sanitize(payload) == {"items": [{"name": "Blue Shoes"}]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail jane@example.com now", "mail [removed] now"),
        ("jane@home@example.com", "[removed]"),
        ("Invalid value 'jane.doe+x@example.co.uk'.", "Invalid value '[removed]'."),
        (
            "https://a.example/?q=1&email=jane%40example.com",
            "https://a.example/?q=1&email=[removed]",
        ),
        ("https://a.example/jane%40example.com/x", "https://a.example/[removed]/x"),
        ("call +1 650 555 1212 today", "call [removed] today"),
        ("call +4915112345678", "call [removed]"),
        ("call (650) 555-1212", "call [removed]"),
        ("650-555-1212", "[removed]"),
        ("phone=6505551212&value=3", "phone=[removed]&value=3"),
        (f"em={DIGEST}", f"em={DIGEST}"),
    ],
)
def test_text_is_freed_of_addresses_and_numbers(text: str, kept: str) -> None:
    assert sanitize({"message": text}) == {"message": kept}
    assert sanitize(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("call 3055550177", "call [removed]"),
        ("Call me at (305) 555 0177", "Call me at [removed]"),
        ("please call back on 06 12 34 56 78 tomorrow", "please call back on [removed] tomorrow"),
        ("whatsapp: 3055550177", "whatsapp: [removed]"),
        ("Tel. (030) 123 45 67", "Tel. [removed]"),
        ("tel.030/1234567", "tel.[removed]"),
        ("text 305.555.0177", "text [removed]"),
        ("3055550177 (cell)", "[removed] (cell)"),
        ("My cell is 3055550177.", "My cell is [removed]."),
        ("call 3055550177, or +49 151 12345678", "call [removed], or [removed]"),
        ("call%203055550177", "call%20[removed]"),
        ("phone: 555-0177", "phone: [removed]"),
    ],
)
def test_a_number_that_is_spoken_of_as_one_is_removed_from_any_text(text: str, kept: str) -> None:
    assert sanitize({"anything": text}) == {"anything": kept}
    assert sanitize(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "order 3055550177", "recall 3055550177", "call id 3055550177", "textile 3055550177",
        "called 2026-11-24 10:00", "call 24.11.2026", "call 1,234,567.00", "call 30555501.77",
        "mobile 1080", "phone model 1234567890", "mobile/12345678", "call #3055550177",
        "https://shop.example/call-8005551234", "ca11 3055550177", "3055550177",
        "Mozilla/5.0 (Linux; Android 13; Mobile) Chrome/120.0.0.0 Mobile Safari/537.36",
    ],
)  # fmt: skip
def test_ids_amounts_and_dates_beside_such_a_word_stay(text: str) -> None:
    assert sanitize({"anything": text}) == {"anything": text}


FREE_TEXT_FIELDS = ["note", "message", "customer_note", "leadMessage", "Comments", "description"]


@pytest.mark.parametrize("name", FREE_TEXT_FIELDS)
def test_bare_digits_in_a_field_for_free_text_are_a_number(name: str) -> None:
    for text, kept in [
        ("3055550177", "[removed]"),
        ("13055550177 thanks", "[removed] thanks"),
        ("01711234567", "[removed]"),
        ("my number: 3055550177", "my number: [removed]"),
        ("invoice 3055550177, then 4155550132", "invoice 3055550177, then [removed]"),
    ]:
        assert sanitize({name: text, "sku": text}) == {name: kept, "sku": text}
        assert sanitize({name: [text]}) == {name: [kept]}
        assert sanitize([{"name": name, "value": text}]) == [{"name": name, "value": kept}]
    assert sanitize({name: 3055550177, "sku": 3055550177}) == {
        name: "[removed]", "sku": 3055550177,
    }  # fmt: skip
    url = f"https://shop.example/?{name}=hi+3055550177&sku=3055550177"
    assert "hi[removed]&sku=3055550177" in str(sanitize(url))


@pytest.mark.parametrize(
    "value",
    [
        "order 3055550177", "Order no. 3055550177", "invoice number is 3055550177", "#3055550177",
        "$3055550177", "3055550177.50", "id=3055550177", "A-3055550177", "1700000000",
        "1234567890", "4006381333931", "2026-11-24 10:00:00", "12345678", 1700000000, 12.5, True,
        -3055550177,
    ],
)  # fmt: skip
def test_ids_amounts_and_times_in_a_field_for_free_text_stay(value: object) -> None:
    assert sanitize({"note": value}) == {"note": value}


HARMLESS = {
    "event_id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "event_name": "Lead",
    "event_time": 1700000000,
    "created_at": "2026-11-24T08:00:00.000000+00:00",
    "event_source_url": "https://shop.example/thanks?utm_source=fb&fbclid=IwAR2F4",
    "action_source": "website",
    "custom_data": {"value": 19.9, "currency": "USD", "contents": [{"id": "A-1", "quantity": 2}]},
    "user_data": {
        "em": DIGEST, "ph": [DIGEST, DIGEST + ".AQYBAQAA"], "sha256_email_address": DIGEST,
        "fbp": "fb.1.1596403881668.1116446470", "fbc": "fb.1.1554763741205.IwAR2F4",
        "client_ip_address": "8.8.8.8", "client_user_agent": "Mozilla/5.0", "country": "US",
    },
    "email": None, "phone": True, "empty": {}, "none": [], "flag": False, "ratio": 0.5,
}  # fmt: skip


def test_what_is_not_personal_stays_as_it_is() -> None:
    assert sanitize(HARMLESS) == HARMLESS
    assert match_keys(sanitize(HARMLESS)) == match_keys(HARMLESS)


def test_nothing_that_is_left_can_be_taken_for_an_identifier() -> None:
    payload = {
        "first_name": "Mary",
        "user_data": {"city": "Miami", "em": [DIGEST, "jane@example.com"]},
    }
    assert sanitize(payload) == {"user_data": {"em": [DIGEST]}}
    assert match_keys(sanitize(payload)) == {"em": DIGEST}


def test_what_cannot_be_looked_into_is_removed() -> None:
    moment = datetime(2026, 11, 24, tzinfo=timezone.utc)
    payload = {"at": moment, "raw": b"jane@example.com", "thing": object(), "pair": (1, "a@b.co")}
    assert sanitize(payload) == {
        "at": moment, "raw": "[removed]", "thing": "[removed]", "pair": [1, "[removed]"],
    }  # fmt: skip
    deep: object = CANARY
    for _ in range(5000):
        deep = {"a": [deep]}
    assert CANARY not in repr(sanitize(deep))


def test_a_key_that_is_an_address_is_removed_too() -> None:
    assert sanitize({"seen": {"jane@example.com": 1}}) == {"seen": {"[removed]": 1}}


def test_sanitizing_twice_changes_nothing() -> None:
    payload = {"email": CANARY, "note": "jane@example.com +1 650 555 1212", "x": '{"a": "b@c.de"}'}
    assert sanitize(sanitize(payload)) == sanitize(payload)


# What the patterns look for, whole and in pieces, and what stands around it.
PIECES = st.sampled_from(
    [
        "@", "%40", "%4", "+", "%2B", "%2b", "%20", " ", "\n", "-", ".", "(", ")", "=", "&", "?",
        "/", "1", "650", "1212", "\u0661\u0662\u0663\u0664", "phone", "email=", "a", "x@y.co",
        "{", "[",
        "call", "tel.", "cell", "order", "12", "34", "56", "3055550177", "me at",
        '{"email": "a"}', "+1 650 555 1212", "b" * 63, "c" * 64, "d" * 65, "e" * 255, "f" * 300,
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60)


@settings(deadline=None, max_examples=500)
@given(TEXTS)
def test_a_text_without_a_sign_has_nothing_to_remove(text: str) -> None:
    assert _SIGN.search(text) or _sanitized_text(text, 0, _Around(free_text=True)) == text


@settings(deadline=None, max_examples=500)
@given(TEXTS)
def test_looking_around_each_sign_finds_the_addresses_that_a_search_finds(text: str) -> None:
    assert _without_addresses(text) == _EMAIL.sub(REMOVED, text)


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "@", "@ ", "%40", "a %40 ", "+1", "650-", "a@b ", "a=", "call ", "tel me 12 ", "(1"],
)
@pytest.mark.parametrize("end", ["", "@x"])
def test_a_megabyte_of_anything_is_read_to_its_end(piece: str, end: str) -> None:
    # A pattern that is quadratic in one of these would not come back within the hour.
    text = piece * (1_000_000 // len(piece)) + end
    assert sanitize(sanitize(text)) == sanitize(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**64, str(2**64)),
        (-(10**30), str(-(10**30))),
        (10**5_000, "[removed]"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
    ],
    ids=["largest", "smallest", "larger", "smaller", "absurd", "surrogate"],
)
@pytest.mark.parametrize("put", [lambda value: {"foo": value}, lambda value: [{"id": [value]}]])
def test_what_is_left_can_be_written_as_json(value: object, expected: object, put: Any) -> None:
    clean = sanitize(put(value))

    assert clean == put(expected)
    orjson.dumps(clean)


def test_a_name_can_be_written_as_json() -> None:
    assert sanitize({"a\ud800": 1}) == {"a": 1}
