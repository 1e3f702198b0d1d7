from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.events.conversion import Conversion, Unusable, read_conversion
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS

# A time of the payload's own, an hour before NOW.
SECONDS = int((NOW - timedelta(hours=1)).timestamp())
NOT_AN_OBJECT = "event_payload is no JSON object that can be read"
SEVERAL = "event_payload holds several events: store each in a row of its own"
TOO_LARGE = "event_payload is too large or too deep to be read whole"
NOT_UNDERSTOOD = "event not understood"

META_FORM = {
    "event_name": "Purchase",
    "event_id": "order-1",
    "event_time": SECONDS,
    "event_source_url": "https://shop.example/thanks",
    "referrer_url": "https://search.example/",
    "user_data": {"em": "x"},
    "custom_data": {"value": 19.9, "currency": "usd", "order_id": "A-1"},
}
LEDGER_FORM = {
    "event_name": "Purchase",
    "event_id": "order-1",
    "event_time": "2026-11-24T11:00:00+00:00",
    "page_path": "/thanks",
    "metadata": {
        "page_url": "https://shop.example/thanks",
        "referrer": "https://search.example/",
        "value": "19.90",
        "currency": "USD",
        "order_id": "A-1",
    },
}
FLAT_FORM = {
    "eventName": "Purchase",
    "eventID": "order-1",
    "timestamp": SECONDS * 1000,
    "page_location": "https://shop.example/thanks",
    "page_referrer": "https://search.example/",
    "email": "jane.roe@example.com",
    "value": "19.90",
    "currency": " usd ",
    "transaction_id": "A-1",
}
MIXTURE = {
    "event_name": "Purchase",
    "event_id": "order-1",
    "created_at": "2026-11-24 11:00:00+00",
    "context": {"page": {"url": "https://shop.example/thanks"}},
    "page": {"referrer": "https://search.example/"},
    "properties": {"revenue": 19.9, "currency": "USD", "orderId": "A-1"},
}


def read(payload: Any, **changes: Any) -> Conversion:
    conversion = read_conversion(claimed(payload, **changes), "https://shop.example")
    assert isinstance(conversion, Conversion), conversion
    return conversion


def refused(payload: Any, **changes: Any) -> str:
    unusable = read_conversion(claimed(payload, **changes))
    assert isinstance(unusable, Unusable), unusable
    return unusable.reason


@pytest.mark.parametrize(
    "payload",
    [
        META_FORM,
        LEDGER_FORM,
        FLAT_FORM,
        MIXTURE,
        {"data": [META_FORM], "access_token": "EAAB"},
        json.dumps(META_FORM),
        json.dumps({"data": [META_FORM]}),
        {"type": "INSERT", "table": "orders", "record": json.dumps(META_FORM)},
    ],
    ids=["meta", "ledger", "flat", "mixture", "request", "text", "request as text", "webhook"],
)
def test_every_shape_of_a_payload_says_the_same(payload: Any) -> None:
    conversion = read(payload)

    assert conversion.event_name == "Purchase"
    assert conversion.event_id == "order-1"
    assert conversion.event_time == NOW - timedelta(hours=1)
    assert conversion.page_url == "https://shop.example/thanks"
    assert conversion.referrer_url == "https://search.example/"
    assert (conversion.value, conversion.currency) == (19.9, "USD")
    assert conversion.order_id == "A-1"
    assert conversion.unreadable == {}


@pytest.mark.parametrize("payload", [None, 3, True, "", "no JSON", "[1]", "[", []])
def test_what_is_no_object_is_no_event(payload: Any) -> None:
    assert refused(payload) == NOT_AN_OBJECT


@pytest.mark.parametrize(
    "payload",
    [
        {
            "data": [
                {"event_name": "Lead", "user_data": {"em": "a@example.com"}},
                {"event_name": "Purchase", "user_data": {"em": "b@example.com"}},
            ]
        },
        [META_FORM, META_FORM],
        {"data": json.dumps([FLAT_FORM, {**FLAT_FORM, "eventID": "order-2"}])},
    ],
)
def test_a_payload_of_several_events_is_not_mixed_into_one(payload: Any) -> None:
    assert refused(payload) == SEVERAL


def test_a_list_of_one_event_is_that_event() -> None:
    assert read([{"event_name": "Lead", "email": "a@example.com"}]).event_name == "Lead"


def test_what_cannot_be_read_whole_is_no_event() -> None:
    deep: Any = META_FORM
    for _ in range(60):
        deep = {"payload": deep}

    assert refused(deep) == TOO_LARGE


def test_the_secrets_of_a_stored_request_are_no_part_of_the_event() -> None:
    request = {"data": [META_FORM], "access_token": "EAAB", "appsecret_proof": "f00"}

    fields = read(request).reading.loose()

    assert fields == META_FORM


@pytest.mark.parametrize("name", [None, "", "  ", {}, [], True, "\x00\n", "undefined", "{{event}}"])
def test_an_event_without_a_name_has_the_name_of_its_row(name: Any) -> None:
    assert read({"event_name": name}, event_name="Lead").event_name == "Lead"
    assert refused({"event_name": name}, event_name=" ") == "missing event_name"


def test_the_rows_name_stands_before_the_label_of_a_trackers_own_event() -> None:
    tracked = {"event": "Order Completed", "properties": {"revenue": 5}}

    assert read(tracked, event_name="Purchase").event_name == "Purchase"
    assert read(tracked, event_name="checkout").event_name == "Order Completed"
    assert read({"event_name": "Order Completed"}, event_name="Lead").event_name == (
        "Order Completed"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("pixel-7", "pixel-7"),
        (4711, "4711"),
        (4711.0, "4711"),
        ("4711.0", "4711.0"),
        ("007", "007"),
        ("  pixel-7\n", "pixel-7"),
        (["pixel-7"], "pixel-7"),
        ({"$oid": "65f0"}, "65f0"),
        ("jane.roe@example.com", "jane.roe@example.com"),
        ("nullable-7", "nullable-7"),
        ("", str(ROW_EVENT_ID)),
        ("   ", str(ROW_EVENT_ID)),
        (None, str(ROW_EVENT_ID)),
        ({}, str(ROW_EVENT_ID)),
        ([], str(ROW_EVENT_ID)),
        (0, str(ROW_EVENT_ID)),
        ("undefined", str(ROW_EVENT_ID)),
        (" NULL ", str(ROW_EVENT_ID)),
        ("{{event_id}}", str(ROW_EVENT_ID)),
    ],
)
def test_the_payloads_own_id_wins_because_the_pixel_used_it(given: Any, expected: str) -> None:
    conversion = read({"event_id": given})

    assert conversion.event_id == expected
    assert conversion.unreadable == {}


@pytest.mark.parametrize("given", [None, "", "undefined", "(not set)", {}, [], 0])
def test_where_one_place_has_no_id_the_next_one_is_asked(given: Any) -> None:
    payload = {"event_id": given, "order_id": given, "metadata": {"eventId": "p-1", "orderId": "A"}}

    conversion = read(payload)

    assert (conversion.event_id, conversion.order_id) == ("p-1", "A")


@pytest.mark.parametrize(
    ("fields", "name", "path"),
    [
        ({"event_id": True}, "event_id", "event_id"),
        ({"event_id": {"a": 1}}, "event_id", "event_id"),
        ({"event_id": ["a", "b"]}, "event_id", "event_id"),
        ({"order": {"transaction_id": {"a": 1}}}, "order_id", "order.transaction_id"),
        ({"event_time": "yesterday"}, "event_time", "event_time"),
        ({"event_time": "2026-11-24"}, "event_time", "event_time"),
        ({"context": {"eventTime": {"a": 1}}}, "event_time", "context.eventTime"),
        ({"custom_data": {"value": "free"}}, "value", "custom_data.value"),
        ({"value": "EUR 5", "currency": "USD"}, "value", "value"),
        ({"currency": "dollars"}, "currency", "currency"),
    ],
)
def test_what_is_there_and_cannot_be_read_is_told_by_where_it_stands(
    fields: dict[str, Any], name: str, path: str
) -> None:
    conversion = read({"event_name": "Lead", **fields})

    assert conversion.unreadable == {name: path}
    assert conversion.first_unreadable(name) == f"unreadable {path}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("metadata", "metadata"),
        ("Meta Data", "Meta Data"),
        ("Jane Roe", "*"),
        ("jane.roe@example.com", "*"),
        ("jane.roe%40example.com", "*"),
        ("+1 650 555 1212", "*"),
        ("6505551212", "*"),
        ("x" * 60, "*"),
    ],
)
def test_where_something_stands_is_told_without_a_name_that_may_be_a_value(
    name: str, shown: str
) -> None:
    payload = {"event_name": "Lead", name: [{"event_id": {"a": 1}}]}

    assert read(payload).unreadable == {"event_id": f"{shown}.event_id"}


def test_the_id_is_the_same_at_every_try() -> None:
    assert read({}).event_id == read({}, retry_count=4).event_id
    assert UUID(read({}).event_id) == ROW_EVENT_ID


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_payload_without_a_time_was_at_the_rows_created_at(value: Any) -> None:
    created_at = NOW - timedelta(days=2)

    for payload in ({"event_time": value}, {}):
        conversion = read(payload, created_at=created_at)
        assert conversion.event_time == created_at
        assert not conversion.has_own_time


def test_a_path_becomes_an_address_where_the_site_is_known() -> None:
    assert read({"page_path": "/thanks"}).page_url == "https://shop.example/thanks"
    assert read({"page_path": "thanks"}).page_url is None
    assert read({"url": "javascript:alert(1)"}).page_url is None
    assert read({"url": "www.shop.example/thanks"}).page_url == "https://www.shop.example/thanks"


def test_an_address_is_sent_without_the_person_in_its_query() -> None:
    url = "https://shop.example/thanks?email=jane.roe%40example.com&step=2&phone=%2B16505551212"

    conversion = read({"event_source_url": url, "referrer": url, "order_id": "jane@example.com"})

    for told in (conversion.page_url, conversion.referrer_url, conversion.order_id):
        assert told is not None
        assert "jane" not in told
        assert "5551212" not in told
    assert conversion.page_url is not None
    assert "step=2" in conversion.page_url


def test_an_address_is_sent_without_a_secret_in_it() -> None:
    url = "https://shop.example/thanks?step=2&access_token=EAAB#/done?apiKey=f00&tab=1"

    assert read({"event_source_url": url}).page_url == (
        "https://shop.example/thanks?step=2#/done?tab=1"
    )


@settings(deadline=None, max_examples=200, database=None)
@given(PAYLOADS)
def test_any_payload_is_a_conversion_or_a_reason(payload: Any) -> None:
    result = read_conversion(claimed(payload), "https://shop.example")

    if isinstance(result, Unusable):
        reason = result.reason.partition(" (")[0]
        assert reason in {
            NOT_AN_OBJECT, SEVERAL, TOO_LARGE, NOT_UNDERSTOOD, "missing event_name",
        }  # fmt: skip
        return
    assert result.event_time.tzinfo is not None
    assert result.event_name.encode()
    assert result.event_id.encode()
    assert result.unreadable.keys() <= {"event_id", "order_id", "event_time", "value", "currency"}


PARTS = ("metadata", "context", "properties", "custom_data")
NAMES = ("event_id", "value", "order_id")


@settings(deadline=None, max_examples=200, database=None)
@given(st.dictionaries(st.sampled_from(PARTS), st.sets(st.sampled_from(NAMES))), st.randoms())
def test_what_the_event_says_of_itself_counts_before_what_its_parts_say(
    parts: dict[str, set[str]], order: Any
) -> None:
    inner = {part: dict.fromkeys(names, f"of {part}") for part, names in parts.items()}
    own = {"event_name": "Lead", "event_id": "own", "value": 1, "order_id": "own"}
    entries = [*own.items(), *inner.items()]
    order.shuffle(entries)

    conversion = read(dict(entries))

    assert (conversion.event_id, conversion.value, conversion.order_id) == ("own", 1, "own")
