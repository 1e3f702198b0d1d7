from __future__ import annotations

import json
from hashlib import sha256

import pytest

from tracking_pipeline.events.shapes import MAX_SHAPES, _shapes
from tracking_pipeline.identity import hashed_user_data, match_keys, read_match_keys
from tracking_pipeline.identity.platforms import MATCH_KEYS


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


EMAIL, EMAIL_HASH = "Jane@Example.com", hashed("jane@example.com")
PHONE, PHONE_HASH = "(650) 555-1212", hashed("16505551212")
PHONE_HASH_GOOGLE = hashed("+16505551212")


def spellings(name: str) -> list[str]:
    words = name.split("_")
    camel = words[0] + "".join(word.title() for word in words[1:])
    return [
        name, name.upper(), "-".join(words), " ".join(words), " ".join(words).title(), camel,
        camel[0].upper() + camel[1:], "".join(words),
    ]  # fmt: skip


NAMES = {
    ("em", EMAIL, EMAIL_HASH): (
        "em email email_address e-mail mail user_email customer_email email_sha256 "
        "sha256_email_address hashed_email"
    ),
    ("ph", PHONE, PHONE_HASH): (
        "ph phone phone_number mobile mobile_phone cell_phone tel telephone user_phone "
        "phone_sha256 sha256_phone_number hashed_phone_number"
    ),
    ("fn", "Mary", hashed("mary")): "fn first_name fname given_name sha256_first_name",
    ("ln", "O'Neil", hashed("oneil")): "ln last_name lname surname family_name sha256_last_name",
    ("zp", "94035", hashed("94035")): "zp zip zip_code postal_code postcode",
    ("st", "Florida", hashed("fl")): "st state region province state_code",
    ("ct", "Miami", hashed("miami")): "ct city town",
    ("country", "USA", hashed("us")): "country country_code",
    ("external_id", "u-42", hashed("u-42")): "external_id user_id client_user_id customer_id",
    ("ge", "Female", hashed("f")): "ge gender sex",
    ("db", "1997-02-16", hashed("19970216")): "db dob birth_date birthday date_of_birth",
}
BY_NAME = [
    (key, value, digest, spelling)
    for (key, value, digest), names in NAMES.items()
    for name in names.split()
    for spelling in dict.fromkeys(spellings(name))
]


@pytest.mark.parametrize(("key", "value", "digest", "name"), BY_NAME)
def test_an_identifier_is_found_under_every_usual_name(
    key: str, value: str, digest: str, name: str
) -> None:
    assert match_keys({name: value}) == {key: digest}
    assert match_keys({"user_data": {name: digest.upper()}}) == {key: digest}


@pytest.mark.parametrize(
    ("key", "names", "value"),
    [
        (
            "client_ip_address",
            "client_ip_address client_ip ip_address ip X-Forwarded-For",
            "8.8.8.8",
        ),
        ("client_user_agent", "client_user_agent user_agent userAgent User-Agent", "Mozilla/5.0"),
        ("fbp", "fbp _fbp", "fb.1.1596403881668.1116446470"),
        ("fbc", "fbc _fbc", "fb.1.1554763741205.IwAR2F4"),
    ],
)
def test_a_raw_key_is_found_under_its_usual_names(key: str, names: str, value: str) -> None:
    for name in names.split():
        assert match_keys({name: value}) == {key: value}


PLACES = [
    "user_data", "userData", "metadata", "traits", "customer", "context", "address", "user", "lead",
    "contact", "properties", "custom_data", "form_data", "billing_address", "event_payload",
    "payload", "order", "booking", "checkout",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_identifier_is_found_in_every_usual_place(place: str) -> None:
    for payload in (
        {place: {"email": EMAIL}},
        {place: [{"email": EMAIL}]},
        {place: {"email": [EMAIL]}},
        {"user_data": {place: {"email": EMAIL}}},
        {"metadata": {place: [{"address": {"email": EMAIL}}]}},
    ):
        assert match_keys(payload) == {"em": EMAIL_HASH}


@pytest.mark.parametrize(
    "place", ["merchant", "seller", "store", "items", "products", "campaign", "consent", "referral"]
)
def test_somebody_elses_identifiers_are_not_the_visitors(place: str) -> None:
    stranger = {"email": EMAIL, "state": "granted", "name": "Jane Doe", "city": "Miami"}
    assert match_keys({place: stranger}) == {}
    assert match_keys({place: [stranger], "user_data": {"em": "joe@example.com"}}) == {
        "em": hashed("joe@example.com")
    }


@pytest.mark.parametrize(
    "payload",
    [
        {"fields": [{"name": "email", "value": EMAIL}]},
        {"field_data": [{"name": "Email Address", "values": [EMAIL]}]},
        {"email": {"value": EMAIL}},
        {"properties": {"email": {"value": EMAIL}}},
        {"emails": [{"address": EMAIL}]},
        {"userIdentifiers": [{"emailAddress": EMAIL}]},
        {"user_data": json.dumps({"em": EMAIL})},
        {"event_payload": json.dumps({"user_data": {"em": [EMAIL]}})},
        json.dumps({"email": EMAIL}),
        [{"email": EMAIL}],
    ],
)
def test_other_shapes_that_senders_use_are_read(payload: object) -> None:
    assert match_keys(payload) == {"em": EMAIL_HASH}


@pytest.mark.parametrize(
    "payload",
    [
        None, True, 0, 1.5, "", "jane@example.com", "[", "{", b"{}", [], {}, [[]], [None],
        {None: 1},
        {1: EMAIL}, {"email": None}, {"email": ""}, {"email": []}, {"email": {}},
        {"user_data": None},
        {"user_data": 5}, {"user_data": "{"}, {"user_data": [1, [2]]}, {"x" * 500: EMAIL}, object(),
    ],
)  # fmt: skip
def test_a_payload_without_identifiers_gives_nothing(payload: object) -> None:
    for platform in ("meta", "google"):
        found = read_match_keys(payload, platform)
        assert found.keys == {}
        assert not found.dropped


def test_explicit_user_data_comes_before_everything_else() -> None:
    payload = {
        "email": "top@example.com",
        "traits": {"email": "traits@example.com"},
        "metadata": {"email": "metadata@example.com", "city": "Tampa"},
        "user_data": {"email": EMAIL},
    }
    assert match_keys(payload) == {"em": EMAIL_HASH}
    del payload["user_data"]
    assert match_keys(payload) == {"em": hashed("top@example.com")}
    del payload["traits"], payload["email"]
    assert match_keys(payload) == {"em": hashed("metadata@example.com"), "ct": hashed("tampa")}


def test_what_surrounds_the_person_is_the_persons_where_nothing_contradicts() -> None:
    payload = {
        "email": EMAIL_HASH,
        "traits": {"email": " JANE@example.com", "phone": PHONE},
        "metadata": {"city": "Tampa", "zip": "33601"},
        "user_data": {"email": EMAIL},
    }
    assert match_keys(payload) == {
        "em": EMAIL_HASH,
        "ph": PHONE_HASH,
        "ct": hashed("tampa"),
        "zp": hashed("33601"),
    }


@pytest.mark.parametrize("outer", ["email", "phone", "full_name"])
def test_a_person_within_anothers_record_is_not_lost_with_them(outer: str) -> None:
    of_other = {"email": "joe@example.com", "phone": "(650) 555-1313", "full_name": "Joe Roe"}
    own = {"email": EMAIL, "phone": PHONE, "full_name": "Jane Doe"}
    payload = {outer: of_other[outer], "address": {"city": "Tampa"}, "user_data": own}
    assert match_keys(payload) == match_keys({"user_data": own})


def test_a_bad_explicit_value_does_not_hide_a_good_one_elsewhere() -> None:
    found = read_match_keys({"user_data": {"em": "n/a", "ph": "12"}, "email": EMAIL, "tel": PHONE})
    assert found.keys == {"em": EMAIL_HASH, "ph": PHONE_HASH}
    assert found.dropped == {("em", "placeholder"): 1, ("ph", "invalid phone"): 1}


def test_several_distinct_values_are_a_list_and_equal_ones_are_one() -> None:
    payload = {"user_data": {"em": [EMAIL, "jane@example.com ", EMAIL_HASH, "joe@example.com"]}}
    assert match_keys(payload) == {"em": [EMAIL_HASH, hashed("joe@example.com")]}
    assert match_keys({"email": EMAIL, "em": EMAIL_HASH}) == {"em": EMAIL_HASH}


def test_no_more_than_ten_values_of_a_key_are_sent() -> None:
    emails = match_keys({"em": [f"jane{number}@example.com" for number in range(40)]})["em"]
    assert len(emails) == 10


def test_one_bad_value_in_a_list_costs_only_itself() -> None:
    found = read_match_keys({"ph": ["junk", PHONE, None, "", 5]})
    assert found.keys == {"ph": PHONE_HASH}
    assert found.dropped == {("ph", "invalid phone"): 2}


def test_dropped_values_are_counted_by_key_and_reason_and_not_told() -> None:
    payload = {
        "email": "canary-email", "phone": "canary-phone", "first_name": "123", "country": "Utopia",
        "zip": "canary", "dob": "canary", "gender": "canary", "fbp": "canary", "fbc": "canary",
        "ip": "10.1.2.3", "city": "(not set)", "state": True, "user_agent": "x" * 5000,
        "external_id": "0",
    }  # fmt: skip
    found = read_match_keys(payload)
    assert found.keys == {}
    assert found.dropped == {
        ("em", "invalid e-mail"): 1,
        ("ph", "invalid phone"): 1,
        ("fn", "invalid name"): 1,
        ("country", "not a country"): 1,
        ("zp", "invalid postal code"): 1,
        ("db", "invalid date of birth"): 1,
        ("ge", "not f or m"): 1,
        ("fbp", "invalid fbp"): 1,
        ("fbc", "invalid fbc"): 1,
        ("client_ip_address", "not a public IP address"): 1,
        ("ct", "placeholder"): 1,
        ("st", "not text"): 1,
        ("client_user_agent", "too long"): 1,
        ("external_id", "invalid external id"): 1,
    }
    assert "canary" not in repr(found)


def test_the_events_country_says_how_to_read_phone_state_zip_and_date() -> None:
    person = {"phone": "030 1234567", "state": "CA", "zip": "01067-1", "dob": "03/04/1990"}
    digests = {
        "ph": hashed("49301234567"), "st": hashed("ca"), "zp": hashed("010671"),
        "db": hashed("19900403"), "country": hashed("de"),
    }  # fmt: skip
    assert match_keys({**person, "country": "Germany"}) == digests
    assert match_keys({"user_data": person, "context": {"country": "DE"}}) == digests
    del digests["country"]
    assert match_keys(person, country="DE") == digests


def test_each_address_is_read_by_its_own_country() -> None:
    payload = {
        "address": [
            {"zip": "94035-1234", "country": "US", "state": "California"},
            {"zip": "01310-100", "country": "BR", "state": "São Paulo"},
        ]
    }
    assert match_keys(payload) == {
        "zp": [hashed("94035"), hashed("01310100")],
        "st": [hashed("ca"), hashed("sãopaulo")],
        "country": [hashed("us"), hashed("br")],
    }


def test_a_full_name_serves_where_there_is_no_first_and_last_name() -> None:
    names = {"fn": hashed("jane"), "ln": hashed("vandyk")}
    for payload in (
        {"customer": {"name": "Jane van Dyk"}},
        {"full_name": "van Dyk, Jane"},
        {"user_data": {"name": "Mrs. Jane van Dyk"}},
    ):
        assert match_keys(payload) == names
    assert match_keys({"name": "Jane van Dyk", "email": EMAIL}) == {"em": EMAIL_HASH, **names}
    assert match_keys({"customer": {"name": "Joe X", "fn": "Jane", "ln": "van Dyk"}}) == names


@pytest.mark.parametrize(
    "payload",
    [
        {"name": "Order Completed"},
        {"name": "Order Completed", "event_name": "Lead", "user_data": {}},
        {"custom_data": {"name": "Blue Shoes"}},
        {"customer": {"name": "Jane"}},
        {"customer": {"plan": {"name": "Gold Plan"}}},
    ],
)
def test_a_name_that_may_be_a_things_name_is_no_persons(payload: dict[str, object]) -> None:
    assert match_keys(payload) == {}


def test_google_gets_plain_places_and_its_own_hashes() -> None:
    payload = {
        "email": "J.Doe+x@gmail.com", "phone": PHONE, "first_name": "Mary Ann",
        "last_name": "O'Neil",
        "zip": "94035-1234", "country": "usa", "city": "St. Louis", "state": "Florida",
        "dob": "1997-02-16",
        "gender": "f", "external_id": "u-42", "ip": "8.8.8.8", "user_agent": "Mozilla/5.0",
        "fbp": "fb.1.1596403881668.1116446470",
    }  # fmt: skip
    assert match_keys(payload, "google") == {
        "em": hashed("jdoe@gmail.com"), "ph": PHONE_HASH_GOOGLE, "fn": hashed("mary ann"),
        "ln": hashed("oneil"), "zp": "94035-1234", "country": "US", "ct": "st louis",
        "st": "florida",
        "client_ip_address": "8.8.8.8", "client_user_agent": "Mozilla/5.0",
    }  # fmt: skip
    assert set(match_keys(payload)) == set(MATCH_KEYS) - {"fbc"}


def test_a_phone_hash_of_metas_never_serves_google() -> None:
    for name in ("ph", "phone", "phone_sha256", "hashed_phone"):
        found = read_match_keys({name: PHONE_HASH}, "google")
        assert found.keys == {}
        assert found.dropped == {("ph", "hashed for another platform"): 1}


def test_hashes_of_both_platforms_stand_side_by_side() -> None:
    payload = {
        "em": hashed("j.doe@gmail.com"), "sha256_email_address": hashed("jdoe@gmail.com"),
        "ph": PHONE_HASH, "sha256_phone_number": PHONE_HASH_GOOGLE,
    }  # fmt: skip
    assert match_keys(payload) == {"em": hashed("j.doe@gmail.com"), "ph": PHONE_HASH}
    assert match_keys(payload, "google") == {
        "em": hashed("jdoe@gmail.com"), "ph": PHONE_HASH_GOOGLE,
    }  # fmt: skip
    assert not read_match_keys(payload, "google").dropped


def test_the_other_platforms_email_hash_serves_where_there_is_no_better() -> None:
    assert match_keys({"em": EMAIL_HASH}, "google") == {"em": EMAIL_HASH}
    assert match_keys({"sha256_email_address": EMAIL_HASH}) == {"em": EMAIL_HASH}
    assert match_keys({"em": hashed("other"), "email": EMAIL}, "google") == {"em": EMAIL_HASH}


def test_user_identifiers_hold_hashes_of_googles_making() -> None:
    payload = {"userData": {"userIdentifiers": [{"phoneNumber": PHONE_HASH_GOOGLE}]}}
    assert match_keys(payload, "google") == {"ph": PHONE_HASH_GOOGLE}


def test_what_is_stored_serves_both_platforms_without_a_raw_value() -> None:
    payload = {
        "email": "J.Doe@gmail.com", "phone": PHONE, "first_name": "Mary Ann", "last_name": "Canary",
        "country": "US", "city": "Canary", "zip": "94035", "client_ip": "8.8.8.8",
        "fbp": "fb.1.1596403881668.1116446470",
    }  # fmt: skip
    stored = hashed_user_data(payload)
    assert match_keys(stored) == match_keys(payload)
    google = match_keys(payload, "google")
    assert match_keys(stored, "google") == {
        key: google[key] for key in ("em", "ph", "fn", "ln", "country", "client_ip_address")
    }
    for raw in ("canary", "94035", "6505551212", "doe"):
        assert raw not in repr(stored).lower()


def test_stored_match_keys_are_read_back_unchanged() -> None:
    stored = hashed_user_data({"email": [EMAIL, "joe@example.com"], "phone": PHONE})
    assert hashed_user_data(stored) == stored
    assert hashed_user_data({"user_data": json.dumps(stored)}) == stored


def test_a_payload_without_end_is_left_after_a_while() -> None:
    loop: dict[str, object] = {"email": EMAIL}
    loop["user"] = [loop, loop, loop]
    deep: dict[str, object] = {"email": EMAIL}
    for _ in range(5000):
        deep = {"user": deep}
    assert match_keys(loop) == {"em": EMAIL_HASH}
    assert match_keys(deep) == {}
    assert match_keys("[" * 100_000) == {}


def test_a_name_is_a_persons_beside_an_event_name_that_says_nothing() -> None:
    payload = {"name": "Jane Doe", "email": EMAIL, "event_name": None}
    names = {"fn": hashed("jane"), "ln": hashed("doe")}
    assert match_keys(payload) == {"em": EMAIL_HASH, **names}
    # The same field names, and so the same shape, with other values.
    assert match_keys({**payload, "event_name": "Lead"}) == {"em": EMAIL_HASH}
    assert match_keys({**payload, "event_name": "Lead", "name": None}) == {"em": EMAIL_HASH}


def test_shapes_that_never_come_again_fill_no_memory() -> None:
    for number in range(MAX_SHAPES + 10):
        assert match_keys({f"field_{number}": 1, "email": EMAIL}) == {"em": EMAIL_HASH}
    remembered = len(_shapes)
    assert remembered <= MAX_SHAPES
    match_keys({"long" * 100: 1, "email": EMAIL})
    match_keys({5: 1, "email": EMAIL})
    match_keys({f"f{number}": 1 for number in range(1000)})
    assert len(_shapes) == remembered
