"""Whatever an event calls its value, it is sent; the price of one product is not the event's."""

from __future__ import annotations

from typing import Any

import pytest

from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline_tests.delivery.claimed import claimed
from tracking_pipeline_tests.events.written import SPELLINGS, facts, purchase, sent, spelled

NAMES = (
    "total_amount order_amount purchase_value purchase_amount transaction_value transaction_total "
    "lead_value deal_amount deal_value cart_total sale_amount conversion_amount order_revenue "
    "event_revenue checkout_total monetary_value"
).split()
WEAK = ["price", "subtotal"]
A_SET = {
    "shop_money": {"amount": "84.50", "currency_code": "EUR"},
    "presentment_money": {"amount": "84.50", "currency_code": "EUR"},
}


def read(fields: dict[str, Any]) -> Conversion:
    conversion = read_conversion(claimed({"event_name": "Purchase", **fields}))
    assert isinstance(conversion, Conversion)
    return conversion


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, 84.5) for name in (*NAMES, *WEAK)), ("total_price_set", A_SET)],
)
def test_every_destination_is_told_the_value(name: str, value: Any, spelling: str) -> None:
    payload = {**purchase(value=None, currency="EUR"), spelled(name, spelling): value}

    for destination in ("meta_capi", "google_ec"):
        told = facts(destination, sent(destination, payload))
        assert (told["value"], told["currency"]) == (84.5, "EUR")


@pytest.mark.parametrize("usual", ["value", "total", "revenue"])
@pytest.mark.parametrize("name", [*NAMES, *WEAK])
def test_the_usual_names_come_first(name: str, usual: str) -> None:
    assert read({name: 1, usual: 84.5}).value == 84.5


@pytest.mark.parametrize("name", WEAK)
def test_a_price_comes_after_a_value_in_any_part_of_the_event(name: str) -> None:
    for part in ("properties", "order", "custom_data", "ecommerce"):
        assert read({name: 1, part: {"value": 84.5}}).value == 84.5


@pytest.mark.parametrize("name", WEAK)
@pytest.mark.parametrize("part", ["custom_data", "ecommerce", "product", "items", "contents"])
def test_the_price_of_a_product_is_not_the_events_value(name: str, part: str) -> None:
    assert read({part: {name: 1}}).value is None
    assert read({part: [{name: 1}]}).value is None


@pytest.mark.parametrize("quantity", ["quantity", "qty", "Quantity"])
def test_nor_is_a_price_beside_a_quantity(quantity: str) -> None:
    assert read({"price": 10, quantity: 3}).value is None
    assert read({"price": 10, quantity: 3, "subtotal": 30}).value == 30
