from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.demographics import birth_date
from tracking_pipeline.identity.refusal import Refusal

DATES = [
    ("19970216", "US", "19970216"),
    (19970216, "US", "19970216"),
    (19970216.0, "US", "19970216"),
    ("1997-02-16", "US", "19970216"),
    ("1997/02/16", "US", "19970216"),
    ("1997.02.16", "US", "19970216"),
    ("1997-2-6", "US", "19970206"),
    ("1997 02 16", "US", "19970216"),
    ("1997-02-16T00:00:00Z", "US", "19970216"),
    ("1997-02-16T00:00:00.000+02:00", "US", "19970216"),
    ("1997-02-16 00:00:00", "US", "19970216"),
    (date(1997, 2, 16), "US", "19970216"),
    (datetime(1997, 2, 16, tzinfo=timezone.utc), "US", "19970216"),
    ("2/16/1997", "US", "19970216"),
    ("02/16/1997", "US", "19970216"),
    ("02-16-1997", "US", "19970216"),
    ("02161997", "US", "19970216"),
    ("16/2/1997", "DE", "19970216"),
    ("16.02.1997", "DE", "19970216"),
    ("16.2.1997", "US", "19970216"),
    ("16-02-1997", "FR", "19970216"),
    ("16021997", "DE", "19970216"),
    ("03/04/1990", "US", "19900304"),
    ("03/04/1990", "GB", "19900403"),
    ("03/04/1990", "", "19900403"),
    ("03.04.1990", "US", "19900403"),
    ("16/02/1997", "US", "19970216"),
    ("02/16/1997", "GB", "19970216"),
    ("Feb 16, 1997", "US", "19970216"),
    ("February 16, 1997", "US", "19970216"),
    ("february 16th 1997", "US", "19970216"),
    ("16 Feb 1997", "GB", "19970216"),
    ("16th of February 1997", "GB", "19970216"),
    ("16-Feb-1997", "GB", "19970216"),
    ("1 Sept. 1997", "GB", "19970901"),
    ("29.02.2000", "DE", "20000229"),
    ("1900-01-01", "US", "19000101"),
    (" 1997-02-16 ", "US", "19970216"),
    ("1997-02-16\u200b", "US", "19970216"),
    ("١٩٩٧-٠٢-١٦", "US", "19970216"),
]


@pytest.mark.parametrize(("typed", "country", "digits"), DATES)
def test_a_date_of_birth_is_read_as_the_country_writes_dates(
    typed: object, country: str, digits: str
) -> None:
    assert normalize("db", typed, "meta", country) == digits


@pytest.mark.parametrize(
    "typed",
    ["", " ", "n/a", "1997", "1997-02", "2/16/97", "16.2.97", "970216", "1997-02-30", "29.02.1900",
     "2001-02-29", "1997-13-01", "1997-00-10", "1997-01-00", "1899-12-31", "0000-00-00", "99999999",
     "3000-01-01", "13/13/1997", "32.01.1997", "Foo 16, 1997", "16 februar 1997", "1997-02/16",
     "yesterday", 856051200, None, True, [], {}, 1997.5],
)  # fmt: skip
def test_an_impossible_date_is_left_out(typed: object) -> None:
    assert normalize("db", typed) is None


def test_nobody_is_born_tomorrow() -> None:
    assert birth_date("2026-11-24", "US", today=date(2026, 11, 24)) == "20261124"
    assert birth_date("2026-11-25", "US", today=date(2026, 11, 24)) is Refusal.INVALID_DATE


def test_google_has_no_room_for_a_date_of_birth() -> None:
    assert normalize("db", "1997-02-16", "google") is None
