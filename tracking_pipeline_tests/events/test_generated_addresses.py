"""A region's code is a state's, but in Google's address; a recipient is not who pays."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tracking_pipeline_tests.events.written import (
    EMAIL,
    SPELLINGS,
    purchase,
    renamed,
    sent,
    sha256,
    spelled,
)

_ANN = {"first_name": "Ann", "last_name": "Lee", "city": "Austin", "postcode": "78701"}
_CARL = {"first_name": "Carl", "last_name": "Doe", "city": "Reno", "postcode": "89501"}
_KEYS = {"first_name": "fn", "last_name": "ln", "city": "ct", "postcode": "zp"}


def keys_of(payload: dict[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = sent("meta_capi", payload)["user_data"]
    return keys


def with_prefix(prefix: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in fields.items()}


def values_of(keys: dict[str, Any], key: str) -> list[str]:
    value = keys.get(key, [])
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", ["cf", "geo", "location", "ipapi", "user_data", "address"])
def test_a_regions_code_is_a_states(place: str, spelling: str) -> None:
    code = spelled("region_code", spelling)
    keys = keys_of(purchase(**{place: {"city": "Ashburn", code: "VA", "country": "US"}}))

    assert values_of(keys, "country") == [sha256("us")]
    assert values_of(keys, "st") == [sha256("va")]


def test_a_regions_code_alone_is_no_country() -> None:
    for payload in (purchase(region_code="VA"), purchase(cf={"regionCode": "VA", "colo": "IAD"})):
        assert "country" not in keys_of(payload)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_in_googles_address_it_is_the_country(spelling: str) -> None:
    address = {"given_name": "Ann", "family_name": "Lee", "region_code": "US", "postal_code": "1"}
    google = {"user_identifiers": [{"email_address": EMAIL}, {"address": address}]}
    keys = keys_of(purchase(email=None, **renamed({"user_data": google}, spelling)))

    assert values_of(keys, "country") == [sha256("us")]
    assert "st" not in keys


def test_but_not_beside_another_country() -> None:
    address = {"given_name": "Ann", "region_code": "VA", "city": "Ashburn", "country_code": "US"}
    keys = keys_of(purchase(user_data={"user_identifiers": [{"address": address}]}))

    assert values_of(keys, "country") == [sha256("us")]


@pytest.mark.parametrize(("payer", "turned"), list(itertools.product(["", "billing_"], [1, -1])))
def test_of_who_pays_and_a_recipient_only_who_pays_is_sent(payer: str, turned: int) -> None:
    groups = [with_prefix(payer, _ANN), with_prefix("shipping_", _CARL)]
    fields = {name: value for group in groups[::turned] for name, value in group.items()}
    keys = keys_of(purchase(**fields, shipping_phone="+1 775 555 0188"))

    for name, key in _KEYS.items():
        assert values_of(keys, key) == [sha256(_ANN[name].lower())]
    assert "ph" not in keys


def test_nor_is_a_recipient_who_is_named_in_full() -> None:
    keys = keys_of(purchase(billing_name="Ann Lee", shipping_name="Carl Doe", shipping_city="Reno"))

    assert values_of(keys, "fn") == [sha256("ann")]
    assert "ct" not in keys


def test_where_nothing_contradicts_both_say_who_it_is() -> None:
    payload = purchase(**with_prefix("billing_", {"first_name": "Ann"}))
    keys = keys_of({**payload, **with_prefix("shipping_", {**_ANN, "first_name": "ann"})})

    for name, key in _KEYS.items():
        assert values_of(keys, key) == [sha256(_ANN[name].lower())]


def test_an_order_that_only_says_where_to_send_it_is_read() -> None:
    keys = keys_of(purchase(email=None, **with_prefix("shipping_", {**_CARL, "email": EMAIL})))

    assert values_of(keys, "em") == [sha256(EMAIL)]
    assert values_of(keys, "ct") == [sha256("reno")]


def test_what_one_order_says_decides_nothing_for_another_built_alike() -> None:
    for recipient, expected in ((_CARL, "ann"), (_ANN, "ann")):
        payload = purchase(
            **with_prefix("billing_", {"first_name": "Ann"}),
            **with_prefix("shipping_", recipient),
        )
        assert values_of(keys_of(payload), "fn") == [sha256(expected)]
        assert ("ct" in keys_of(payload)) is (recipient is _ANN)
