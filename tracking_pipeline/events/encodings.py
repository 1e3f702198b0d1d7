"""Other writings of an object that payloads hold: JSON as text, form bodies, cookies, base64."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import parse_qsl

import orjson

from tracking_pipeline.events.names import TOP, FieldPlace, Kind, meaning_of

_LONGEST_JSON = 2_000_000
_LONGEST_BASE64 = 1_000_000


def may_be_encoded(text: str, place: FieldPlace) -> bool:
    first = text[:1]
    if first in _JSON_BEGINS:
        return True
    return place.named and place.kind in _ENCODING_KINDS and len(text) > 7


_JSON_BEGINS = frozenset('{["' + " \t\r\n")
_ENCODING_KINDS = frozenset((Kind.ENVELOPE, Kind.AROUND))
_COOKIES = frozenset(("cookie", "cookies"))
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}\s*")


def decoded(text: str, place: FieldPlace) -> Any:
    """The object that a text is another writing of; None where it is none."""
    for _ in range(4):
        stripped = text.strip()
        first = stripped[:1]
        if first not in ("{", "[", '"') or len(stripped) > _LONGEST_JSON:
            break
        try:
            found = orjson.loads(stripped)
        except (orjson.JSONDecodeError, RecursionError):
            return _of_lines(stripped)
        if not isinstance(found, str):
            return found
        text = found
    else:
        return None
    if place.named and place.kind in _ENCODING_KINDS:
        return _otherwise_decoded(text.strip(), place)
    return None


def _of_lines(text: str) -> list[Any] | None:
    """The objects of JSON texts that stand one a line, as logs and queues join them."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not 1 < len(lines) <= _MOST_LINES:
        return None
    try:
        return [orjson.loads(line) for line in lines]
    except (orjson.JSONDecodeError, RecursionError):
        return None


_MOST_LINES = 2_000


def object_within(text: str) -> Any:
    """The object that a text of which nothing is known is another writing of, or that stands in it
    behind other words; None where there is none."""
    if " " in text and "{" not in text:  # a sentence
        return None
    found = decoded(text, _ENVELOPE)
    if found is None and (start := text.find("{")) > 0:
        return decoded(text[start : text.rfind("}") + 1], _ENVELOPE)
    return found


SHORTEST_EVENT = 40
_ENVELOPE = meaning_of("payload").place or TOP


def _otherwise_decoded(text: str, place: FieldPlace) -> Any:
    if "=" in text and "\n" not in text and not text.startswith(("http://", "https://")):
        # A cookie's own value may be a query, as OneTrust's is.
        if place.plain in _COOKIES or (";" in text and "&" not in text):
            pairs = [part.partition("=") for part in text.split(";")]
            return {name.strip(): value.strip() for name, by, value in pairs if by}
        if re.match(r"[\w.%\[\]-]{1,80}=", text):
            found: dict[str, Any] = {}
            for name, value in parse_qsl(text[:_LONGEST_JSON], keep_blank_values=True):
                add_pair(found, name, value)
            return found or None
    within = decoded_base64(text)
    if isinstance(within, str):  # each level is a quarter shorter, so there are few of them
        return decoded(within, place)
    return within if isinstance(within, (dict, list)) else None


def decoded_base64(text: str) -> Any:
    """The JSON value that a text is the base64 of; None where it is none."""
    if len(text) > _LONGEST_BASE64 or not _BASE64.fullmatch(text):
        return None
    padded = text.strip().replace("-", "+").replace("_", "/")
    try:
        return orjson.loads(base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def add_pair(pairs: dict[str, Any], name: str, value: Any) -> None:
    """Adds a field to those of a form; one that comes again makes a list."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], (dict, list)):
        value = value[0]
    if name not in pairs:
        pairs[name] = value
    elif isinstance(pairs[name], list):
        pairs[name].append(value)
    else:
        pairs[name] = [pairs[name], value]
