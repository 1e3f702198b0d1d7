"""What conversions are worth, in which currency, and which come before which."""

from __future__ import annotations

import pytest

from tracking_pipeline.delivery.worth import Amount, EventsWorth, Prices, stated_value
from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline_tests.delivery.claimed import claimed

PRICES = Prices.of(
    [("Purchase", "EUR", 30.0, 9), ("Lead", "EUR", 5.0, 2), ("Purchase", "JPY", 4000.0, 3)],
    currency="USD",
    otherwise=7.0,
)


def test_the_sites_own_currency_is_that_of_most_values() -> None:
    assert PRICES.currency == "EUR"
    assert Prices.of([], currency="USD", otherwise=None).currency == "USD"


def test_what_an_event_is_worth_otherwise_holds_in_its_own_currency_only() -> None:
    assert PRICES.price("Contact") is None
    assert Prices.of([], currency="USD", otherwise=7.0).price("Contact") == 7.0


def test_amounts_are_added_by_currency_and_what_has_none_counts_as_its_name_does() -> None:
    events = [
        Amount("Purchase", "EUR", 2, 50.0),
        Amount("Purchase", "JPY", 1, 9000.0),
        Amount("Lead", events=3),
        Amount("Contact"),
    ]
    found = PRICES.worth(events)
    assert found == EventsWorth(65.0, "EUR", estimated=3, unpriced=1, other={"JPY": 9000.0})
    assert found.words == "about 65.00 EUR + 9,000.00 JPY + 1 without a value"


def test_an_amount_in_another_currency_comes_where_its_name_does() -> None:
    ranked = [
        Amount("Purchase", "EUR", value=31.0),
        Amount("Purchase", "JPY", value=9000.0),
        Amount("Lead"),
        Amount("Contact"),
    ]
    assert sorted(ranked, key=PRICES.rank, reverse=True) == ranked


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        (19.9, (19.9, "USD")),
        (1e12, (1e12, "USD")),
        (1.1e12, (0.0, "")),
        (1e308, (0.0, "")),
        (-1e308, (0.0, "")),
        (0, (0.0, "")),
        ("9" * 300, (0.0, "")),
    ],
)
def test_a_number_that_no_order_comes_to_is_no_value(
    value: object, stated: tuple[float, str]
) -> None:
    conversion = read_conversion(claimed({"event_name": "Purchase", "value": value}))

    assert isinstance(conversion, Conversion)
    assert stated_value(conversion, "USD") == stated
