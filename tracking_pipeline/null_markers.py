"""The words by which programs write that there is no value: one table for files, forms and queries.

As each program writes its own. In another case some of these words are somebody's: `Null` is a
surname, `Nil` and `Nan` are given names. What a person said always wins.
"""

from __future__ import annotations

from typing_extensions import LiteralString

NULL_MARKERS: tuple[LiteralString, ...] = (
    # psql and COPY; SQL*Plus; SSMS, HeidiSQL; DataGrip; DBeaver; pgAdmin.
    r"\N",
    "(null)",
    "(NULL)",
    "NULL",
    "null",
    "<null>",
    "<NULL>",
    "[NULL]",
    "[null]",
    # Data frames.
    "NaN",
    "nan",
    "NaT",
    "<NA>",
    # Spreadsheets.
    "#N/A",
    "#NA",
    "#REF!",
    "#VALUE!",
    "#NAME?",
    "#NULL!",
    "#DIV/0!",
    "#NUM!",
    # JavaScript, Python, Ruby, Go.
    "undefined",
    "None",
    "nil",
    "<nil>",
    "[object Object]",
    # Google Analytics, and people.
    "(not set)",
    "(not provided)",
    "N/A",
    "n/a",
)
_MARKERS = frozenset(NULL_MARKERS)
_QUOTES = "\"'"
_LONGEST = max(map(len, NULL_MARKERS)) + 2
# What a text begins with that says something for sure: most texts need no second look.
_SURELY_SAID = frozenset(map(chr, range(0x21, 0x7F))).difference(
    _QUOTES, (marker[0] for marker in NULL_MARKERS)
)


def is_marker(text: str) -> bool:
    """Whether a text without space around it is a marker of no value, also one in quotes."""
    return len(text) <= _LONGEST and (text in _MARKERS or text.strip(_QUOTES) in _MARKERS)


def says_nothing(value: object) -> bool:
    """Whether a value is none: null, text without a visible character, or a marker of no value,
    also one in quotes."""
    if not isinstance(value, str):
        return value is None
    if value and value[0] in _SURELY_SAID:
        return False
    stripped = value.strip().strip("\ufeff\u200b\u200c\u200d\u2060\u00ad").strip()
    return not stripped or is_marker(stripped)
