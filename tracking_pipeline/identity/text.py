"""What text a JSON value stands for, cleaned of what no rule of any platform keeps.

Every normaliser takes text that has been through `text_of`: NFC (Meta's published hashes of `정`
and `valéry` hold only for NFC), no invisible characters, no space around it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from math import isfinite
from numbers import Integral
from uuid import UUID

from tracking_pipeline.identity.placeholders import PLACEHOLDERS, TEMPLATE
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.null_markers import is_marker

# Longer than any identifier and any user agent in use; bounds the work one value can cause.
MAX_CHARACTERS = 2048
# No identifier is negative or has more digits. Python itself refuses to print very long integers.
_MAX_INTEGER = 10**40

_SPACE = re.compile(r"\s")
# Controls (white space aside), soft hyphen, zero-width and direction marks, variation selectors.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def text_of(value: object) -> str | Refusal:
    """Gives the text of a string, whole number, date or UUID; a refusal for anything else.

    An empty value and `None` are `Refusal.EMPTY`: absent, which is not the same as rubbish.
    """
    if isinstance(value, str):
        # A subclass may say anything of itself; this gives the characters it is made of.
        return _clean(value if type(value) is str else str.__str__(value))
    if value is None:
        return Refusal.EMPTY
    if isinstance(value, (date, UUID)):
        return str(value)
    return _whole_number(value)


def _whole_number(value: object) -> str | Refusal:
    """Gives the digits; 16505551212.0 is what a data frame makes of a column with gaps."""
    is_whole = isinstance(value, Integral) or (
        isinstance(value, float) and isfinite(value) and value.is_integer()
    )
    if isinstance(value, bool) or not is_whole:
        return Refusal.NOT_TEXT
    number = int(value)  # type: ignore[call-overload]
    return str(number) if 0 <= number < _MAX_INTEGER else Refusal.NOT_TEXT


def _clean(text: str) -> str | Refusal:
    if len(text) > MAX_CHARACTERS:
        return Refusal.TOO_LONG
    if not (text.isascii() and text.isprintable()):
        if _SURROGATE.search(text):
            return Refusal.NOT_TEXT
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    text = text.strip()
    if not text:
        return Refusal.EMPTY
    if len(text) <= 20 and (is_marker(text) or text.lower() in PLACEHOLDERS):
        return Refusal.PLACEHOLDER
    if text[0] in "{$%<[#_" and TEMPLATE.fullmatch(text):
        return Refusal.PLACEHOLDER
    return text


def without_spaces(text: str) -> str:
    """Removes white space of every kind, non-breaking and ideographic spaces included."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return _SPACE.sub("", text)


def lower(text: str) -> str:
    """Lower-case and compose again: the lower case of a composed text need not be composed."""
    lowered = text.lower()
    return lowered if lowered.isascii() else unicodedata.normalize("NFC", lowered)


# Apostrophes that Unicode files under letters: Ukrainian and Hawaiian names are typed with either.
LETTER_APOSTROPHES = frozenset("\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\ua78c")
_LAST_REMEMBERED = 0xFFFF
_ASCII_LETTER = re.compile("[A-Za-z]")


class _Kept(dict[int, "int | None"]):
    """What `str.translate` does with a character: letters, marks and digits stay."""

    def __init__(self, *, spaces: bool) -> None:
        super().__init__()
        self._spaces = spaces

    def __missing__(self, code: int) -> int | None:
        char = chr(code)
        if char.isspace():
            kept = self._spaces
        else:
            kept = unicodedata.category(char)[0] in "LMN" and char not in LETTER_APOSTROPHES
        answer = code if kept else None
        if code <= _LAST_REMEMBERED:
            self[code] = answer
        return answer


_LETTERS_AND_DIGITS = _Kept(spaces=False)
_WORDS = _Kept(spaces=True)


def letters_and_digits(text: str, *, keep_spaces: bool = False) -> str:
    """Lower-case, and drop punctuation, symbols and (unless kept) spaces of every script.

    Combining marks stay: without them Hindi, Thai or Arabic names fall apart.
    """
    lowered = text.lower()
    if lowered.isascii() and lowered.isalnum():
        return lowered
    kept = lowered.translate(_WORDS if keep_spaces else _LETTERS_AND_DIGITS)
    return kept if kept.isascii() else unicodedata.normalize("NFC", kept)


def has_letter(text: str) -> bool:
    """Tells whether there is a letter of any script in the text."""
    if text.isascii():
        return _ASCII_LETTER.search(text) is not None
    return any(map(str.isalpha, text))


# For looking names up: letters and digits only; marks, spaces and punctuation fold away.
_FOLDED_CATEGORIES = frozenset({"Ll", "Lu", "Lo", "Nd"})


def fold(text: str) -> str:
    """Reduces a name to what its spellings share: `Côte d'Ivoire` becomes `cotedivoire`."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in decomposed if unicodedata.category(char) in _FOLDED_CATEGORIES)
    return unicodedata.normalize("NFC", kept)
