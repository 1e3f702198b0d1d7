"""The phone number each platform hashes: E.164, for Meta without its `+`, for Google with it."""

from __future__ import annotations

import re

import phonenumbers

from tracking_pipeline.identity.numbering_plan import international_digits, national_digits
from tracking_pipeline.identity.refusal import Refusal

# What a spreadsheet makes of a long number: digits are lost, so nothing can be made of it.
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
# What a data frame makes of a column with gaps.
_FLOAT_TAIL = re.compile(r"(\+?\d+)\.0")
# Punctuation that says nothing about the number it stands in.
_PUNCTUATION = " -.()\u00a0"
_LONGEST_PLAIN = 40
_PLUS_OR_LETTER = re.compile(r"[+\uff0b]|[^\W\d_]")
_NOT_DIGIT = re.compile(r"\D")
_NANP = 1
_LONGEST_NANP_NATIONAL = 10
_SHORTEST_INTERNATIONAL = 10


def phone_for_meta(text: str, country: str) -> str | Refusal:
    """Gives country code and national number in digits, `16505551212`."""
    return _e164_digits(text, country)


def phone_for_google(text: str, country: str) -> str | Refusal:
    """Gives E.164, `+16505551212`."""
    digits = _e164_digits(text, country)
    return f"+{digits}" if isinstance(digits, str) else digits


def _e164_digits(text: str, country: str) -> str | Refusal:
    """Reads a number as dialled in `country` (ISO alpha-2, or empty), else as international.

    Senders drop the `+` of international numbers (Meta's own format has none), so digits that
    are no number of the country are tried with one. A number with `+` is taken at its word.
    """
    if text.endswith(".0") and (tail := _FLOAT_TAIL.fullmatch(text)):
        text = tail.group(1)
    digits = _valid_digits(text, country or None)
    if digits is None and not _PLUS_OR_LETTER.search(text):
        bare = _NOT_DIGIT.sub("", text)
        bare = bare[2:] if bare.startswith("00") else bare
        if len(bare) >= _shortest_international(country):
            digits = _valid_digits(f"+{bare}", None)
    return digits or Refusal.INVALID_PHONE


def _shortest_international(country: str) -> int:
    """Ten digits that are no North American number are a typing error, not a number abroad."""
    if phonenumbers.country_code_for_region(country) == _NANP:
        return _LONGEST_NANP_NATIONAL + 1
    return _SHORTEST_INTERNATIONAL


def _valid_digits(text: str, region: str | None) -> str | None:
    plain = _without_punctuation(text) if len(text) <= _LONGEST_PLAIN else ""
    if plain.isascii():
        digits = None
        if plain.isdigit():
            digits = national_digits(plain, region) if region else None
        elif plain[:1] == "+" and plain[1:].isdigit():
            digits = international_digits(plain[1:])
        if digits is not None:
            return digits
    return _parsed_digits(text, region)


def _without_punctuation(text: str) -> str:
    if not text.isdigit():
        for sign in _PUNCTUATION:
            text = text.replace(sign, "")
    return text


def _parsed_digits(text: str, region: str | None) -> str | None:
    if _SCIENTIFIC.fullmatch(text):
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
