"""What was bought is not who bought it: products' parameters stay whole, and are nobody's keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline_tests.events.written import (
    AGENT,
    EMAIL,
    PHONE,
    SPELLINGS,
    purchase,
    sent,
    sha256,
    spelled,
)

_OF_A_PLACE = {
    "city": "Paris", "region": "Ile-de-France", "state": "CA", "country": "France",
    "postal_code": "75001", "zip": "94035", "neighborhood": "Montmartre", "province": "ON",
    "state_code": "TX", "country_code": "FR", "postcode": "1010",
}  # fmt: skip
_OF_A_THING = {
    "gender": "female", "state": "completed", "status": "registered", "content_name": "Jane",
    "content_category": "Dresses", "brand": "Roe", "color": "navy", "size": "M",
    "property_type": "house", "listing_type": "for_rent_by_owner", "make": "Ford",
}  # fmt: skip
_OF_A_JOURNEY = {
    "checkin_date": "2026-12-20", "checkout_date": "2026-12-27", "departing_departure_date":
    "2026-12-20", "origin_airport": "SFO", "destination_airport": "CDG", "num_adults": 2,
    "travel_class": "economy", "body_style": "SUV", "preferred_beds_range": [1, 2],
}  # fmt: skip
KINDS = ("product", "hotel", "flight", "destination", "vehicle", "home_listing", None)
PARAMETERS = {**_OF_A_PLACE, **_OF_A_THING, **_OF_A_JOURNEY}


def with_product(custom: dict[str, Any], **person: Any) -> dict[str, Any]:
    return purchase(
        email=None,
        user_agent=None,
        user_data={"email": EMAIL, "client_user_agent": AGENT, **person},
        custom_data=custom,
    )


@st.composite
def products(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(PARAMETERS)), min_size=1, max_size=8, unique=True))
    kind = draw(st.sampled_from(KINDS))
    told = {name: PARAMETERS[name] for name in names}
    return told if kind is None else {"content_type": kind, **told}


@settings(max_examples=150)
@given(products())
def test_a_products_parameters_stay_whole_and_become_no_match_key(custom: dict[str, Any]) -> None:
    body = sent("meta_capi", with_product(custom))

    own = {"value": 129.9, "currency": "EUR", "order_id": "A-10024"}
    assert body["custom_data"] == {**custom, **own}
    assert body["user_data"] == {"em": sha256(EMAIL), "client_user_agent": AGENT}


@settings(max_examples=80)
@given(products(), st.sampled_from(["contents", "items", "products", "line_items"]))
def test_nor_do_those_of_each_single_product(custom: dict[str, Any], name: str) -> None:
    payload = with_product({"contents": [{"id": "sku", "quantity": 1}]}, phone="(650) 555-1212")
    plain = sent("meta_capi", payload)["user_data"]

    payload[name] = [custom, {**custom, "id": "other"}]
    assert sent("meta_capi", payload)["user_data"] == plain
    payload["custom_data"] = {name: [custom]}
    assert sent("meta_capi", payload)["user_data"] == plain
    assert sent("meta_capi", payload)["custom_data"][name] == [custom]


@settings(max_examples=80)
@given(products())
def test_no_other_destination_takes_them_for_the_persons(custom: dict[str, Any]) -> None:
    payload, plain = with_product(custom), with_product({})

    google = sent("google_ec", payload)
    assert google["userData"] == {"userIdentifiers": [{"emailAddress": sha256(EMAIL)}]}
    assert sent("data_client", payload)["user_data"] == {"email_address": EMAIL}
    assert sent("data_client", payload)["custom_data"] == custom
    assert (
        sent("measurement_protocol", payload)["shared"]
        == (sent("measurement_protocol", plain)["shared"])
    )
    assert sent("ledger", payload)["user_data"] == sent("ledger", plain)["user_data"]


@pytest.mark.parametrize("name", ["country", "country_code", "region", "state"])
@pytest.mark.parametrize("place", ["custom_data", "contents", "items", "ecommerce", "hotel"])
def test_the_products_country_decides_no_phone(place: str, name: str) -> None:
    payload = with_product({}, phone="(650) 555-1212")
    payload[place] = {name: "FR", "content_type": "hotel"}

    assert sent("meta_capi", payload)["user_data"]["ph"] == sha256("16505551212")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("state", ["completed", "disabled", "won", "enabled", "CA", "open"])
def test_a_state_alone_is_no_place(state: str, spelling: str) -> None:
    name = spelled("state", spelling)
    for payload in (
        purchase(**{name: state}),
        purchase(order={name: state, "number": "A-10024"}),
        purchase(customer={"email": EMAIL, name: state}),
        purchase(metadata={name: state}),
        purchase(properties={name: state, "email": EMAIL}),
    ):
        assert "st" not in sent("meta_capi", payload)["user_data"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", ["customer", "user_data", "billing_address", "address", "traits"])
def test_beside_the_rest_of_an_address_it_is_one(place: str, spelling: str) -> None:
    address = {"street": "1 Main St", "city": "Menlo Park", "state": "CA", "zip_code": "94025"}
    written = {spelled(name, spelling): value for name, value in address.items()}

    keys = sent("meta_capi", purchase(**{spelled(place, spelling): written}))["user_data"]
    assert keys["st"] == sha256("ca")
    assert keys["ct"] == sha256("menlopark")
    assert keys["zp"] == sha256("94025")


@pytest.mark.parametrize("identifier", ["415-555-0123", "4155550123", "+1-415-555", "020 7946 09"])
def test_the_ids_of_a_catalogue_stay_what_they_are(identifier: str) -> None:
    custom = {
        "content_ids": [identifier],
        "contents": [{"id": identifier, "sku": identifier, "quantity": 1}],
    }

    body = sent("meta_capi", with_product({**custom, "order_id": identifier}))
    assert {name: body["custom_data"][name] for name in custom} == custom


@pytest.mark.parametrize("place", ["custom_data", "properties", "ecommerce", "metadata", "order"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_e_mail_or_a_phone_is_a_persons_even_there(place: str, spelling: str) -> None:
    said = {spelled("customer_email", spelling): EMAIL, spelled("phone_number", spelling): PHONE}
    payload = purchase(email=None, **{place: said})

    keys = sent("meta_capi", payload)["user_data"]
    assert (keys["em"], keys["ph"]) == (sha256(EMAIL), sha256("16505551212"))
    assert "custom_data" not in payload or EMAIL not in str(sent("meta_capi", payload))
