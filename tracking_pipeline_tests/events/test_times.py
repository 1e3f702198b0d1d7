from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.events.times import read_moment, read_moment_or_day

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


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
        1795521600000000000,
        "1795521600000000000",
        "1.7955216e9",
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
        "20261124T120000Z",
        "20261124T140000+0200",
        "Tue, 24 Nov 2026 12:00:00 GMT",
        "Tue, 24 Nov 2026 14:00:00 +0200",
        "Tue Nov 24 2026 13:00:00 GMT+0100 (Central European Standard Time)",
        {"$date": "2026-11-24T12:00:00Z"},
        {"$date": {"$numberLong": "1795521600000"}},
        {"seconds": 1795521600, "nanos": 0},
        {"_seconds": 1795521600, "_nanoseconds": 0},
    ],
)
def test_a_moment_is_read_in_every_usual_form(value: Any) -> None:
    assert read_moment(value) == NOON
    assert read_moment_or_day(value) == NOON


@pytest.mark.parametrize("digits", range(1, 13))
def test_a_fraction_of_any_length_is_read(digits: int) -> None:
    moment = read_moment("2026-11-24T12:00:00." + "123456789012"[:digits] + "Z")

    assert moment is not None
    assert moment - NOON == timedelta(microseconds=int("123456"[:digits].ljust(6, "0")))


def test_a_moment_in_nanoseconds_keeps_its_microseconds() -> None:
    assert read_moment(1795521600123456789) == NOON + timedelta(microseconds=123456)


@pytest.mark.parametrize("value", ["2026-11-24", " 2026-11-24 "])
def test_a_date_alone_is_no_moment_but_where_a_day_is_asked_for(value: str) -> None:
    assert read_moment(value) is None
    assert read_moment_or_day(value) == datetime(2026, 11, 24, tzinfo=timezone.utc)


def test_a_local_time_is_in_the_sites_zone_and_one_with_a_zone_in_its_own() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    for local in ("2026-11-24T13:00:00", "20261124T130000", "24 Nov 2026 13:00:00"):
        assert read_moment(local, berlin) == NOON
    for zoned in ("2026-11-24T12:00:00Z", "Tue, 24 Nov 2026 12:00:00 GMT", 1795521600):
        assert read_moment(zoned, berlin) == NOON


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        True,
        False,
        {},
        {"a": 1},
        {"seconds": "soon"},
        {"$date": {"a": 1}},
        [1],
        0,
        -1,
        -1795521600,
        "-5",
        1e300,
        2**67,
        float("nan"),
        float("inf"),
        "yesterday",
        "NaN",
        "Infinity",
        "1e999999999",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-11-24T25:00:00Z",
        "2026-11-24T12:00:00+99:00",
        "0001-01-01T00:00:00+05:00",
        "Tue, 31 Feb 2026 12:00:00 GMT",
        # Day and month may be either.
        "11/24/2026 12:00:00",
        "24.11.2026 12:00",
        # What only newer Pythons would take: an event must not depend on the worker's version.
        "2026-W48-2",
        "2026-328",
        "2026-11-24T12",
    ],
)
def test_what_cannot_be_a_moment_is_none(value: Any) -> None:
    assert read_moment(value) is None
    assert read_moment_or_day(value) is None


@settings(deadline=None, database=None)
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(-14 * 60, 14 * 60),
)
def test_iso_text_comes_back_as_the_moment_it_was_made_of(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert read_moment(moment.isoformat()) == moment


@settings(deadline=None, database=None)
@given(st.one_of(st.text(max_size=40), st.floats(), st.integers(), st.from_regex(r"[\d:T+.Z -]+")))
def test_nothing_makes_it_raise(value: Any) -> None:
    moment = read_moment(value)

    assert moment is None or moment.tzinfo is not None
