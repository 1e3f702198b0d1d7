from __future__ import annotations

import random

import phonenumbers
import pytest

from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.numbering_plan import international_digits, national_digits
from tracking_pipeline.identity.phone import _parsed_digits

SPELLINGS = [
    # As dialled in the US.
    ("6505551212", "US", "16505551212"),
    ("(650) 555-1212", "US", "16505551212"),
    ("650.555.1212", "US", "16505551212"),
    ("650 555 1212", "US", "16505551212"),
    ("650\u2011555\u20111212", "US", "16505551212"),
    ("650\u00a0555\u00a01212", "US", "16505551212"),
    ("650/555/1212", "US", "16505551212"),
    ("1-650-555-1212", "US", "16505551212"),
    ("+1 650 555 1212", "US", "16505551212"),
    ("+1 (650) 555-1212", "DE", "16505551212"),
    ("＋１６５０５５５１２１２", "US", "16505551212"),
    ("٦٥٠٥٥٥١٢١٢", "US", "16505551212"),
    ("tel:+1-650-555-1212", "US", "16505551212"),
    ("650-555-1212 ext. 34", "US", "16505551212"),
    ("650-555-1212x34", "US", "16505551212"),
    ("1-800-FLOWERS", "US", "18003569377"),
    ("6505551212.0", "US", "16505551212"),
    ("16505551212.0", "US", "16505551212"),
    (6505551212, "US", "16505551212"),
    (16505551212, "DE", "16505551212"),
    (6505551212.0, "US", "16505551212"),
    ("416-555-0123", "CA", "14165550123"),
    ("604 555 0123", "US", "16045550123"),
    ("787-555-0123", "US", "17875550123"),
    # With the prefix for abroad, or with nothing at all in front.
    ("011 44 20 7946 0958", "US", "442079460958"),
    ("0044 20 7946 0958", "US", "442079460958"),
    ("00442079460958", "DE", "442079460958"),
    ("442079460958", "US", "442079460958"),
    ("4915112345678", "US", "4915112345678"),
    ("+44 (0)20 7946 0958", "US", "442079460958"),
    ("+44 (0) 20 7946 0958", "GB", "442079460958"),
    ("00448444124653", "US", "448444124653"),
    # As dialled elsewhere.
    ("020 7946 0958", "GB", "442079460958"),
    ("07911 123456", "GB", "447911123456"),
    ("0151 12345678", "DE", "4915112345678"),
    ("030 1234567", "DE", "49301234567"),
    ("030/1234567", "DE", "49301234567"),
    ("06 12 34 56 78", "FR", "33612345678"),
    ("06 1234 5678", "IT", "390612345678"),
    ("+39 06 1234 5678", "US", "390612345678"),
    ("612 34 56 78", "ES", "34612345678"),
    ("(11) 96123-4567", "BR", "5511961234567"),
    ("55 1234 5678", "MX", "525512345678"),
    ("0412 345 678", "AU", "61412345678"),
    ("090-1234-5678", "JP", "819012345678"),
    ("098765 43210", "IN", "919876543210"),
    ("8 (912) 345-67-89", "RU", "79123456789"),
    ("138 0013 8000", "CN", "8613800138000"),
    ("21 23 45 67", "NO", "4721234567"),
    ("4721234567", "SE", "4721234567"),
]


@pytest.mark.parametrize(("typed", "country", "digits"), SPELLINGS)
def test_every_spelling_of_a_number_becomes_its_international_digits(
    typed: object, country: str, digits: str
) -> None:
    assert normalize("ph", typed, "meta", country) == digits


@pytest.mark.parametrize(("typed", "country", "digits"), SPELLINGS)
def test_google_hashes_the_number_with_its_plus(typed: object, country: str, digits: str) -> None:
    assert normalize("ph", typed, "google", country) == f"+{digits}"


@pytest.mark.parametrize(
    "typed",
    [
        "", "n/a", "none", "123", "5551212", "555-1212", "0000000000", "1111111111", "1234567890",
        "(555) 123-4567", "650555121", "65055512123", "+6505551212", "+1 650 555 121",
        "+999 1234567",
        "abc", "jane@example.com", "1.6505551212E+10", "1,65E+10", "6.5E10",
        "1.65055512E10", "id 4915112345678", "--", "+", "()", "²³",
        "6505551212" * 30, True, False, None, float("nan"), float("inf"), -6505551212,
        [], {}, ["6505551212"], b"6505551212", object(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("platform", ["meta", "google"])
def test_what_is_no_number_is_left_out(typed: object, platform: str) -> None:
    assert normalize("ph", typed, platform) is None


@pytest.mark.parametrize("country", ["Germany", "deutschland", "DEU", "de", " DE "])
def test_the_default_country_may_be_a_name_or_any_code(country: str) -> None:
    assert normalize("ph", "030 1234567", country=country) == "49301234567"


@pytest.mark.parametrize("country", ["", "XX", "nowhere", "AQ"])
def test_without_a_country_only_international_numbers_count(country: str) -> None:
    assert normalize("ph", "(650) 555-1212", country=country) is None
    assert normalize("ph", "+1 650 555 1212", country=country) == "16505551212"
    assert normalize("ph", "16505551212", country=country) == "16505551212"


def test_ten_wrong_american_digits_are_no_number_abroad() -> None:
    assert normalize("ph", "+47 21 23 45 67") == "4721234567"
    assert normalize("ph", "4721234567") is None


def _like_a_number(chance: random.Random, region: str) -> str:
    """Make digits that are nearly a number of the region: often valid, often just not."""
    kind = chance.choice(range(11))
    example = phonenumbers.example_number_for_type(region, kind) or (
        phonenumbers.example_number(region)
    )
    digits = phonenumbers.national_significant_number(example) if example else "5551212"
    wanted = len(digits) + chance.choice([0, 0, 0, 0, -1, 1])
    digits = digits[: chance.randint(1, len(digits))] if chance.random() < 0.8 else digits
    while len(digits) < wanted:
        digits += chance.choice("0123456789")
    return chance.choice(["", "", "", "0", "1", "8", "00", "011"]) + digits


@pytest.mark.parametrize("seed", range(4))
def test_plain_digits_are_judged_as_the_library_judges_them(seed: int) -> None:
    chance = random.Random(seed)
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    answered = 0
    for _ in range(2500):
        region = chance.choice(regions)
        digits = _like_a_number(chance, region)
        code = str(phonenumbers.country_code_for_region(region))
        for ours, text, dialled_in in (
            (national_digits(digits, region), digits, region),
            (international_digits(code + digits), f"+{code}{digits}", None),
        ):
            if ours is not None:
                answered += 1
                assert ours == _parsed_digits(text, dialled_in), (text, dialled_in)
    assert answered > 1000


@pytest.mark.parametrize("form", ["E164", "INTERNATIONAL", "NATIONAL", "RFC3966"])
def test_the_library_and_we_agree_on_every_regions_numbers_as_it_writes_them(form: str) -> None:
    # `phonenumberslite` is the library: the full package is the same module and cannot stand beside
    # it. It knows every region's plan, an example of each kind of line, and how people write them.
    style = getattr(phonenumbers.PhoneNumberFormat, form)
    different = []
    # Ascension and Tristan da Cunha have plans, but no code of their own in ISO 3166-1.
    for region in phonenumbers.SUPPORTED_REGIONS - {"AC", "TA"}:
        for kind in range(11):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                text = phonenumbers.format_number(example, style)
                ours = normalize("ph", text, "google", region)
                if ours != _as_the_library_reads(text, region):
                    different.append((region, text, ours))
    assert different == []


def _as_the_library_reads(text: str, region: str) -> str | None:
    number = phonenumbers.parse(text, region)
    if not phonenumbers.is_valid_number(number):
        return None
    return f"+{number.country_code}{phonenumbers.national_significant_number(number)}"
