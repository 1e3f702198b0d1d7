"""Texts and ids of an event, as they may leave the house: one line, no secret, nobody's e-mail."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tracking_pipeline.identity.placeholders import is_placeholder
from tracking_pipeline.identity.sanitize import (
    hides_secret,
    is_plain_address,
    is_secret_parameter,
    may_be_personal,
    sanitize,
)

# It begins with one set of characters, which is what a search is quick at.
_PERSONAL_IDENTIFIER = re.compile(
    r"[@={\[+%](?:(?<=[@={\[])|(?<=%)40"
    r"|(?:(?<=\+)|(?<=%)2[Bb])(?:\d[\s().-]{0,2}){9,14}\d(?!\d))",
    re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST_TEXT = 2_000
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;?/]{1,100})=([^&#;]*)(?:[&;]|(?=#)|$)")
_PATH_PARAMETER = re.compile(r";([^=&#;?/]{1,100})=([^&#;?/]*)")
_DANGLING = re.compile(r"[?&;]+(?=#)|[?&#;]+\Z")
_USER_INFO = re.compile(r"(?<=://)[^/?#@\s]{1,300}@")
# What a document store writes around an id.
_WRAPPED_ID = ("$oid", "$uuid", "value", "id", "stringValue", "string_value")


def text(value: Any) -> str | None:
    """A value as one line of text without control characters; None for what is no text. A whole
    number is written without a point: a table's ``10024.0`` was ``10024`` on the page."""
    if type(value) is str and len(value) <= _LONGEST_TEXT:
        if value.isascii() and value.isprintable():
            return value.strip() or None
    elif not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if isinstance(value, float):
            if not math.isfinite(value):
                return None
            value = int(value) if value.is_integer() else value
        value = str(value)
    # In ASCII, what is not printable is just the control characters; most texts have neither.
    if not (value.isascii() and value.isprintable()):
        value = _CONTROL.sub("", value)
    return value[:_LONGEST_TEXT].strip() or None


def impersonal_text(value: Any) -> str | None:
    """:func:`text` without what is personal in it: e-mails, phones, a query's ``email=...``."""
    plain = text(value)
    if plain is None or not may_be_personal(plain):
        return plain
    clean = sanitize(plain)
    # The usual case: nothing was removed, and a second reading of the same text changes nothing.
    return plain if clean is plain else text(clean)


def id_text(value: Any) -> str | None:
    """:func:`text` of an id, also of one that a document store has wrapped; None for a placeholder
    and for what is no id."""
    if type(value) is str:
        found = text(value)
        return None if found is None or is_placeholder(found) else found
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = next((value[name] for name in _WRAPPED_ID if name in value), None)
    elif isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, UUID):
        return str(value)
    found = text(value)
    return None if found is None or is_placeholder(found) else found


def identifier_text(value: Any) -> str | None:
    """:func:`id_text` of an order's or an event's id: what the tag on the page sent, or the two
    would be counted as two conversions.

    ``415-555-0123`` is such an id as well as a phone, so digits alone are never judged. Only what
    is surely a person's goes as in :func:`impersonal_text`: an e-mail address, a number in full
    international form (+ and 10 to 15 digits), fields with values.
    """
    plain = id_text(value)
    return impersonal_id(plain) if plain else None


def impersonal_id(plain: str) -> str | None:
    """:func:`identifier_text` of what :func:`id_text` gave."""
    return impersonal_text(plain) if _PERSONAL_IDENTIFIER.search(plain) else plain


def impersonal_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A payload's loose fields without personal data and without secrets.

    A bare ``name`` is left out as well: out of its place nobody can tell a person's from a
    product's.
    """
    clean = sanitize(dict(fields)) if fields else {}
    if not isinstance(clean, dict):
        return {}
    return {
        name: value for name, value in clean.items() if len(name) != 4 or name.lower() != "name"
    }


def page_address(value: Any) -> str | None:
    """The address of a page without personal data and without secrets, in its query or behind
    ``#``; None for what is no whole address."""
    if type(value) is str and is_plain_address(value):
        return value
    return _impersonal_address(value)


def _impersonal_address(value: Any) -> str | None:
    address = text(value)
    if address is None:
        return None
    if address[:4].lower() == "www." and "." in address[4:]:
        address = f"https://{address}"
    if not address[:8].lower().startswith(("http://", "https://")):
        return None
    if "@" in address:
        address = _USER_INFO.sub("", address)
    if "=" in address:
        if ";" in address:
            address = _PATH_PARAMETER.sub(_without_secret, address)
        address = _DANGLING.sub("", _PARAMETER.sub(_without_secret, address))
    if not may_be_personal(address):
        return address
    clean = sanitize(address)
    return address if clean is address else text(clean)


def _without_secret(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    return "" if is_secret_parameter(name) or hides_secret(value) else parameter[0]
