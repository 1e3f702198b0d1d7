"""What Google matches and reports by beside the person and the click: device, visit, cart, names as
they are written, and a site's prefix before its orders' ids.

The stand-in's rules, written from Google's own pages, judge all that is sent here.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.engine.events import Lead, Prepared
from tracking_pipeline.sandbox.google_rules import raw_personal_data, violations
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
ADDRESS = "81.2.69.160"
ITEM = {"merchantProductId": "SKU-1", "quantity": 2, "unitPrice": 12.5}
ATTRIBUTES = base64.b64encode(
    orjson.dumps({"gad_source": "1", "gad_campaignid": "123", "session_start_time_usec": "17"})
).decode()


def google(prefix: str = "") -> GoogleEc:
    return GoogleEc(
        GoogleAccount("123-456-7890", "987654321", transaction_id_prefix=prefix),
        AccessToken("token-of-a-test"),
        httpx.AsyncClient(),
        AsyncConnectionPool("", open=False),
    )


GOOGLE = google()


def purchase(**changes: Any) -> dict[str, Any]:
    fields = {
        "event_name": "purchase",
        "event_id": "pixel-7",
        "event_time": "2026-11-24T11:00:00Z",
        "action_source": "website",
        "order_id": "A-1",
        "value": 25,
        "currency": "USD",
        "email": "jane.roe@example.com",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def prepared(payload: Any, destination: GoogleEc = GOOGLE, **row: Any) -> Prepared:
    found = destination.prepare(claimed(payload, **row))
    assert isinstance(found, Prepared), found
    return found


def sent(payload: Any, destination: GoogleEc = GOOGLE, **row: Any) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(prepared(payload, destination, **row).body)
    assert violations(event, NOW.timestamp(), ["d1"]) == []
    assert list(raw_personal_data(event)) == []
    return event


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


# --- the device -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"user_data": {"client_user_agent": AGENT, "client_ip_address": ADDRESS}},
        {"userAgent": AGENT, "ip": ADDRESS},
        {"eventDeviceInfo": {"userAgent": AGENT, "ipAddress": ADDRESS}},
        {"context": {"userAgent": AGENT, "ip": ADDRESS}},
    ],
    ids=["user_data", "flat", "Google's own", "Segment"],
)
def test_the_visitors_browser_and_address_are_sent(place: dict[str, Any]) -> None:
    assert sent(purchase(country="US", **place))["eventDeviceInfo"] == {
        "userAgent": AGENT,
        "ipAddress": ADDRESS,
    }


@pytest.mark.parametrize("country", ["DE", "germany", "FR", "GB", "UK", "CH", "NO", "IS", None])
def test_no_address_goes_where_google_wants_none_or_nobody_knows(country: str | None) -> None:
    payload = purchase(country=country, userAgent=AGENT, ip=ADDRESS)
    assert sent(payload)["eventDeviceInfo"] == {"userAgent": AGENT}


def test_the_leads_country_tells_where_the_visitor_is() -> None:
    payload = purchase(ip=ADDRESS)
    outside, within = Lead(country="CA"), Lead(country="AT")
    assert sent(payload, lead=outside)["eventDeviceInfo"] == {"ipAddress": ADDRESS}
    assert "eventDeviceInfo" not in sent(payload, lead=within)


# --- the visit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"session_attributes": ATTRIBUTES},
        {"adIdentifiers": {"sessionAttributes": ATTRIBUTES}},
        {"cookies": {"_dm_session_attributes": ATTRIBUTES}},
        {"_dm_session_attributes": ATTRIBUTES},
    ],
    ids=["flat", "Google's own", "cookie", "flat cookie"],
)
def test_session_attributes_are_sent_also_where_nothing_else_identifies(
    place: dict[str, Any],
) -> None:
    event = sent(purchase(email=None, **place))
    assert event["adIdentifiers"] == {"sessionAttributes": ATTRIBUTES}
    assert "userData" not in event


@pytest.mark.parametrize(
    "value",
    [
        "undefined",
        "eyJub3RoaW5nIjo=",
        {"device": "desktop"},
        "a b",
        "x" * 5000,
        7,
        [ATTRIBUTES, "x"],
        base64.b64encode(b'{"landing_page_url": "https://x.example/?m=a@example.com"}').decode(),
        base64.b64encode(b"[1, 2, 3, 4, 5, 6]").decode(),
    ],
)
def test_what_are_no_session_attributes_is_left_out(value: object) -> None:
    assert "adIdentifiers" not in sent(purchase(session_attributes=value))


# --- the cart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        {"items": [{"item_id": "SKU-1", "quantity": 2, "price": 12.5}]},
        {"ecommerce": {"items": [{"item_id": "SKU-1", "quantity": "2", "price": "$12.50"}]}},
        {"custom_data": {"contents": [{"id": "SKU-1", "quantity": 2.0, "item_price": 12.5}]}},
        {"properties": {"products": [{"product_id": "SKU-1", "quantity": 2, "price": "12.50"}]}},
        {"items": '[{"id": "SKU-1", "quantity": 2, "price": 12.5}]'},
        {"items": {"item_id": "SKU-1", "quantity": 2, "price": 12.5}},
        {"cartData": {"items": [ITEM]}},
        {"cart_data": {"items": [{"merchant_product_id": "SKU-1", "quantity": 2,
                                  "unit_price": 12.5}]}},
        {"cartData": {"items": [ITEM]}, "items": [{"item_id": "another"}]},
        {"params": {"items": [{"item_id": "SKU-1", "quantity": 2, "price": 12.5}]}},
    ],
)  # fmt: skip
def test_the_items_of_every_form_are_sent(items: dict[str, Any]) -> None:
    assert sent(purchase(**items))["cartData"] == {"items": [ITEM]}


def test_what_is_said_of_the_whole_cart_is_sent_in_googles_words() -> None:
    whole = {
        "merchantId": "123456",
        "merchantFeedLabel": "US",
        "merchantFeedLanguageCode": "en",
        "transactionDiscount": 1.5,
        "items": [ITEM],
    }
    assert sent(purchase(cartData=whole))["cartData"] == whole
    tag = {"aw_merchant_id": 123456, "aw_feed_label": "us", "aw_feed_language": "EN"}
    items = [{"id": "SKU-1", "quantity": 2, "price": 12.5}]
    assert sent(purchase(**tag, discount=1.5, items=items))["cartData"] == whole


def test_the_merchant_of_a_payment_is_not_googles() -> None:
    payload = purchase(merchant_id="M-77", items=[{"item_id": "SKU-1"}])
    assert sent(payload)["cartData"] == {"items": [{"merchantProductId": "SKU-1"}]}


@pytest.mark.parametrize(
    "line",
    [
        {"quantity": 1},
        {"item_id": "undefined"},
        {"item_id": "jane.roe@example.com"},
        {"item_id": "SKU-1", "quantity": 0.5},
        {"item_id": "SKU-1", "quantity": -1},
        {"item_id": "SKU-1", "quantity": "two"},
        {"item_id": "SKU-1", "price": "12,5 EUR"},
        {"item_id": "SKU-1", "price": {"a": 1}},
        "SKU-1",
        None,
        ["SKU-1"],
    ],
)
def test_of_a_cart_of_which_one_line_cannot_be_read_nothing_is_sent_and_it_is_counted(
    line: object,
) -> None:
    found = prepared(purchase(items=[{"item_id": "SKU-0", "quantity": 1, "price": 3}, line]))
    assert "cartData" not in orjson.loads(found.body)
    assert ("cart", "unreadable items") in found.dropped


@pytest.mark.parametrize(
    ("field", "value"),
    [("aw_merchant_id", "M-1"), ("aw_feed_language", "english"), ("aw_feed_label", "the US feed"),
     ("discount", "SUMMER10")],
)  # fmt: skip
def test_a_word_about_the_cart_that_cannot_be_read_costs_only_itself(
    field: str, value: object
) -> None:
    found = prepared(purchase(items=[{"item_id": "SKU-1"}], **{field: value}))
    assert orjson.loads(found.body)["cartData"] == {"items": [{"merchantProductId": "SKU-1"}]}
    assert [key for key, _ in found.dropped] == ["cart"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "id", "item_id", "quantity", "price", "merchantId"]), inner
        )
    ),
    max_leaves=9,
)


@settings(deadline=None)
@given(cart=_JSON, items=_JSON, attributes=_JSON, agent=_JSON, address=_JSON)
def test_whatever_stands_there_what_is_sent_keeps_googles_rules(
    cart: Any, items: Any, attributes: Any, agent: Any, address: Any
) -> None:
    sent(
        purchase(
            cartData=cart,
            items=items,
            discount=items,
            session_attributes=attributes,
            userAgent=agent,
            ip=address,
            country="US",
        )
    )


# --- names ----------------------------------------------------------------------------------------

PLACE = {"zip": "94035", "country": "US"}


def names(payload: Any, **row: Any) -> list[tuple[str, str]]:
    """The names of the addresses that are sent."""
    found = sent(payload, **row)["userData"]["userIdentifiers"]
    addresses = [each["address"] for each in found if "address" in each]
    return [(each["givenName"], each["familyName"]) for each in addresses]


@pytest.mark.parametrize(
    ("first", "last", "plain", "written"),
    [
        ("Sinead", "O'Brien", ("sinead", "obrien"), ("sinead", "o'brien")),
        ("Sinead", "O\u2019Brien", ("sinead", "obrien"), ("sinead", "o'brien")),
        ("Anne-Marie", "Roe", ("annemarie", "roe"), ("anne-marie", "roe")),
        ("Jean-Luc", "D'Arcy", ("jeanluc", "darcy"), ("jean-luc", "d'arcy")),
        ("Mrs. Anne-Marie", "Roe", ("annemarie", "roe"), ("anne-marie", "roe")),
        (" ANNE-MARIE ", "Müller-Lüdenscheidt", ("annemarie", "müllerlüdenscheidt"),
         ("anne-marie", "müller-lüdenscheidt")),
        ("Jane", "Roe, Jr.", ("jane", "roe"), None),
        ("J.", "Roe", ("j", "roe"), None),
        ("Jane", "van Dyk", ("jane", "van dyk"), None),
        ("José", "Núñez", ("josé", "núñez"), None),
    ],
)  # fmt: skip
def test_a_name_goes_without_its_signs_and_with_them_where_they_differ(
    first: str, last: str, plain: tuple[str, str], written: tuple[str, str] | None
) -> None:
    expected = [tuple(map(sha256, each)) for each in (plain, written) if each]
    assert names(purchase(first_name=first, last_name=last, **PLACE)) == expected


def test_a_full_name_and_the_leads_name_have_both_spellings_too() -> None:
    expected = [(sha256("anne"), sha256("obrien")), (sha256("anne"), sha256("o'brien"))]
    assert names(purchase(full_name="Anne O'Brien", **PLACE)) == expected
    lead = Lead(first_name="Anne", last_name="O'Brien", zip="94035", country="US")
    assert names(purchase(), lead=lead) == expected


def test_a_hash_has_one_spelling_and_a_leads_name_adds_none_to_it() -> None:
    lead = Lead(first_name="Anne", last_name="O'Brien")
    hashed = {"sha256_first_name": sha256("mary"), "sha256_last_name": sha256("roe")}
    assert names(purchase(**hashed, **PLACE), lead=lead) == [(sha256("mary"), sha256("roe"))]


@pytest.mark.parametrize(("emails", "phones"), [(12, 0), (6, 6), (9, 1), (1, 1)])
def test_two_spellings_stay_within_ten_identifiers(emails: int, phones: int) -> None:
    payload = purchase(
        email=[f"a{number}@example.com" for number in range(emails)],
        phone=[f"+1650555{1200 + number}" for number in range(phones)],
        first_name="Anne-Marie",
        last_name="O'Brien",
        **PLACE,
    )
    found = sent(payload)["userData"]["userIdentifiers"]
    assert len(found) == min(emails + phones, 8) + 2
    assert sum("address" in each for each in found) == 2


# --- the prefix -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"order_id": "10024"}, "shop-10024"),
        ({"order_id": 10024.0}, "shop-10024"),
        ({"order_id": "shop-10024"}, "shop-10024"),
        ({"order_id": None, "event_id": "77"}, "shop-77"),
    ],
)
def test_the_sites_prefix_stands_before_each_id_once_in_every_try(
    ids: dict[str, Any], expected: str
) -> None:
    destination = google("shop-")
    for retry in range(3):
        event = sent(purchase(**ids), destination, retry_count=retry)
        assert event["transactionId"] == expected
    without = sent(purchase(**ids))["transactionId"]
    assert without.removeprefix("shop-") == expected.removeprefix("shop-")
