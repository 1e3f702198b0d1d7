"""City, state, postal code and country.

Meta hashes all four: lower-case, without punctuation and spaces, UTF-8 kept; two-letter codes for
American states; five digits of an American zip; ISO alpha-2 for the country. Google takes them
plain: region code upper-case, postal code trimmed, city and area lower-case without symbols.
Pinterest's postal code has digits only ("zp" in its API description).
"""

from __future__ import annotations

import re
import unicodedata

from tracking_pipeline.identity.countries import country_code, subdivision_code
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import has_letter, letters_and_digits

_US_ZIP = re.compile("[0-9]{5}(?:[ -]?[0-9]{4})?")
# What a form asks for when it will not take nothing.
_NO_ZIP = "00000"
_NOT_IN_CODE = re.compile(r"[^A-Z0-9 -]")
_DIGIT = re.compile(r"[0-9]")
# What a data frame makes of a column with gaps.
_FLOAT_TAIL = re.compile(r"(\d+)\.0")
# Countries whose postal codes are all digits and may begin with 0, which spreadsheets eat.
_DIGITS = {"US": 5, "PR": 5, "DE": 5, "FR": 5, "IT": 5, "ES": 5, "MX": 5}
_SHORTEST_DIGITS = 3
_MIN_POSTAL, _MAX_POSTAL = 2, 10


def city_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the letters of a city: `Saint-Étienne` is `saintétienne`."""
    return _with_letter(letters_and_digits(text))


def city_for_google(text: str, country: str) -> str | Refusal:
    """Gives the words of a city without symbols: `st louis`."""
    return _with_letter(_words(text))


def state_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the code of an American or Canadian state, elsewhere the letters of the name."""
    return subdivision_code(text, country) or _with_letter(letters_and_digits(text))


def state_for_google(text: str, country: str) -> str | Refusal:
    """Gives the words of the name or code, whichever was typed; Google has no table of codes."""
    return _with_letter(_words(text))


def postal_code_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the postal code in lower case without spaces and dashes; in the US its five digits.

    A code that no American zip looks like is taken for a foreign one: the US is then only the
    default country.
    """
    code = _postal_code(text, country)
    if not isinstance(code, str):
        return code
    return code[:5] if _is_zip_code(code, country) else letters_and_digits(code)


def postal_code_for_google(text: str, country: str) -> str | Refusal:
    """Gives the postal code as people write it, upper-case, one space between its parts."""
    return _postal_code(text, country)


def postal_code_for_pinterest(text: str, country: str) -> str | Refusal:
    """Gives the digits of the postal code; in the US the first five."""
    code = postal_code_for_meta(text, country)
    if not isinstance(code, str) or code.isdigit():
        return code
    return postal_code_for_meta("".join(filter(str.isdigit, code)), "")


def country_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the ISO alpha-2 code in lower case. `country`, the default, plays no part."""
    code = country_code(text)
    return code.lower() if code else Refusal.NOT_A_COUNTRY


def country_for_google(text: str, country: str) -> str | Refusal:
    """Gives the ISO alpha-2 code in upper case."""
    return country_code(text) or Refusal.NOT_A_COUNTRY


def _is_zip_code(text: str, country: str) -> bool:
    return country == "US" and _US_ZIP.fullmatch(text) is not None


def _postal_code(text: str, country: str) -> str | Refusal:
    if _is_zip_code(text, country):
        return Refusal.INVALID_POSTAL_CODE if text.startswith(_NO_ZIP) else text
    if not text.isascii():
        # NFKC turns full-width digits into the digits that the code is made of.
        text = unicodedata.normalize("NFKC", text)
    text = text.upper()
    tail = _FLOAT_TAIL.fullmatch(text)
    if tail:
        text = tail.group(1)
    code = " ".join(_NOT_IN_CODE.sub("", text).strip(" -").split())
    bare = code.replace(" ", "").replace("-", "")
    if not _MIN_POSTAL <= len(bare) <= _MAX_POSTAL or not _DIGIT.search(bare):
        return Refusal.INVALID_POSTAL_CODE
    if bare.isdigit() and len(bare) < _DIGITS.get(country, 0):
        if len(bare) < _SHORTEST_DIGITS:
            return Refusal.INVALID_POSTAL_CODE
        code = bare.zfill(_DIGITS[country])
    return code if bare.strip("0") else Refusal.INVALID_POSTAL_CODE


def _words(text: str) -> str:
    return " ".join(letters_and_digits(text, keep_spaces=True).split())


def _with_letter(place: str) -> str | Refusal:
    return place if has_letter(place) else Refusal.INVALID_PLACE
