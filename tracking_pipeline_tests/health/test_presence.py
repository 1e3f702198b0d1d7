"""Which keys of a ledger row count, and that the quick way finds what the thorough one finds."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.emq.keys import VISITOR_BIT_OF, keys_of, mask_of
from tracking_pipeline.health.emq.presence import is_program, present_keys, with_lead_address
from tracking_pipeline.identity.match import read_match_keys
from tracking_pipeline.identity.platforms import VISITOR_IDS

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def found(user_data: object, **columns: Any) -> set[str]:
    return set(keys_of(present_keys(user_data, **columns)))


def test_a_row_as_delivery_writes_it_has_all_its_keys() -> None:
    user_data = {
        "em": [hashed("a@example.com")],
        "ph": hashed("16505551212"),
        "fn": [hashed("ada")],
        "ct": [hashed("london")],
        "client_ip_address": "8.8.8.8",
        "client_user_agent": CHROME,
        "sha256_email_address": hashed("a@example.com"),
    }
    expected = {"em", "ph", "fn", "ct", "client_ip_address", "client_user_agent"}
    assert found(user_data) == expected
    assert found(json.dumps(user_data)) == expected


@pytest.mark.parametrize("key", VISITOR_BIT_OF)
@pytest.mark.parametrize(
    "user_data",
    [
        {"{key}": "id-17.of-a-visitor"},
        {"_{key}": "id-17.of-a-visitor"},
        {"{key}": ["id-17.of-a-visitor"]},
        {"cookies": {"{key}": "id-17.of-a-visitor"}},
    ],
)
def test_what_a_platform_calls_a_click_or_a_browser_counts_for_it(
    key: str, user_data: dict[str, Any]
) -> None:
    user_data = json.loads(json.dumps(user_data).replace("{key}", key))
    expected = read_match_keys({"user_data": user_data}, VISITOR_IDS).keys.keys()
    assert present_keys(user_data) == sum(VISITOR_BIT_OF[each] for each in expected)
    assert present_keys({key: "id-17.of-a-visitor"}) == VISITOR_BIT_OF[key]
    assert present_keys({key: "undefined"}) == 0
    assert present_keys({key: None}) == 0


def test_columns_count_beside_user_data_and_without_it() -> None:
    assert found(
        None,
        fbp="fb.1.1700000000000.123456",
        fbc="fb.1.1700000000000.IwAR0abc",
        external_id="customer-17",
        email_sha256=hashed("a@example.com"),
        phone_sha256=hashed("16505551212"),
    ) == {"fbp", "fbc", "external_id", "em", "ph"}


@pytest.mark.parametrize(
    "user_data",
    [
        {"em": hashed("")},
        {"em": [hashed("")]},
        {"em": hashed("null")},
        {"em": "0" * 64},
        {"em": hashed("0")},
        {"external_id": hashed("false")},
        {"ph": hashed("[object Object]")},
        {"em": "d41d8cd98f00b204e9800998ecf8427e"},
        {"em": "undefined"},
        {"em": ""},
        {"em": None},
        {"em": []},
        {"ph": "123"},
        {"fbp": "undefined"},
        {"fbp": "fb.1.null.1"},
        {"fbc": "IwAR0abc"},
        {"fbc": "fb.1.1700000000000.undefined"},
        {"client_ip_address": "192.168.1.4"},
        {"client_ip_address": "127.0.0.1"},
        {"client_ip_address": "::1"},
        {"client_ip_address": "not an address"},
        {"client_user_agent": "curl/8.4.0"},
        {"client_user_agent": "null"},
        {"external_id": "0"},
        {"country": "Atlantis"},
        {"zp": "(not set)"},
        {"fb_login_id": "me"},
        {"fb_login_id": True},
        {"page": {"country": "US"}},
        "no JSON {",
        "[1, 2",
        [],
        17,
        True,
    ],
)
def test_what_is_malformed_or_a_placeholder_does_not_count(user_data: object) -> None:
    assert found(user_data) == set()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fbp", "fb.1.null.1"),
        ("fbc", "undefined"),
        ("external_id", "guest"),
        ("email_sha256", hashed("")),
        ("email_sha256", "a" * 40),
        ("phone_sha256", "null"),
    ],
)
def test_a_malformed_column_does_not_count_either(column: str, value: str) -> None:
    assert found({}, **{column: value}) == set()


def test_a_bad_value_in_user_data_does_not_hide_a_good_column() -> None:
    fbp = "fb.1.1700000000000.123456"
    assert found({"fbp": "undefined"}, fbp=fbp) == {"fbp"}
    assert found({"fbp": fbp}, fbp="undefined") == {"fbp"}


def test_other_names_nested_places_and_raw_values_count_as_delivery_reads_them() -> None:
    user_data = {
        "email": "Ada@Example.com",
        "address": {"city": "London", "postal_code": "SW1A 1AA", "country": "GB"},
        "fields": [{"name": "phone", "value": "+44 20 7946 0958"}],
    }
    assert found(user_data) == {"em", "ph", "ct", "zp", "country"}


def test_the_facebook_login_id_is_a_number() -> None:
    assert found({"fb_login_id": 10158000000000001}) == {"fb_login_id"}
    assert found({"fb_login_id": "10158000000000001", "name": "x"}) == {"fb_login_id"}


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/130.0 Safari/537.36",
        "facebookexternalhit/1.1",
        "python-requests/2.32.3",
        "node",
        "axios/1.7.2",
        "Deno/1.45.2 (variant; SupabaseEdgeRuntime/1.58.2)",
        "okhttp/4.12.0",
        "Go-http-client/2.0",
        "curl/8.4.0",
        "Amazon CloudFront",
    ],
)
def test_a_program_is_no_visitor(user_agent: str) -> None:
    assert is_program(user_agent)
    assert found({"client_user_agent": user_agent}) == set()


@pytest.mark.parametrize(
    "user_agent",
    [
        CHROME,
        "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 50) AppleWebKit/537.36 Chrome/130.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 "
        "[FBAN/FBIOS;FBAV/489.0.0.26.81;FBDV/iPhone15,3]",
        "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 Silk/130.1 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 14; LenovoTB-X505F) AppleWebKit/537.36 Chrome/130.0",
    ],
)
def test_a_visitor_is_no_program(user_agent: str) -> None:
    assert found({"client_user_agent": user_agent}) == {"client_user_agent"}


VALUES = st.one_of(
    st.none(),
    st.just(""),
    st.sampled_from([hashed("a"), hashed("b"), hashed(""), hashed("a").upper(), "b" * 40]),
    st.emails(),
    st.sampled_from(["+1 650 555 1212", "8.8.8.8", "10.0.0.1", "Miami", "33101", "US", "null"]),
    st.from_regex(r"fb\.1\.[0-9]{13}\.[A-Za-z0-9]{1,9}", fullmatch=True),
    st.integers(0, 10**12),
    st.booleans(),
)
NAMES = st.sampled_from(
    [
        "em",
        "ph",
        "fn",
        "ln",
        "ge",
        "db",
        "ct",
        "st",
        "zp",
        "country",
        "external_id",
        "fbp",
        "fbc",
        "client_ip_address",
        "email",
        "phone",
        "zip",
        "city",
        "sha256_email_address",
        "sha256_phone_number",
        "name",
        "address",
        "user_data",
        "traits",
        "anything",
    ]
)


@given(
    st.dictionaries(
        NAMES,
        st.one_of(VALUES, st.lists(VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3)),
        max_size=6,
    )
)
def test_the_quick_way_finds_what_the_thorough_one_finds(user_data: dict[str, Any]) -> None:
    thorough = set(read_match_keys({"user_data": user_data}, "meta", "US").keys)
    assert found(user_data) == thorough
    assert found(json.dumps(user_data)) == thorough


def test_a_leads_address_is_added_and_says_whether_an_ip_address_gave_it() -> None:
    mask = with_lead_address(
        mask_of(["em"]),
        city="Miami",
        state="Florida",
        zip_code="33101",
        country="US",
        from_ip=("ct", "zp"),
    )
    assert set(keys_of(mask)) == {"em", "ct", "st", "zp", "country"}
    assert mask == mask_of(["em", "st", "country"], from_ip=["ct", "zp"])


def test_what_the_event_says_itself_is_not_from_the_leads_ip_address() -> None:
    mask = with_lead_address(mask_of(["ct"]), city="Miami", from_ip=("ct",))
    assert mask == mask_of(["ct"])


@pytest.mark.parametrize("city", [None, "", "  ", "null", "(not set)", "12345678901"])
def test_a_lead_without_a_usable_city_adds_none(city: str | None) -> None:
    assert with_lead_address(0, city=city) == 0
