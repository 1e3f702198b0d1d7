from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.events.texts import (
    _CONTROL,
    _impersonal_address,
    id_text,
    identifier_text,
    page_address,
    text,
)
from tracking_pipeline.identity.sanitize import _TOP, _sanitized_text, is_plain_address


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b\x1f\x7f", "ab"),
        ("x\ud800y", "xy"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        ("7.0", "7.0"),
        (1.7e18, "1700000000000000000"),
        (True, None),
        (float("inf"), None),
        (float("nan"), None),
        ([], None),
        ("\x00", None),
    ],
)
def test_text_is_one_line_that_can_be_encoded(value: Any, expected: str | None) -> None:
    assert text(value) == expected


def test_text_of_a_megabyte_is_cut() -> None:
    assert len(text("x" * 1_000_000) or "") == 2_000


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(), max_size=30))
def test_a_text_loses_its_control_characters_and_nothing_else(given: str) -> None:
    assert text(given) == (_CONTROL.sub("", given).strip() or None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UUID(int=7), str(UUID(int=7))),
        ({"$oid": "65f0"}, "65f0"),
        (["A-1"], "A-1"),
        (["A-1", "A-2"], None),
        ({"a": 1}, None),
        ("undefined", None),
        (" Null ", None),
        ("'null'", None),
        ("000-0", None),
        ("0001", "0001"),
        ("none-of-these", "none-of-these"),
        ("{{order}}", None),
        ("[object Object]", None),
        ("{{Order ID}}-1", None),
        ("SO-${order.id}", None),
        ("SO-{1}", "SO-{1}"),
        ("\N{EM DASH}", None),
        ("\N{EN DASH} \N{EN DASH}", None),
        ("A\N{EN DASH}1", "A\N{EN DASH}1"),
    ],
)
def test_an_id_is_a_text_that_stands_for_something(value: Any, expected: str | None) -> None:
    assert id_text(value) == expected


@pytest.mark.parametrize("order", ["415-555-0123", "100-200-3000", "order 4155550123", "A=?"])
def test_an_orders_id_stays_what_the_page_sent(order: str) -> None:
    assert identifier_text(order) == order


@pytest.mark.parametrize("order", ["jane@example.com", "of jane%40example.com", "+1 415 555 0123"])
def test_what_is_surely_a_persons_goes_from_an_orders_id(order: str) -> None:
    assert identifier_text(order) != order


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://shop.example/a?b=1#c", "https://shop.example/a?b=1#c"),
        ("www.shop.example/a", "https://www.shop.example/a"),
        ("https://jane:pass@shop.example/", "https://shop.example/"),
        ("https://shop.example/?token=x", "https://shop.example/"),
        ("https://shop.example/?a=1&apiKey=x&b=2", "https://shop.example/?a=1&b=2"),
        ("https://shop.example/?key=x&a=1", "https://shop.example/?a=1"),
        ("https://shop.example/x;jsessionid=S1?a=1", "https://shop.example/x?a=1"),
        ("https://shop.example/?next=/x?access_token=S&a=1", "https://shop.example/?a=1"),
        ("https://shop.example/?n=%2Fx%3Faccess_token%3DS&a=1", "https://shop.example/?a=1"),
        ("https://shop.example/?n=%252Fx%253Ftoken%253DS", "https://shop.example/"),
        ("https://shop.example/?d=%7B%22token%22%3A%22S%22%7D", "https://shop.example/"),
        (
            "https://shop.example/?n=%2Fx%3Fcolor%3Dred",
            "https://shop.example/?n=%2Fx%3Fcolor%3Dred",
        ),
        ("/thanks", None),
        ("javascript:alert(1)", None),
        (7, None),
    ],
)
def test_the_address_of_a_page_has_no_secret(address: Any, expected: str | None) -> None:
    assert page_address(address) == expected


_PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(
            "step n utm_source utm_campaign q id token key sig email phone name fn message note "
            "cookie session_id order_id zip city external_id password ga fbclid ref".split()
        ),
        st.sampled_from(
            [
                "",
                "x",
                "spring_sale",
                "ann",
                "2026",
                "415",
                "0123",
                "555123",
                "10115",
                "a-b",
                "john_doe",
                "S1",
                "call-4155550123",
                "IwAR0a-415-555-0123_x4155550123",
                "tel_415-555-0123",
                "a1f3c2d4-415-555-0123",
            ]
        ),
    ),
    max_size=4,
)


@given(
    _PARAMETERS,
    st.sampled_from(
        ["https://shop.example", "https://shop.example/a/b-c.html", "http://call-me.example/tel"]
    ),
)
def test_an_address_that_is_plain_at_a_glance_has_nothing_to_be_removed(
    parameters: list[tuple[str, str]], page: str
) -> None:
    address = f"{page}?{'&'.join(f'{name}={value}' for name, value in parameters)}"
    if is_plain_address(address):
        assert _impersonal_address(address) == address
        assert _sanitized_text(address, 0, _TOP) == address
    assert page_address(address) == _impersonal_address(address)
