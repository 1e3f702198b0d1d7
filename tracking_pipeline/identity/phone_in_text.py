"""Telephone numbers inside text: what `sanitize` takes out of notes, messages and addresses.

Digits alone are more often an id, an amount or a time than a number, and those have to survive.
So there are three rules, each with what tells a number from the rest:

- written as a number: `+` and 8 to 15 digits, or the American `(650) 555-1212`;
- spoken of as one: 7 to 15 digits, grouped in any way, right after `call`, `tel`, `WhatsApp`, ...
  (a word or two like `me at` may stand between) or before `(cell)`; dates stay;
- in a field for free text (`note`, `message`, ...): 10 to 12 digits that are a valid American
  number or begin with the 0 that is dialled first elsewhere, unless the text calls them an order,
  an id and the like.

The rules know no default country, so that what may be stored does not depend on a setting.
"""

from __future__ import annotations

import re

from tracking_pipeline.identity.numbering_plan import national_digits

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
