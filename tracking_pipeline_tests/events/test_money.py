from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.events.conversion import Conversion, read_conversion
from tracking_pipeline.events.money import UNREADABLE, Money, read_amount, read_currency
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline_tests.delivery.claimed import NOW


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (19.9, 19.9),
        (20, 20.0),
        ("19.90", 19.9),
        (" 1,234.50 ", 1234.5),
        ("1,234", 1234.0),
        ("12,34,567.5", 1234567.5),
        ("19,90", 19.9),
        ("1.234,50", 1234.5),
        ("1234,5", 1234.5),
        ("1'234.50", 1234.5),
        ("1\u2019234.50", 1234.5),
        ("1 234,50", 1234.5),
        ("1\u00a0234,50", 1234.5),
        ("1\u202f234.5", 1234.5),
        # Of a program, not of people: three decimals.
        ("1.234", 1.234),
        ("-3", -3.0),
        ("(3.00)", -3.0),
        ("\u22123", -3.0),
        ("1e2", 100.0),
        (0, 0.0),
        ("0", 0.0),
        (".5", 0.5),
        ({"amount": 1}, 1.0),
        ({"value": "1.234,50"}, 1234.5),
        ({"units": "3", "nanos": 500_000_000}, 3.5),
        ({"shop_money": {"amount": "19.90"}}, 19.9),
        ([84.5], 84.5),
        (["84.5"], 84.5),
    ],
)
def test_an_amount_is_read_in_every_usual_form(value: Any, expected: float) -> None:
    amount = read_amount(value)

    assert isinstance(amount, Money)
    assert amount.amount == expected
    assert amount.currency is None


@pytest.mark.parametrize(
    ("value", "amount", "currency"),
    [
        ("CHF 10", 10.0, "CHF"),
        ("10.50 usd", 10.5, "USD"),
        ("1.299,00 €", 1299.0, "EUR"),
        # Beside a currency people write, who group thousands.
        ("1.299 €", 1299.0, "EUR"),
        ("US$1,299.00", 1299.0, "USD"),
        ("$10.00 USD", 10.0, "USD"),
        ("-£5", -5.0, "GBP"),
        ("9,90 zł", 9.9, "PLN"),
        ("&euro;10", 10.0, "EUR"),
        ("1.299,00&nbsp;&euro;", 1299.0, "EUR"),
        ("1.299,00 TL", 1299.0, "TRY"),
        ("Rp 150.000", 150_000.0, "IDR"),
        ("Rp. 150.000", 150_000.0, "IDR"),
        ("Fr. 1'299.50", 1299.5, "CHF"),
        ("Rs.100", 100.0, "INR"),
        ("100 лв.", 100.0, "BGN"),
        ([{"amount": "19.90", "currency": "EUR"}], 19.9, "EUR"),
        ({"amount": "19.90", "currency": "EUR"}, 19.9, "EUR"),
        ({"value": 5, "currencyCode": "gbp"}, 5.0, "GBP"),
    ],
)
def test_an_amount_may_name_its_currency(value: Any, amount: float, currency: str) -> None:
    read = read_amount(value)

    assert isinstance(read, Money)
    assert (read.amount, read.currency) == (amount, currency)


def test_a_sign_of_several_countries_names_none_of_them() -> None:
    read = read_amount("$1,299.00")

    assert isinstance(read, Money)
    assert (read.amount, read.currency) == (1299.0, None)
    assert {"USD", "CAD", "AUD"} <= read.shared
    assert "EUR" not in read.shared


@pytest.mark.parametrize("value", [None, "", "  ", "null", "undefined", "N/A", "-", {}])
def test_what_says_nothing_is_no_amount_and_is_not_unreadable(value: Any) -> None:
    assert read_amount(value) is None
    assert read_currency(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "1,2,3",
        "free",
        "NaN",
        "sNaN",
        "Infinity",
        "1e400",
        "9" * 400,
        "1.2.3",
        "10 apples",
        "EUR 5 USD",
        "€5 USD",
        "10-20",
        "5%",
        "$",
        True,
        False,
        [],
        [1, 2],
        [[1]],
        "USD.50",
        float("nan"),
        float("inf"),
        10**400,
        {"a": 1},
        {"amount": "free"},
        {"amount": 5, "currency": "dollars"},
    ],
)
def test_what_is_there_and_is_no_amount_is_unreadable(value: Any) -> None:
    assert read_amount(value) is UNREADABLE


_FRACTIONS = ("precision", "scale", "fractionDigits", "fraction_digits", "exponent")


@pytest.mark.parametrize("name", _FRACTIONS)
@pytest.mark.parametrize(
    ("amount", "digits", "expected"),
    [
        (8450, 2, 84.5),
        ("8450", 2, 84.5),
        (8450.0, 2, 84.5),
        (8450, -2, 84.5),
        (8450, 0, 8450.0),
        (8450, 3, 8.45),
        (-8450, 2, -84.5),
    ],
)
@pytest.mark.parametrize("key", ["amount", "value", "centAmount"])
def test_minor_units_are_divided(
    key: str, amount: Any, digits: int, expected: float, name: str
) -> None:
    read = read_amount({key: amount, "currency": "EUR", name: digits})

    assert read == Money(expected, "EUR")


def test_the_forms_of_libraries_in_minor_units_are_read() -> None:
    currency = {"code": "EUR", "base": 10, "exponent": 2}
    precise = {"preciseAmount": 845_012, "centAmount": 8450, "fractionDigits": 4}

    assert read_amount({"amount": 8450, "currency": currency, "scale": 2}) == Money(84.5, "EUR")
    assert read_amount({**precise, "currencyCode": "EUR"}) == Money(84.5012, "EUR")


@pytest.mark.parametrize("name", _FRACTIONS)
@pytest.mark.parametrize(
    ("amount", "digits"), [(84.5, 2), ("84.50", 2), (8450, "2"), (8450, 1e9), (8450, True), (1, 99)]
)
def test_minor_units_that_contradict_themselves_are_unreadable(
    amount: Any, digits: Any, name: str
) -> None:
    assert read_amount({"amount": amount, "currency": "EUR", name: digits}) is UNREADABLE


def test_minor_units_of_which_nobody_says_how_many_are_unreadable() -> None:
    assert read_amount({"centAmount": 8450, "currencyCode": "EUR"}) is UNREADABLE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("usd", "USD"),
        (" EUR ", "EUR"),
        ("US$", "USD"),
        ("€", "EUR"),
        ("euros", "EUR"),
        ({"code": "gbp"}, "GBP"),
    ],
)
def test_a_currency_is_its_code(given: Any, expected: str) -> None:
    assert read_currency(given) == expected


@pytest.mark.parametrize(
    "given", ["dollars", "$", "kr", 840, True, ["EUR", "USD"], {"a": 1}, "NAN", "{{currency}}"]
)
def test_what_is_there_and_is_no_currency_is_unreadable(given: Any) -> None:
    assert read_currency(given) is UNREADABLE


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=70)
    | st.from_regex(r"[$€ ]{0,2}[\d.,' -]{1,20}( ?[A-Za-z]{1,3})?", fullmatch=True),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(("amount", "value", "currency", "units")), inner)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300, database=None)
@given(ANYTHING)
def test_an_amount_is_a_finite_number_whatever_it_is_read_from(value: Any) -> None:
    amount = read_amount(value)

    if isinstance(amount, Money):
        assert abs(amount.amount) < float("inf")
    currency = read_currency(value)
    assert currency is None or currency is UNREADABLE or len(str(currency)) == 3


@settings(deadline=None, database=None)
@given(st.decimals(-(10**9), 10**9, places=2))
def test_a_program_and_people_write_one_amount(amount: Any) -> None:
    german = f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))

    for written in (str(amount), f"{amount:,.2f}", f"{german} €", f"{amount:,.2f} USD"):
        read = read_amount(written)
        assert isinstance(read, Money), written
        assert read.amount == float(amount)


KLARNA = {"purchase_currency": "EUR", "order_lines": [{"unit_price": 1990}], "order_amount": 1990}


def _read(payload: Any) -> tuple[float | None, str | None, dict[str, str]]:
    row = StoredRow(
        event_id=UUID(int=1), event_name="purchase", payload=payload, created_at=NOW, now=NOW
    )
    read = read_conversion(row)
    assert isinstance(read, Conversion)
    return read.value, read.currency, dict(read.unreadable)


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({}, 19.9),
        ({"order_amount": "1990"}, 19.9),
        ({"order_amount": 1990.0}, 19.9),
        ({"order_amount": 0}, 0.0),
        ({"purchase_currency": "JPY"}, 1990.0),
        ({"purchase_currency": "KWD"}, 1.99),
        ({"purchase_currency": "SEK", "order_lines": None, "order_tax_amount": 398}, 19.9),
        # Somebody has converted it.
        ({"order_amount": 19.9}, 19.9),
        ({"order_amount": "19.90"}, 19.9),
        # An amount of the site's own beside it.
        ({"order_amount": None, "value": 1990}, 1990.0),
    ],
)
@pytest.mark.parametrize("within", [None, "order", "properties"])
def test_an_order_of_klarnas_states_its_amount_in_minor_units(
    fields: dict[str, Any], amount: float, within: str | None
) -> None:
    order = {name: each for name, each in {**KLARNA, **fields}.items() if each is not None}
    payload = {"event_name": "purchase", **({within: order} if within else order)}
    value, currency, unreadable = _read(payload)
    assert value == amount
    assert currency == order["purchase_currency"]
    assert unreadable == {}


def test_an_order_amount_of_anybody_elses_is_as_it_stands() -> None:
    for payload in (
        {"order_amount": 1990, "currency": "EUR"},
        {"order_amount": 1990, "currency": "EUR", "order_lines": []},
        {"order_amount": 1990, "purchase_currency": "EUR"},
    ):
        assert _read({"event_name": "purchase", **payload}) == (1990.0, "EUR", {})


def test_minor_units_of_no_known_currency_are_unreadable() -> None:
    value, _, unreadable = _read({"event_name": "purchase", **KLARNA, "purchase_currency": "?"})
    assert value is None
    assert "value" in unreadable
