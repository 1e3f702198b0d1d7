"""First and last names.

Meta: lower-case, no punctuation, UTF-8 kept (Customer Information Parameters); like Meta's own
parameter builder we drop inner spaces too. Google (Data Manager, `AddressInfo`): lower-case,
trimmed, no punctuation, no title before and no suffix behind; inner spaces stay.
"""

from __future__ import annotations

import re

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import letters_and_digits

_TITLE = re.compile(r"(?:mrs?|ms|miss|mx|dr|prof)(?:\.\s*|\s+)", re.IGNORECASE)
_SUFFIX = re.compile(r"[\s,]+(?:jr|sr|ii|iii|iv|phd|md|esq)\.?", re.IGNORECASE)


def name_for_meta(text: str, country: str) -> str | Refusal:
    """Give the letters of a name. `country` plays no part."""
    return _with_letter(letters_and_digits(text))


def name_for_google(text: str, country: str) -> str | Refusal:
    """Give the words of a name, one space between them, without title and suffix."""
    words = _without_title_and_suffix(text).split()
    name = " ".join(filter(None, (letters_and_digits(word) for word in words)))
    return _with_letter(name)


def split_full_name(text: str) -> tuple[str, str] | None:
    """Give first and last name of `Jane van Dyk` or `van Dyk, Jane`; None for a single word.

    A guess, good enough where nothing better is known: the first word against the rest.
    """
    text = _without_title_and_suffix(text)
    last, comma, first = (part.strip() for part in text.partition(","))
    if not comma:
        first, _, last = text.strip().partition(" ")
    return (first, last.strip()) if first and last.strip() else None


def _without_title_and_suffix(text: str) -> str:
    text = text.strip()
    title = _TITLE.match(text)
    if title and title.end() < len(text):
        text = text[title.end() :]
    for suffix in _SUFFIX.finditer(text):
        if suffix.end() == len(text) and suffix.start() > 0:
            return text[: suffix.start()]
    return text


def _with_letter(name: str) -> str | Refusal:
    return name if any(char.isalpha() for char in name) else Refusal.INVALID_NAME
