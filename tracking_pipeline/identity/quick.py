"""The values that nearly all senders write, read in a tenth of the time.

Each function gives what :func:`~tracking_pipeline.identity.match_value.match_value` gives for a raw
text, or None: "not so simple, take the long way". None is always right, so these only have to be
sure of what they answer; the tests hold the two ways to one answer on every kind of value. Of
refusals they give none but that of an address which is not public: proxies and tests write those.

What many people share (names, places, user agents) is remembered by :class:`Shared`; what is one
person's own is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias
from unicodedata import is_normalized as _is_normalized

from tracking_pipeline.identity.browser import is_fbc, is_fbp
from tracking_pipeline.identity.email import PLAIN_ADDRESS
from tracking_pipeline.identity.ip_address import usual_address
from tracking_pipeline.identity.numbering_plan import international_digits, national_digits
from tracking_pipeline.identity.placeholders import PLACEHOLDERS
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import LETTER_APOSTROPHES, MAX_CHARACTERS
from tracking_pipeline.null_markers import NULL_MARKERS

Quick: TypeAlias = Callable[[str, str], "str | Refusal | None"]

_plain_address = PLAIN_ADDRESS.fullmatch
_LONGEST_EMAIL = 63
_LONGEST_PHONE = 40
_PHONE_PUNCTUATION = b" -()."
_ZIP = re.compile("([0-9]{5})(?:-[0-9]{4})?").fullmatch
_NO_ZIP = "00000"
_AMERICAN = frozenset(("US", "PR"))
_LONGEST_COOKIE = 500
# No placeholder, no digest and no template is a text of this kind.
_SHORTEST_AGENT, _AGENT_BEGINS = 41, "Mozilla/"
_GMAIL = ("@gmail.com", "@googlemail.com")


def email_for_meta(raw: str, country: str) -> str | None:
    address = raw.strip().lower()
    if len(address) > _LONGEST_EMAIL or _plain_address(address) is None:
        return None
    return sha256(address.encode()).hexdigest()


def email_for_google(raw: str, country: str) -> str | None:
    address = raw.strip().lower()
    if len(address) > _LONGEST_EMAIL or _plain_address(address) is None:
        return None
    if address.endswith(_GMAIL):
        return None
    return sha256(address.encode()).hexdigest()


def _phone_digits(raw: str, country: str) -> str | None:
    if len(raw) > _LONGEST_PHONE or raw[-2:] == ".0":
        return None
    if not raw.isascii():
        return None
    plain = raw
    if not plain.isdigit():
        plain = raw.encode().translate(None, _PHONE_PUNCTUATION).decode()
    if plain.isdigit():
        return national_digits(plain, country) if country else None
    if plain[:1] == "+" and plain[1:].isdigit():
        return international_digits(plain[1:])
    return None


def phone_for_meta(raw: str, country: str) -> str | None:
    digits = _phone_digits(raw, country)
    return None if digits is None else sha256(digits.encode()).hexdigest()


def phone_for_google(raw: str, country: str) -> str | None:
    digits = _phone_digits(raw, country)
    return None if digits is None else sha256(b"+%b" % digits.encode()).hexdigest()


def zip_for_meta(raw: str, country: str) -> str | None:
    found = _ZIP(raw) if country in _AMERICAN else None
    if found is None or found[1] == _NO_ZIP:
        return None
    return sha256(found[1].encode()).hexdigest()


def ip_address(raw: str, country: str) -> str | Refusal | None:
    return usual_address(raw)


def browser_id(raw: str, country: str) -> str | None:
    return raw if len(raw) <= _LONGEST_COOKIE and raw.isascii() and is_fbp(raw) else None


def click_id(raw: str, country: str) -> str | None:
    return raw if len(raw) <= _LONGEST_COOKIE and raw.isascii() and is_fbc(raw) else None


def user_agent(raw: str, country: str) -> str | None:
    usual = raw.startswith(_AGENT_BEGINS) and _SHORTEST_AGENT < len(raw) <= MAX_CHARACTERS
    return raw if usual and raw[-1] != " " and raw.isascii() and raw.isprintable() else None


class Shared:
    """Remembers what the long way made of a raw text that many people have. Not of long ones, and
    of so many only; it begins anew when it is full."""

    __slots__ = ("_answers",)
    most = 16_384
    longest = 63

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], str] = {}

    def __call__(self, raw: str, country: str) -> str | None:
        return self._answers.get((raw, country))

    def remember(self, raw: str, country: str, answer: str) -> None:
        if len(raw) <= self.longest:
            if len(self._answers) >= self.most:
                self._answers.clear()
            self._answers[raw, country] = answer


# What a name is made of beside letters; all of it goes, for Meta.
_NO_LETTERS = re.compile("[^a-z0-9]+").sub
_LONGEST_NAME = 31
# The letters of what may be no name: only the long way looks at what stands around them.
_DOUBTFUL = frozenset(_NO_LETTERS("", each.lower()) for each in (*PLACEHOLDERS, *NULL_MARKERS))
_TEMPLATE_BEGINS = frozenset("{$%<[#_")


def _letters_of(name: str) -> str:
    """The letters and digits of a name that has little else in it, empty for any other."""
    for sign in " -'.":
        name = name.replace(sign, "")
    return name if name.isalnum() else ""


def _is_composed(raw: str, name: str) -> bool:
    """Whether both are composed (NFC), and no letter is an apostrophe by another name."""
    return (
        _is_normalized("NFC", raw)
        and _is_normalized("NFC", name)
        and LETTER_APOSTROPHES.isdisjoint(name)
    )


def name_for_meta(raw: str, country: str) -> str | None:
    """Letters with little between them."""
    if len(raw) > _LONGEST_NAME:
        return None
    name = lowered = raw.strip().lower()
    if not lowered.isalpha():
        name = _NO_LETTERS("", lowered) if raw.isascii() else _letters_of(lowered)
        if not name or name.isdigit() or lowered[0] in _TEMPLATE_BEGINS:
            return None
        if not lowered.isprintable():
            return None
    if name in _DOUBTFUL or not (name.isascii() or _is_composed(raw, name)):
        return None
    return sha256(name.encode()).hexdigest()


def name_for_google(raw: str, country: str) -> str | None:
    """Single words of ASCII letters; what has spaces may have a title before it."""
    return name_for_meta(raw, country) if raw.isascii() and raw.strip().isalpha() else None


def zip_for_google(raw: str, country: str) -> str | None:
    return raw if country in _AMERICAN and _ZIP(raw) and raw[:5] != _NO_ZIP else None


class FirstNames(Shared):
    """First names, of which there are few: remembered, wherever they are from."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str, str], str | None]) -> None:
        super().__init__()
        self._read = read

    def __call__(self, raw: str, country: str) -> str | None:
        answer = self._answers.get((raw, ""))
        if answer is None:
            answer = self._read(raw, country)
            if answer is not None:
                self.remember(raw, country, answer)
        return answer

    def remember(self, raw: str, country: str, answer: str) -> None:
        super().remember(raw, "", answer)
