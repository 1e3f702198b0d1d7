"""City, state, postal code and country.

Meta hashes all four: lower-case, without punctuation and spaces, UTF-8 kept; two-letter codes for
American states; five digits of an American zip; ISO alpha-2 for the country. Google takes them
plain: region code upper-case, postal code trimmed, city and area lower-case without symbols.
"""

from __future__ import annotations

import re
import unicodedata

from tracking_pipeline.identity.countries import country_code
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.subdivisions import subdivision_code
from tracking_pipeline.identity.text import letters_and_digits

_US_ZIP = re.compile(r"(\d{5})(?:-?\d{4})?")
_FLOAT_TAIL = re.compile(r"(\d+)\.0")
# Countries whose postal codes are all digits and may begin with 0, which spreadsheets eat.
_DIGITS = {"US": 5, "PR": 5, "DE": 5, "FR": 5, "IT": 5, "ES": 5, "MX": 5}
_SHORTEST_DIGITS = 3
_MIN_POSTAL, _MAX_POSTAL = 2, 10


def city_for_meta(text: str, country: str) -> str | Refusal:
    """Give the letters of a city: `Saint-Étienne` is `saintétienne`."""
    return _with_letter(letters_and_digits(text))


def city_for_google(text: str, country: str) -> str | Refusal:
    """Give the words of a city without symbols: `st louis`."""
    return _with_letter(_words(text))


def state_for_meta(text: str, country: str) -> str | Refusal:
    """Give the code of an American or Canadian state, elsewhere the letters of the name."""
    return subdivision_code(text, country) or _with_letter(letters_and_digits(text))


def state_for_google(text: str, country: str) -> str | Refusal:
    """Give the code of an American or Canadian state, elsewhere the words of the name."""
    return subdivision_code(text, country) or _with_letter(_words(text))


def postal_code_for_meta(text: str, country: str) -> str | Refusal:
    """Give the postal code in lower case without spaces and dashes; in the US its five digits.

    A code that is not American in a payload without a country is taken for a foreign one: the
    country is then only the default.
    """
    code = _postal_code(text, country)
    if isinstance(code, Refusal):
        return code
    zip_code = _US_ZIP.fullmatch(code)
    if zip_code and country == "US":
        return zip_code.group(1)
    return "".join(char for char in code.lower() if char.isalnum())


def postal_code_for_google(text: str, country: str) -> str | Refusal:
    """Give the postal code as people write it, upper-case, one space between its parts."""
    return _postal_code(text, country)


def country_for_meta(text: str, country: str) -> str | Refusal:
    """Give the ISO alpha-2 code in lower case. `country`, the default, plays no part."""
    code = country_code(text)
    return code.lower() if code else Refusal.NOT_A_COUNTRY


def country_for_google(text: str, country: str) -> str | Refusal:
    """Give the ISO alpha-2 code in upper case."""
    return country_code(text) or Refusal.NOT_A_COUNTRY


def _postal_code(text: str, country: str) -> str | Refusal:
    # NFKC turns full-width digits into the digits that the code is made of.
    text = unicodedata.normalize("NFKC", text).upper()
    tail = _FLOAT_TAIL.fullmatch(text)
    if tail:
        text = tail.group(1)
    code = " ".join(
        "".join(char for char in text if (char.isascii() and char.isalnum()) or char in " -")
        .strip(" -")
        .split()
    )
    length = sum(char.isalnum() for char in code)
    if not _MIN_POSTAL <= length <= _MAX_POSTAL or not any(char.isdigit() for char in code):
        return Refusal.INVALID_POSTAL_CODE
    if code.isdigit() and length < _DIGITS.get(country, 0):
        if length < _SHORTEST_DIGITS:
            return Refusal.INVALID_POSTAL_CODE
        code = code.zfill(_DIGITS[country])
    return Refusal.INVALID_POSTAL_CODE if not code.strip("0 -") else code


def _words(text: str) -> str:
    return " ".join(letters_and_digits(text, keep=" ").split())


def _with_letter(place: str) -> str | Refusal:
    return place if any(char.isalpha() for char in place) else Refusal.INVALID_PLACE
