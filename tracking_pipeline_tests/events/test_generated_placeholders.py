"""Placeholders x ids: what stands for no value is no id, and ids that resemble it are ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tracking_pipeline_tests.delivery.claimed import ROW_EVENT_ID
from tracking_pipeline_tests.events.written import (
    AGENT,
    CLIENT_ID,
    DESTINATIONS,
    EMAIL,
    EVENT_ID,
    ORDER,
    PAGE,
    SPELLINGS,
    purchase,
    sent,
    spelled,
)

_WORDS = (
    "undefined", "null", "None", "N/A", "(not set)", "-", "0", "NaN", "[object Object]",
    "{{event.id}}", "${order.id}", "{{ DLV - Order ID }}", "<%= id %>", "%%ID%%", "nil", "unknown",
    "not set", "#N/A", "null,null", "000000", "order_undefined", "ORDER-null", "null_null",
    "id:NaN", "undefined-undefined", "#undefined", "web.order_null", "order_[object Object]",
)  # fmt: skip
_WRITINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.title,
    lambda word: f" {word} ",
    lambda word: f'"{word}"',
)
PLACEHOLDERS = tuple(
    write(word) for number, word in enumerate(_WORDS) for write in (str, _WRITINGS[1 + number % 5])
)
"""Each as it is, and in one of the other writings, which take turns."""
SURVIVORS = (
    "undefined-42", "null7", "none-of-these-9", "NaN1", "n/a-17", "0001", "00010", "7", "0a",
    "unknown-soldier-3", "notset-1", "007", "A-0", "10024.0", "null_123", "order-undefined-7",
    "order-nullify", "annul", "order-end", "order_nan1", "A-null", "order-1", "SHOP-NULL-2",
    "undefinedness",
)  # fmt: skip
"""Ids that merely begin so, or are short, or all zeros but one."""

PLATFORM_IDS = {
    "lead_id": "123456789012345",
    "fb_login_id": "10212345678901234",
    "subscription_id": "sub_1",
    "anon_id": "anon-1",
    "madid": "38400000-8cf0-11bd-b23e-10b96e40000d",
    "page_id": "102012345678901",
    "page_scoped_user_id": "7890123456789012",
    "ctwa_clid": "ARAmadeup",
    "ig_account_id": "17841400000000000",
    "ig_sid": "8901234567890123",
    "whatsapp_business_account_id": "102012345678902",
}


def where_it_shows(without: dict[str, Any], **changes: Any) -> list[str]:
    """The destinations that get something else of a purchase with these fields than of one without
    them."""
    return [
        name for name in DESTINATIONS if sent(name, {**without, **changes}) != sent(name, without)
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("field", ["event_id", "order_id", "transaction_id", "client_id", "gclid"])
def test_a_placeholder_is_no_id_of_an_event(field: str, spelling: str) -> None:
    own = {"transaction_id": "order_id"}.get(field, field)
    without = purchase(**{own: None})

    for placeholder in PLACEHOLDERS:
        assert where_it_shows(without, **{spelled(field, spelling): placeholder}) == []


def test_an_event_without_an_id_has_the_rows() -> None:
    for placeholder in (*PLACEHOLDERS, 0, 0.0, ""):
        payload = purchase(event_id=placeholder)
        assert sent("meta_capi", payload)["event_id"] == str(ROW_EVENT_ID), placeholder
        assert sent("ledger", payload)["event_id"] == str(ROW_EVENT_ID), placeholder


def test_an_order_without_a_number_is_known_by_the_events_id() -> None:
    for placeholder in (*PLACEHOLDERS, 0):
        payload = purchase(order_id=placeholder)
        assert sent("google_ec", payload)["transactionId"] == EVENT_ID, placeholder
        payload["event_id"] = placeholder
        assert sent("google_ec", payload)["transactionId"] == str(ROW_EVENT_ID), placeholder


@pytest.mark.parametrize("part", ["custom_data", "ecommerce", "metadata", "properties"])
def test_the_next_place_that_has_the_id_stands_in(part: str) -> None:
    for placeholder in PLACEHOLDERS:
        payload = purchase(order_id=placeholder, **{part: {"order_id": "B-2"}})
        assert sent("google_ec", payload)["transactionId"] == "B-2", placeholder
        assert sent("meta_capi", payload)["custom_data"]["order_id"] == "B-2", placeholder


@pytest.mark.parametrize("click", ["gclid", "gbraid", "wbraid"])
def test_a_placeholder_is_no_click_of_google(click: str) -> None:
    for placeholder in PLACEHOLDERS:
        assert "adIdentifiers" not in sent("google_ec", purchase(**{click: placeholder}))
        page = f"{PAGE}&{click}={placeholder}"
        assert "adIdentifiers" not in sent("google_ec", purchase(page_url=page))
    real = sent("google_ec", purchase(page_url=f"{PAGE}&{click}=Cj0real", **{click: "undefined"}))
    assert real["adIdentifiers"] == {click: "Cj0real"}


@pytest.mark.parametrize("cookie", ["_gcl_aw", "FPGCLAW"])
def test_a_placeholder_in_a_cookie_is_no_click(cookie: str) -> None:
    for placeholder in ("undefined", "null", "(not set)"):
        payload = purchase(cookies={cookie: f"GCL.1764000000.{placeholder}"})
        assert "adIdentifiers" not in sent("google_ec", payload)
    payload = purchase(cookies={cookie: "GCL.1764000000.Cj0real"})
    assert sent("google_ec", payload)["adIdentifiers"] == {"gclid": "Cj0real"}


@pytest.mark.parametrize("field", ["fbclid", "fbc", "fbp", "_fbc", "_fbp"])
def test_a_placeholder_is_no_click_of_meta(field: str) -> None:
    for placeholder in PLACEHOLDERS:
        body = sent("meta_capi", purchase(**{field: placeholder}))
        assert body["user_data"].keys() == {"em", "client_user_agent"}, placeholder
        assert sent("ledger", purchase(**{field: placeholder}))["fbclid"] is None, placeholder


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("field", PLATFORM_IDS)
def test_a_placeholder_is_no_id_of_metas_own(field: str, spelling: str) -> None:
    name = spelled(field, spelling)
    for placeholder in (*PLACEHOLDERS, 0):
        person = {"email": EMAIL, "client_user_agent": AGENT, name: placeholder}
        body = sent("meta_capi", purchase(user_data=person))
        assert field not in body["user_data"], placeholder

    person = {"email": EMAIL, "client_user_agent": AGENT, name: PLATFORM_IDS[field]}
    kept = sent("meta_capi", purchase(user_data=person))["user_data"][field]
    assert str(kept) == PLATFORM_IDS[field]


def test_a_placeholder_is_no_user() -> None:
    for placeholder in PLACEHOLDERS:
        payload = purchase(user_id=placeholder)
        assert "user_id" not in sent("data_client", payload), placeholder
        assert "user_id" not in sent("measurement_protocol", payload)["shared"], placeholder


def test_an_unknown_visitor_stays_the_same_in_every_try() -> None:
    made = {sent("data_client", purchase(client_id=each))["client_id"] for each in PLACEHOLDERS}

    assert made == {sent("data_client", purchase(client_id=None))["client_id"]}
    assert made != {CLIENT_ID}


@pytest.mark.parametrize("real", SURVIVORS)
def test_an_id_that_resembles_a_placeholder_is_one(real: str) -> None:
    payload = purchase(event_id=real, order_id=real, client_id=real, user_id=real)

    assert sent("meta_capi", payload)["event_id"] == real
    assert sent("meta_capi", payload)["custom_data"]["order_id"] == real
    assert sent("google_ec", payload)["transactionId"] == real
    assert sent("data_client", payload)["client_id"] == real
    assert sent("data_client", payload)["user_id"] == real
    assert sent("measurement_protocol", payload)["params"]["transaction_id"] == real
    assert sent("ledger", payload)["metadata"]["event_id"] == real


@pytest.mark.parametrize(
    ("number", "text"),
    [(10024, "10024"), (10024.0, "10024"), (1e15, "1000000000000000"), (7.0, "7"), (2.5, "2.5")],
)
def test_a_whole_number_has_no_point(number: float, text: str) -> None:
    payload = purchase(event_id=number, order_id=number, client_id=number)

    assert sent("meta_capi", payload)["event_id"] == text
    assert sent("google_ec", payload)["transactionId"] == text
    assert sent("data_client", payload)["transaction_id"] == text
    assert sent("data_client", payload)["client_id"] == text


def test_the_purchase_itself_has_its_ids() -> None:
    assert sent("google_ec", purchase())["transactionId"] == ORDER
    assert sent("data_client", purchase())["client_id"] == CLIENT_ID
