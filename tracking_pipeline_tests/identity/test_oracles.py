"""Agreement with the platforms' own libraries, and every deliberate difference with its reason.

The libraries are not installed with the project (facebook-business and its dependencies weigh
56 MB): `pip install facebook-business google-ads-datamanager-util` runs these tests.
`phonenumbers` is compared in `test_phone.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from tracking_pipeline.identity import normalize

AGREED_WITH_META = [
    ("em", " John_Smith@Gmail.com "), ("em", "j.doe+x@gmail.com"), ("em", "josé@müller.de"),
    ("ph", "+1 (650) 555-1212"), ("ph", "1-650-555-1212"), ("ph", "+44 20 7946 0958"),
    ("ph", "0044 20 7946 0958"), ("ph", "4915112345678"), ("fn", " Mary "), ("fn", "Valéry"),
    ("fn", "정"), ("ln", "MÜLLER"), ("ln", "Иванов"), ("ct", "New York"), ("ct", "Saint-Étienne"),
    ("ct", "São Paulo"), ("ct", "St. Louis"), ("ct", "東京"), ("st", "CA"), ("st", "Bayern"),
    ("zp", "94035"), ("zp", "94035-1234"), ("zp", "SW1A 1AA"), ("zp", "1012 AB"),
    ("country", "US"), ("country", " de "), ("ge", "F"), ("ge", "m"),
]  # fmt: skip

# key, value, what Meta's SDK makes of it (None: it raises), ours, why ours.
DIFFERENT_FROM_META = [
    ("em", "\ufeffa@b.co", "\ufeffa@b.co", "a@b.co", "a byte order mark is no part of an address"),
    ("em", "a@b@c.com", "a@b@c.com", None, "one @"),
    ("em", "jane@example.com.", "jane@example.com.", None, "a full stop ended the sentence"),
    ("em", "n/a", None, None, "one bad value costs itself, not the event"),
    ("ph", "(650) 555-1212", "6505551212", "16505551212", "Meta wants the country code"),
    ("ph", "650.555.1212", None, "16505551212", "dots are how people write numbers"),
    ("ph", "650-555-1212 ext. 3", None, "16505551212", "the extension is inside the house"),
    ("ph", "+44 (0)20 7946 0958", "4402079460958", "442079460958", "no 0 from abroad"),
    ("fn", "Vale\u0301ry", "vale\u0301ry", "valéry", "Meta's own vector holds for NFC only"),
    ("fn", "D'Arcy", "d'arcy", "darcy", "no punctuation"),
    ("fn", "Mary Ann", "mary ann", "maryann", "as Meta's parameter builder, which the pixel runs"),
    ("ct", "Frankfurt/Main", "frankfurt/main", "frankfurtmain", "no special characters"),
    ("ct", "29 Palms", "palms", "29palms", "a digit is no punctuation"),
    ("st", "California", "california", "ca", "two-letter code in the US"),
    ("zp", "01310-100", "01310", "01310100", "only American codes are cut"),
    ("zp", "2139", "2139", "02139", "a spreadsheet ate the zero"),
    ("country", "Germany", None, "de", "a name is as good as a code"),
]

AGREED_WITH_GOOGLE = [
    ("em", " Jane.Doe@Example.com "), ("em", "J.Doe+x@Gmail.com"), ("em", "j.doe@googlemail.com"),
    ("ph", "+1 (650) 555-1212"), ("ph", "+44 20 7946 0958"), ("ph", "4915112345678"),
    ("fn", " Mary Ann "), ("ln", "MÜLLER"), ("ct", "St. Louis"), ("ct", "São Paulo"),
    ("st", "California"), ("st", "N.Y."), ("zp", " 94035-1234 "), ("zp", "SW1A 1AA"),
    ("country", "us"), ("country", " DE "),
]  # fmt: skip

DIFFERENT_FROM_GOOGLE = [
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


def _meta() -> Callable[[str, str], str | None]:
    module = pytest.importorskip("facebook_business.adobjects.serverside.normalize")
    logging.getLogger(module.__name__).disabled = True

    def answer(key: str, value: str) -> str | None:
        try:
            return module.Normalize.normalize(key, value, False)
        except Exception:
            return None

    return answer


def _google() -> Callable[[str, str], str | None]:
    formatter = pytest.importorskip("google.ads.datamanager_util.format").Formatter()
    methods = {
        "em": formatter.format_email_address, "ph": formatter.format_phone_number,
        "fn": formatter.format_given_name, "ln": formatter.format_family_name,
        "ct": formatter.format_city, "st": formatter.format_administrative_area,
        "zp": formatter.format_postal_code, "country": formatter.format_region_code,
    }  # fmt: skip

    def answer(key: str, value: str) -> str | None:
        try:
            return methods[key](value)
        except ValueError:
            return None

    return answer


@pytest.mark.parametrize(("key", "value"), AGREED_WITH_META)
def test_the_sdk_of_meta_agrees(key: str, value: str) -> None:
    country = "DE" if value == "Bayern" else "US"
    assert normalize(key, value, "meta", country) == _meta()(key, value)


@pytest.mark.parametrize(("key", "value", "theirs", "ours", "_why"), DIFFERENT_FROM_META)
def test_we_differ_from_the_sdk_of_meta_only_for_a_reason(
    key: str, value: str, theirs: str | None, ours: str | None, _why: str
) -> None:
    assert normalize(key, value, "meta") == ours
    assert _meta()(key, value) == theirs


@pytest.mark.parametrize(("key", "value"), AGREED_WITH_GOOGLE)
def test_the_formatter_of_google_agrees(key: str, value: str) -> None:
    assert normalize(key, value, "google") == _google()(key, value)


@pytest.mark.parametrize(("key", "value", "theirs", "ours", "_why"), DIFFERENT_FROM_GOOGLE)
def test_we_differ_from_the_formatter_of_google_only_for_a_reason(
    key: str, value: str, theirs: str | None, ours: str | None, _why: str
) -> None:
    assert normalize(key, value, "google") == ours
    assert _google()(key, value) == theirs
