"""A payload without raw personal data: what may be stored and logged.

Fails closed: what cannot be looked into is removed. SHA-256 hashes stay, since they are what a
retry needs; so do country, IP address, user agent, `fbp` and `fbc`, which platforms want as they
are and which enrichment and delivery read from the ledger.
"""

from __future__ import annotations

import json
import re
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from tracking_pipeline.identity.countries import country_code
from tracking_pipeline.identity.field_names import (
    Identifier,
    Place,
    Special,
    meaning_of,
    plain_name,
)
from tracking_pipeline.identity.finder import CONTACT_KEYS, PAIR_NAMES, PAIR_VALUES
from tracking_pipeline.identity.hashing import already_hashed
from tracking_pipeline.identity.phone_in_text import REMOVED, without_phones

_PERSONAL_KEYS = frozenset(["em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "external_id"])
# Personal too, although no match key is made of them.
_STREET_NAMES = frozenset(
    {
        "street", "street1", "street2", "streetaddress", "addressline", "addressline1",
        "addressline2", "address1", "address2", "line1", "line2",
    }
)  # fmt: skip
# Of these only the country stays, and hashes.
_ADDRESS_NAMES = frozenset(
    {
        "address", "addresses", "billingaddress", "shippingaddress", "homeaddress",
        "defaultaddress",
    }
)  # fmt: skip

_PAIR_VALUES = frozenset(PAIR_VALUES)
# How the names of fields end that people write whole sentences in.
_FREE_TEXT_NAMES = (
    "note", "notes", "message", "messages", "comment", "comments", "description", "inquiry",
    "enquiry", "question", "questions", "details", "remark", "remarks", "feedback", "memo",
    "instructions", "freetext", "nachricht", "kommentar", "bemerkung", "mensaje", "comentario",
    "comentarios", "mensagem",
)  # fmt: skip

# One of these is in every text that has anything to remove: the sign of an e-mail address, of an
# assignment, of a number (four digits in a row, a + or groups of two and more), of JSON.
# Each pattern begins with one set of characters, which is what a search is quick at.
_NUMBER = r"\d{3}|\d?\)?[ ./-]{1,2}\d{2,3}[ ./-]{1,2}\d\d"
_SIGN = re.compile(rf"[@%=+{{\[\d](?:(?<!\d)|{_NUMBER})")
_NUMBER_SIGN = re.compile(rf"[+%\d](?:(?<!\d)|{_NUMBER})")
# The repetitions have bounds, so that no text takes more than linear time.
_LONGEST_LOCAL_PART = 64
_AT = re.compile(r"@|%40")
_LOCAL_PART_BEFORE = re.compile(r"[^\s@<>\"'(),;:=&?/\\]+\Z")
# Several signs in a row go together: what is left must not read as an address itself.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:=&?/\\]{1,64}(?:(?:@|%40)[^\s@<>\"'(),;:=&?/\\]{1,255})+")
_ASSIGNMENT = re.compile(r"(?<![A-Za-z0-9_.\-\[\]%+])([A-Za-z0-9_.\-\[\]%+]{1,64})=([^&#;\s\"']+)")

# A JSON document of more levels is an attack, or a mistake; its depths are not kept.
_MAX_DEPTH = 64
_LARGER_THAN_PHONES = 10**15


def sanitize(payload: object) -> object:
    """Give a copy without raw personal data; never raises, changes nothing in `payload`.

    Under an identifier's name, in any spelling and at any depth, only SHA-256 hashes, booleans
    and nulls stay; a field with nothing left is left out, so that nothing can be taken for a
    value. In all other text, e-mail addresses, phone numbers written as such and personal query
    parameters become `[removed]`, and so does any object of a type that JSON does not have
    (dates, times, UUIDs and decimals aside).
    """
    return _sanitized(payload, of_person=False, depth=0)


def _sanitized(value: object, *, of_person: bool, depth: int, free_text: bool = False) -> object:
    if isinstance(value, str):
        return _sanitized_text(value, depth, free_text) if _SIGN.search(value) else value
    if value is None or isinstance(value, (bool, int, float, Decimal, date, time, UUID)):
        return REMOVED if free_text and _is_phone(value) else value
    if depth >= _MAX_DEPTH:
        return REMOVED
    if isinstance(value, dict):
        return _sanitized_mapping(value, of_person=of_person, depth=depth)
    if isinstance(value, (list, tuple)):
        return [
            _sanitized(one, of_person=of_person, depth=depth + 1, free_text=free_text)
            for one in value
        ]
    return REMOVED


def _sanitized_mapping(
    mapping: dict[object, object], *, of_person: bool, depth: int
) -> dict[object, object]:
    names = [_name_of(name) for name in mapping]
    named_person = of_person or True in [name.contact for name in names]
    pair = _names_of_pair(mapping)
    pair_of_person = bool(pair) and any(_is_personal(name, of_person=True) for name in pair)
    pair_of_text = bool(pair) and any(_name_of(name).free_text for name in pair)
    cleaned: dict[object, object] = {}
    for name, (original, value) in zip(names, mapping.items(), strict=True):
        if pair_of_person:
            personal = original not in PAIR_NAMES
        else:
            personal = name.personal or (named_person and name.of_person)
        if personal:
            kept = _hashes_only(value, depth + 1, keep_country=name.address)
        else:
            kept = _sanitized(
                value,
                of_person=of_person or name.place_of_person,
                depth=depth + 1,
                free_text=name.free_text or (pair_of_text and original not in PAIR_NAMES),
            )
        if kept is not _NOTHING:
            cleaned[name.sanitized] = kept
    return cleaned


class _Name(NamedTuple):
    """What a field's name says of its value.

    `contact` makes the mapping it stands in one about a person. `personal`: the value is; where
    the mapping is about a person, also that of one that is `of_person`. `free_text`: it is what
    somebody wrote. `sanitized` is the name without personal data in it.
    """

    contact: bool
    personal: bool
    of_person: bool
    address: bool
    place_of_person: bool
    free_text: bool
    sanitized: object


def _name_of(name: object) -> _Name:
    if isinstance(name, str):
        return _known_name(name) if len(name) <= _LONGEST_KNOWN_NAME else _judged(name)
    return _Name(False, False, False, False, False, False, name)


def _judged(name: str) -> _Name:
    meaning = meaning_of(name)
    return _Name(
        contact=isinstance(meaning, Identifier) and meaning.key in CONTACT_KEYS,
        personal=_is_personal(name, of_person=False),
        of_person=_is_personal(name, of_person=True),
        address=_is_address(name),
        place_of_person=isinstance(meaning, Place) and meaning.of_person,
        free_text=plain_name(name).endswith(_FREE_TEXT_NAMES),
        sanitized=_sanitized_key(name),
    )


# Payloads have the same names again and again. A name that holds personal data itself is forgotten
# with the rest when others come.
_LONGEST_KNOWN_NAME = 64
_known_name = lru_cache(maxsize=4096)(_judged)


def _names_of_pair(mapping: dict[object, object]) -> list[object]:
    """Give the names in a form field that is a pair: `{"name": "email", "value": "..."}`."""
    if _PAIR_VALUES.isdisjoint(mapping):
        return []
    return [mapping[name] for name in PAIR_NAMES if name in mapping]


def _is_personal(name: object, *, of_person: bool) -> bool:
    if not isinstance(name, str):
        return False
    if plain_name(name) in _STREET_NAMES or _is_address(name):
        return True
    meaning = meaning_of(name)
    if isinstance(meaning, Identifier):
        return meaning.key in _PERSONAL_KEYS
    return meaning is Special.FULL_NAME or (of_person and meaning is Special.PERSON_NAME)


_NOTHING = object()


def _hashes_only(value: object, depth: int, *, keep_country: bool = False) -> object:
    """Keep what tells nothing under an identifier's name: hashes, booleans, nulls."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if isinstance(already_hashed(value.strip()), str) else _NOTHING
    if depth >= _MAX_DEPTH:
        return _NOTHING
    if isinstance(value, dict):
        kept = {
            _sanitized_key(name): inner
            if keep_country and _is_country(name, inner)
            else _hashes_only(inner, depth + 1, keep_country=keep_country)
            for name, inner in value.items()
        }
        kept = {name: inner for name, inner in kept.items() if inner is not _NOTHING}
        return kept or _NOTHING
    if isinstance(value, (list, tuple)):
        hashes = [_hashes_only(one, depth + 1, keep_country=keep_country) for one in value]
        return [one for one in hashes if one is not _NOTHING] or _NOTHING
    return _NOTHING


def _is_address(name: object) -> bool:
    return isinstance(name, str) and plain_name(name) in _ADDRESS_NAMES


def _is_country(name: object, value: object) -> bool:
    meaning = meaning_of(name) if isinstance(name, str) else None
    named = isinstance(meaning, Identifier) and meaning.key == "country"
    return named and isinstance(value, str) and country_code(value) is not None


def _is_phone(value: object) -> bool:
    if type(value) is not int or not 0 <= value < _LARGER_THAN_PHONES:
        return False
    return without_phones(str(value), free=True) == REMOVED


def _sanitized_key(name: object) -> object:
    return _sanitized_text(name, _MAX_DEPTH) if isinstance(name, str) else name


def _sanitized_text(text: str, depth: int, free_text: bool = False) -> str:
    """Give a text without what is personal in it; one without a `_SIGN` need not come here."""
    if text.lstrip()[:1] in ("{", "[") and depth < _MAX_DEPTH:
        # JSON inside JSON: its names count as well.
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return json.dumps(_sanitized(decoded, of_person=False, depth=depth + 1))
    if "=" in text:
        text = _ASSIGNMENT.sub(_without_personal_value, text)
    if "@" in text or "%40" in text:
        text = _without_addresses(text)
    return without_phones(text, free=free_text) if _NUMBER_SIGN.search(text) else text


def _without_addresses(text: str) -> str:
    """What `_EMAIL.sub` gives, looking only around each sign instead of at every character, which
    took a second for a megabyte without spaces.

    The match for a sign begins where the characters before it that a local part may have begin,
    at most 64 of them. None begins before an earlier @, which no local part has; a %40 may be part
    of one.
    """
    kept: list[str] = []
    end = earliest = 0
    for sign in _AT.finditer(text):
        if sign.start() < end:
            continue
        window = max(end, earliest, sign.start() - _LONGEST_LOCAL_PART)
        if sign.group() == "@":
            earliest = sign.start()
        local_part = _LOCAL_PART_BEFORE.search(text, window, sign.start())
        match = _EMAIL.match(text, local_part.start()) if local_part else None
        if match:
            kept += (text[end : match.start()], REMOVED)
            end = match.end()
    return "".join((*kept, text[end:]))


def _without_personal_value(match: re.Match[str]) -> str:
    name, value = match.groups()
    meaning = _name_of(name)
    if not meaning.personal:
        return f"{name}={without_phones(value, free=True)}" if meaning.free_text else match.group(0)
    return match.group(0) if isinstance(already_hashed(value), str) else f"{name}={REMOVED}"
