from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.conversion import (
    _CONTAINERS,
    _CONTROL,
    Conversion,
    as_mapping,
    first,
    first_of_each,
    number,
    read_conversion,
    read_time,
    text,
)
from tracking_pipeline.delivery.outcomes import Rejected
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)
# A time of the payload's own, an hour before NOW.
SECONDS = int((NOW - timedelta(hours=1)).timestamp())

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
    rejected = read_conversion(claimed(payload, **changes))
    assert isinstance(rejected, Rejected), rejected
    return rejected.reason


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
    ],
    ids=["meta", "ledger", "flat", "mixture", "request", "text", "request as text"],
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


@pytest.mark.parametrize(
    "payload", [None, 3, True, "", "no JSON", "[1]", [META_FORM, META_FORM], []]
)
def test_what_is_no_object_is_rejected(payload: Any) -> None:
    assert refused(payload) == "event_payload is no JSON object that can be read"


def test_the_secrets_of_a_stored_request_are_no_part_of_the_event() -> None:
    request = {"data": [META_FORM], "access_token": "EAAB", "appsecret_proof": "f00"}

    fields = read(request).fields

    assert "EAAB" not in str(fields)
    assert "f00" not in str(fields)


@pytest.mark.parametrize("name", [None, "", "  ", {}, [], True, "\x00\n"])
def test_an_event_without_a_name_has_the_name_of_its_row(name: Any) -> None:
    assert read({"event_name": name}, event_name="Lead").event_name == "Lead"
    assert refused({"event_name": name}, event_name=" ") == "missing event_name"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("pixel-7", "pixel-7"),
        (4711, "4711"),
        ("  pixel-7\n", "pixel-7"),
        ("jane.roe@example.com", "jane.roe@example.com"),
        ("", str(ROW_EVENT_ID)),
        ("   ", str(ROW_EVENT_ID)),
        (None, str(ROW_EVENT_ID)),
        ({}, str(ROW_EVENT_ID)),
        (True, str(ROW_EVENT_ID)),
    ],
)
def test_the_payloads_own_id_wins_because_the_pixel_used_it(given: Any, expected: str) -> None:
    assert read({"event_id": given}).event_id == expected


def test_the_id_is_the_same_at_every_try() -> None:
    assert read({}).event_id == read({}, retry_count=4).event_id
    assert UUID(read({}).event_id) == ROW_EVENT_ID


@pytest.mark.parametrize(
    "value",
    [
        1795521600,
        1795521600.0,
        "1795521600",
        " 1795521600 ",
        1795521600000,
        "1795521600000",
        1795521600000000,
        "2026-11-24T12:00:00Z",
        "2026-11-24t12:00:00z",
        "2026-11-24 12:00:00",
        "2026-11-24T12:00",
        "2026-11-24T12:00:00.0Z",
        "2026-11-24T12:00:00.000000000000Z",
        "2026-11-24T12:00:00,000+00:00",
        "2026-11-24T14:00:00+02:00",
        "2026-11-24T14:00:00+0200",
        "2026-11-24T14:00:00+02",
        "2026-11-24 06:30:00-05:30",
        "2026-11-24 12:00:00 UTC",
        "2026-11-24 12:00:00 +0000",
        "2026-11-24 12:00:00+00",
    ],
)
def test_a_moment_is_read_in_every_usual_form(value: Any) -> None:
    assert read_time(value, default=NOW - timedelta(days=1)) == NOON


@pytest.mark.parametrize("digits", range(1, 13))
def test_a_fraction_of_any_length_is_read(digits: int) -> None:
    value = "2026-11-24T12:00:00." + "123456789012"[:digits] + "Z"

    moment = read_time(value, default=NOW)

    assert moment is not None
    assert moment - NOON == timedelta(microseconds=int("123456"[:digits].ljust(6, "0")))


def test_a_date_alone_is_its_first_moment_in_utc() -> None:
    assert read_time("2026-11-24", default=NOW) == datetime(2026, 11, 24, tzinfo=timezone.utc)


@pytest.mark.parametrize("value", [None, ""])
def test_a_payload_without_a_time_was_at_the_rows_created_at(value: Any) -> None:
    created_at = NOW - timedelta(days=2)

    assert read({"event_time": value}, created_at=created_at).event_time == created_at
    assert read({}, created_at=created_at).event_time == created_at


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        {},
        {"seconds": 1},
        [1],
        0,
        -1,
        -1795521600,
        "-5",
        1e300,
        2**63,
        "yesterday",
        "NaN",
        "Infinity",
        "1e999999999",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-11-24T25:00:00Z",
        "2026-11-24T12:00:00+99:00",
        "0001-01-01T00:00:00+05:00",
        # What only newer Pythons would take: an event must not depend on the worker's version.
        "2026-W48-2",
        "2026-328",
        "2026-11-24T12",
    ],
)
def test_what_cannot_be_a_moment_is_rejected_by_its_field(value: Any) -> None:
    assert read_time(value, default=NOW) is None
    assert refused({"event_time": value}) == "invalid event_time"


@pytest.mark.parametrize("value", [SECONDS + 3_720, "2026-11-25T00:00:00Z", "9999-12-31"])
def test_an_event_in_the_future_is_rejected(value: Any) -> None:
    assert refused({"event_time": value}) == "event_time lies in the future"


def test_a_clock_that_is_half_a_minute_fast_costs_no_event() -> None:
    assert read({"event_time": SECONDS + 3_630}).event_time == NOW + timedelta(seconds=30)


@settings(deadline=None, database=None)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(-14 * 60, 14 * 60),
)
def test_iso_text_comes_back_as_the_moment_it_was_made_of(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert read_time(moment.isoformat(), default=NOW) == moment


@pytest.mark.parametrize(
    "fields",
    [
        {"consent": False},
        {"consent": 0},
        {"consent": "denied"},
        {"consent": " DENIED "},
        {"consent": {"ad_user_data": "denied", "analytics_storage": "granted"}},
        {"consent": {"adUserData": "CONSENT_DENIED"}},
        {"consent": {"marketing": False}},
        {"consent_state": {"ad_storage": "denied"}},
        {"metadata": {"consent": {"marketing": "revoked"}}},
        {"marketing_consent": False},
        {"metadata": {"marketing_consent": "no"}},
        {"ad_user_data": "denied"},
    ],
)
def test_a_person_who_refused_advertising_is_not_sent(fields: dict[str, Any]) -> None:
    assert refused({"event_name": "Lead", **fields}) == "consent denied"


@pytest.mark.parametrize("consent", ["denied", False, {"ad_user_data": "denied"}])
def test_what_is_not_for_advertising_needs_no_consent(consent: Any) -> None:
    event = claimed({"event_name": "Lead", "consent": consent})

    kept = read_conversion(event, for_advertising=False)

    assert isinstance(kept, Conversion)
    assert kept.fields["consent"] == consent


@pytest.mark.parametrize(
    "consent",
    [None, True, "granted", {}, {"ad_user_data": "granted"}, {"analytics_storage": "denied"}, 1],
)
def test_silence_or_a_grant_is_no_refusal(consent: Any) -> None:
    assert read({"event_name": "Lead", "consent": consent}).event_name == "Lead"


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
        ("-3", -3.0),
        ("1e2", 100.0),
        (0, 0.0),
        ("0", 0.0),
        ("1,2,3", None),
        ("free", None),
        ("", None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("1e400", None),
        ("9" * 50, None),
        (True, None),
        (None, None),
        ([1], None),
        ({"amount": 1}, None),
        (10**400, None),
    ],
)
def test_a_value_is_a_finite_number_or_none(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("usd", "USD"), (" EUR ", "EUR"), ("US$", None), ("euros", None), (840, None), ({}, None)],
)
def test_a_currency_has_three_letters(given: Any, expected: str | None) -> None:
    assert read({"currency": given}).currency == expected


def test_a_path_becomes_an_address_where_the_site_is_known() -> None:
    assert read({"page_path": "/thanks"}).page_url == "https://shop.example/thanks"
    assert read({"page_path": "thanks"}).page_url is None
    assert read({"url": "javascript:alert(1)"}).page_url is None


def test_an_address_is_sent_without_the_person_in_its_query() -> None:
    url = "https://shop.example/thanks?email=jane.roe%40example.com&step=2&phone=%2B16505551212"

    conversion = read({"event_source_url": url, "referrer": url, "order_id": "jane@example.com"})

    for told in (conversion.page_url, conversion.referrer_url, conversion.order_id):
        assert told is not None
        assert "jane" not in told
        assert "5551212" not in told
    assert conversion.page_url is not None
    assert "step=2" in conversion.page_url


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b\x1f\x7f", "ab"),
        ("x\ud800y", "xy"),
        (7, "7"),
        (True, None),
        (float("inf"), None),
        ([], None),
        ("\x00", None),
    ],
)
def test_text_is_one_line_that_can_be_encoded(value: Any, expected: str | None) -> None:
    assert text(value) == expected


def test_text_of_a_megabyte_is_cut() -> None:
    assert len(text("x" * 1_000_000) or "") == 2_000


@settings(deadline=None, max_examples=200, database=None)
@given(PAYLOADS)
def test_any_payload_is_a_conversion_or_a_reason(payload: Any) -> None:
    result = read_conversion(claimed(payload), "https://shop.example")

    if isinstance(result, Rejected):
        assert result.reason in {
            "event_payload is no JSON object that can be read",
            "missing event_name",
            "consent denied",
            "invalid event_time",
            "event_time lies in the future",
        }
    else:
        assert result.event_time.tzinfo is not None
        assert result.event_name.encode()
        assert result.event_id.encode()


def looked_up(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    """What `first` promises, word for word: place by place, in each all names."""
    for place in (fields, *map(fields.get, _CONTAINERS)):
        if not isinstance(place, dict):
            continue
        for name in names:
            value = place.get(name)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return value
    return None


NAMES = ("value", "status", "email", "event_time", "event", "custom_data", "metadata", "absent")


@settings(deadline=None, max_examples=300, database=None)
@given(
    PAYLOADS,
    st.dictionaries(st.sampled_from(_CONTAINERS), PAYLOADS),
    st.lists(st.sampled_from(NAMES), max_size=4).map(tuple),
)
def test_the_table_of_fields_gives_what_looking_them_up_gives(
    payload: Any, containers: dict[str, Any], names: tuple[str, ...]
) -> None:
    fields = as_mapping({**(payload if isinstance(payload, dict) else {}), **containers})

    assert fields is not None
    assert first(fields, names) is looked_up(fields, names)
    assert first(dict(fields), names) is looked_up(fields, names)
    alone = {name: value for name in NAMES if (value := looked_up(fields, (name,))) is not None}
    assert list(first_of_each(fields, NAMES).items()) == list(alone.items())


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(), max_size=30))
def test_a_text_loses_its_control_characters_and_nothing_else(given: str) -> None:
    assert text(given) == (_CONTROL.sub("", given).strip() or None)


def test_a_payload_of_several_events_is_not_mixed_into_one() -> None:
    payload = {
        "data": [
            {"event_name": "Lead", "user_data": {"em": "a@example.com"}},
            {"event_name": "Purchase", "user_data": {"em": "b@example.com"}},
        ]
    }
    result = read_conversion(claimed(payload))
    assert isinstance(result, Rejected)
    assert result.reason == "event_payload holds several events"


def test_a_list_of_one_event_is_that_event() -> None:
    result = read_conversion(claimed([{"event_name": "Lead", "email": "a@example.com"}]))
    assert isinstance(result, Conversion)
