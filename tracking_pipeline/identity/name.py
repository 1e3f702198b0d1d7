"""First and last names.

Meta: lower-case, no punctuation, UTF-8 kept (Customer Information Parameters); like Meta's own
parameter builder we drop inner spaces too. Google (Data Manager, `AddressInfo`): lower-case,
trimmed, no punctuation, no title before and no suffix behind; inner spaces stay. LinkedIn takes
them as they are written, unhashed.
"""

from __future__ import annotations

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import (
    LETTER_APOSTROPHES,
    has_letter,
    letters_and_digits,
    lower,
    text_of,
)

_TITLES = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof"})
_AROUND_WORDS = '.,;:"()'
_ONE_APOSTROPHE = dict.fromkeys(
    map(ord, ["\u2018", "\u2019", "\u00b4", "`", *LETTER_APOSTROPHES]), "'"
)
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv", "phd", "esq"})


def name_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the letters of a name. `country` plays no part."""
    return _with_letter(letters_and_digits(text))


def name_for_google(text: str, country: str) -> str | Refusal:
    """Gives the words of a name, one space between them, without title and suffix."""
    words = letters_and_digits(text, keep_spaces=True).split()
    return _with_letter(" ".join(_without_title_and_suffix(words)))


def name_for_linkedin(text: str, country: str) -> str | Refusal:
    """Gives a name as it is written."""
    return _with_letter(text)


def punctuated_name(value: object) -> str | None:
    """Gives a name as Google's own formatter does, which keeps the apostrophes and hyphens that
    Google's page takes out (googleads/google-ads-php 1167, 1173); None where there are none.

    One apostrophe stands for all that keyboards write.
    """
    if type(value) is str and value.isascii() and value.replace(" ", "").isalnum():
        return None  # most names, and hashes
    text = text_of(value)
    if not isinstance(text, str) or not has_letter(text):
        return None
    words = [word.strip(_AROUND_WORDS) for word in text.translate(_ONE_APOSTROPHE).split()]
    written = lower(" ".join(_without_title_and_suffix([word for word in words if word])))
    return written if written != letters_and_digits(written, keep_spaces=True) else None


def split_full_name(text: str) -> tuple[str, str] | None:
    """Gives first and last name of `Jane van Dyk` or `van Dyk, Jane`; None for a single word.

    A guess, good enough where nothing better is known: the first word against the rest.
    """
    words = _without_title_and_suffix(text.split())
    before, _, after = (part.split() for part in " ".join(words).partition(","))
    first, last = (after, before) if after else (before[:1], before[1:])
    return (" ".join(first), " ".join(last)) if first and last else None


def _without_title_and_suffix(words: list[str]) -> list[str]:
    """Takes off titles and suffixes, never the last word left: `Miss` may be a name."""
    first, end = 0, len(words)
    while end - first > 1 and letters_and_digits(words[first]) in _TITLES:
        first += 1
    while end - first > 1 and letters_and_digits(words[end - 1]) in _SUFFIXES:
        end -= 1
    return words[first:end]


def _with_letter(name: str) -> str | Refusal:
    return name if has_letter(name) else Refusal.INVALID_NAME
