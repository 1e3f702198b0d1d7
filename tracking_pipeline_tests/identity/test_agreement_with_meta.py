"""Agreement with Meta's own library, and every deliberate difference with its reason.

`facebook-business` is not installed with the project (with its dependencies it weighs 56 MB):
`pip install facebook-business` runs these tests.
"""

from __future__ import annotations

import logging

import pytest

from tracking_pipeline.identity import normalize

sdk = pytest.importorskip("facebook_business.adobjects.serverside.normalize")

AGREED = [
    ("em", " John_Smith@Gmail.com "), ("em", "j.doe+x@gmail.com"), ("em", "josé@müller.de"),
    ("ph", "+1 (650) 555-1212"), ("ph", "1-650-555-1212"), ("ph", "+44 20 7946 0958"),
    ("ph", "0044 20 7946 0958"), ("ph", "4915112345678"), ("fn", " Mary "), ("fn", "Valéry"),
    ("fn", "정"), ("ln", "MÜLLER"), ("ln", "Иванов"), ("ct", "New York"), ("ct", "Saint-Étienne"),
    ("ct", "São Paulo"), ("ct", "St. Louis"), ("ct", "東京"), ("st", "CA"), ("st", "Bayern"),
    ("zp", "94035"), ("zp", "94035-1234"), ("zp", "SW1A 1AA"), ("zp", "1012 AB"),
    ("country", "US"), ("country", " de "), ("ge", "F"), ("ge", "m"),
]  # fmt: skip

# key, value, what the SDK makes of it (None: it raises), ours, and why ours.
DIFFERENT = [
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


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs the values it refuses."""
    caplog.set_level(logging.CRITICAL)


def theirs_for(key: str, value: str) -> str | None:
    try:
        answer: str | None = sdk.Normalize.normalize(key, value, False)
    except Exception:
        return None
    return answer


@pytest.mark.parametrize(("key", "value"), AGREED)
def test_the_sdk_of_meta_agrees(key: str, value: str) -> None:
    country = "DE" if value == "Bayern" else "US"
    assert normalize(key, value, "meta", country) == theirs_for(key, value)


@pytest.mark.parametrize(("key", "value", "theirs", "ours", "_why"), DIFFERENT)
def test_we_differ_from_the_sdk_of_meta_only_for_a_reason(
    key: str, value: str, theirs: str | None, ours: str | None, _why: str
) -> None:
    assert normalize(key, value, "meta") == ours
    assert theirs_for(key, value) == theirs
