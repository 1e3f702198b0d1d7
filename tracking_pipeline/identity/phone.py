"""The phone number each platform hashes: E.164, for Meta without its `+`, for Google with it; and
telephone numbers inside text.
"""

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


# Telephone numbers inside text: what `sanitize` takes out of notes, messages and addresses.
#
# Digits alone are more often an id, an amount or a time than a number, and those have to survive.
# So there are three rules, each with what tells a number from the rest:
#
# - written as a number: `+` and 8 to 15 digits, or the American `(650) 555-1212`;
# - spoken of as one: 7 to 15 digits, grouped in any way, right after `call`, `tel`, `WhatsApp`, ...
#   (a word or two like `me at` may stand between) or before `(cell)`; dates stay;
# - in a field for free text (`note`, `message`, ...): 10 to 12 digits that are a valid American
#   number or begin with the 0 that is dialled first elsewhere, unless the text calls them an order,
#   an id and the like.
#
# The rules know no default country, so that what may be stored does not depend on a setting.

REMOVED = "[removed]"

_WRITTEN = re.compile(
    r"(?:\+|%2[Bb])(?:\d(?:[\s().-]|%20){0,2}){7,14}\d"
    r"|(?<![\w.-])\(?\d{3}\)?[-. ]{1,2}\d{3}[-. ]\d{4}(?![\w-])"
)

# Digits that may be a number by themselves: no part of a word, an amount, a path or a longer id.
# Each look behind counts the character just read, so that a search skips to digits at once.
_DIGITS = re.compile(
    r"[(0-9](?:(?<=%20.)|(?<![\w$€£#/%-].)(?<![0-9][.,:].))(?:(?<=[0-9])|(?=[0-9]))"
    r"[0-9]{0,15}\)?(?:[ ./-]{1,2}[0-9]{2,9}){0,6}(?![\w/]|[.,-][0-9])"
)
_FEWEST, _MOST = 7, 15
_DATE = re.compile(r"[0-9]{4}([./-])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([./-])[0-9]{1,2}\2[0-9]{4}")
_AMOUNT = re.compile(r"[0-9]+\.[0-9]{2}")

# How far before the digits a word may stand that says what they are.
_REACH = 40
_BETWEEN = r"(?:\s-\s|[\s:=#.,+]|%20){0,3}"
_FILLER = "at|back|her|him|is|me|my|no|nr|num|number|on|our|please|the|them|us"
_CALL_BEFORE = re.compile(
    r"(?<![A-Za-z])(?:call(?:ed|ing|back)?|(?:tele|cell|mobile ?)?phone|tel(?:efon[eo]?)?|"
    r"whats ?app|mobile?|m[oó]vil|handy|cell|celular|text|txt|sms|fax|ring|dial)"
    rf"(?![A-Za-z]){_BETWEEN}(?:(?:{_FILLER})(?![A-Za-z]){_BETWEEN}){{0,3}}\Z",
    re.IGNORECASE,
)
_KIND_AFTER = re.compile(
    r"[\s(,:-]{1,3}(?:cell|mobile?|handy|whats ?app|phone)(?![A-Za-z])", re.IGNORECASE
)
_ID_BEFORE = re.compile(
    r"(?<![A-Za-z])(?:account|booking|case|customer|document|id|invoice|item|model|order|part|"
    r"payment|receipt|reference|ref|serial|sku|ticket|tracking|transaction)s?"
    r"[\s:.=]{1,3}(?:(?:id|no|nr|number|is)[\s:.=]{1,3}){0,2}\Z",
    re.IGNORECASE,
)
_BARE = re.compile("[0-9]{10,12}")


def without_phones(text: str, *, free: bool = False) -> str:
    """Gives a text with `[removed]` for each telephone number; `free`: of a free-text field."""
    text = _WRITTEN.sub(REMOVED, text)
    return _DIGITS.sub(lambda found: REMOVED if _is_phone(found, free) else found.group(), text)


def _is_phone(found: re.Match[str], free: bool) -> bool:
    number = found.group()
    if len(number) < _FEWEST:
        return False
    digits = sum(map(str.isdigit, number))
    if not _FEWEST <= digits <= _MOST or _DATE.match(number) or _AMOUNT.fullmatch(number):
        return False
    text, start = found.string, found.start()
    before = text[max(0, start - _REACH) : start]
    if _CALL_BEFORE.search(before) or _KIND_AFTER.match(text, found.end()):
        return True
    if not free or not _BARE.fullmatch(number) or _ID_BEFORE.search(before):
        return False
    return number.startswith("0") or national_digits(number, "US") is not None
