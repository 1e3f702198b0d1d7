"""Agreement with Google's own library, and every deliberate difference with its reason.

`google-ads-datamanager-util` is not installed with the project (it brings gRPC and an encryption
library): `pip install google-ads-datamanager-util` runs these tests.
"""

from __future__ import annotations

import pytest

from tracking_pipeline.identity import normalize

formatter = pytest.importorskip("google.ads.datamanager_util.format").Formatter()

FORMAT = {
    "em": formatter.format_email_address,
    "ph": formatter.format_phone_number,
    "fn": formatter.format_given_name,
    "ln": formatter.format_family_name,
    "ct": formatter.format_city,
    "st": formatter.format_administrative_area,
    "zp": formatter.format_postal_code,
    "country": formatter.format_region_code,
}

AGREED = [
    ("em", " Jane.Doe@Example.com "), ("em", "J.Doe+x@Gmail.com"), ("em", "j.doe@googlemail.com"),
    ("ph", "+1 (650) 555-1212"), ("ph", "+44 20 7946 0958"), ("ph", "4915112345678"),
    ("fn", " Mary Ann "), ("ln", "MÜLLER"), ("ct", "St. Louis"), ("ct", "São Paulo"),
    ("st", "California"), ("st", "N.Y."), ("zp", " 94035-1234 "), ("zp", "SW1A 1AA"),
    ("country", "us"), ("country", " DE "),
]  # fmt: skip

# key, value, what the formatter makes of it (None: it raises), ours, and why ours.
DIFFERENT = [
    ("em", "jane doe@example.com", None, "janedoe@example.com", "the page says: remove all spaces"),
    ("em", "jane@example", "jane@example", None, "no such domain"),
    ("ph", "6505551212", "+6505551212", "+16505551212", "+65 is Singapore"),
    ("ph", "+44 (0)20 7946 0958", "+4402079460958", "+442079460958", "no number"),
    ("ph", "e" * 3 + "0" * 61, "+" + "0" * 61, "e" * 3 + "0" * 61, "a hash is no number"),
    ("fn", "Mrs. Jean-Luc", "mrs. jean-luc", "jeanluc", "the field's own text: no title, no signs"),
    ("ln", "Smith, Jr.", "smith, jr.", "smith", "the field's own text: no suffix"),
    ("zp", "sw1a 1aa", "sw1a 1aa", "SW1A 1AA", "a postal code is one, however it is typed"),
    ("country", "Germany", None, "DE", "a name is as good as a code"),
]


def theirs_for(key: str, value: str) -> str | None:
    try:
        answer: str = FORMAT[key](value)
    except ValueError:
        return None
    return answer


@pytest.mark.parametrize(("key", "value"), AGREED)
def test_the_formatter_of_google_agrees(key: str, value: str) -> None:
    assert normalize(key, value, "google") == theirs_for(key, value)


@pytest.mark.parametrize(("key", "value", "theirs", "ours", "_why"), DIFFERENT)
def test_we_differ_from_the_formatter_of_google_only_for_a_reason(
    key: str, value: str, theirs: str | None, ours: str | None, _why: str
) -> None:
    assert normalize(key, value, "google") == ours
    assert theirs_for(key, value) == theirs
