"""Meta's privacy options, wherever and however a payload writes them.

https://developers.facebook.com/docs/marketing-apis/data-processing-options

An option says how the person's data may be used, so none is dropped: where it cannot be read, the
event is not sent. Of two statements, the stricter counts.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from tracking_pipeline.events.reading import Reading

_TRUE = frozenset(("true", "yes", "y", "1", "on", "t", "1.0"))
_FALSE = frozenset(("false", "no", "n", "0", "off", "f", "none", "0.0"))
_NOTHING = frozenset(("", "null", "undefined"))


class UnreadableOptionError(ValueError):
    """An option is there and cannot be read. The message is the reason, with where it stands."""


def read_privacy_options(reading: Reading) -> dict[str, Any]:
    """The options in Meta's types. Raises :class:`UnreadableOptionError`."""
    options: dict[str, Any] = {}
    for name, found in reading.privacy:
        value = _READERS[name](found.value)
        if value is _UNREADABLE:
            raise UnreadableOptionError(f"unreadable {found.path}")
        if value is None:
            continue
        known = options.get(name)
        if known is None or (not known and value):
            options[name] = value
    return options


class _Unreadable:
    """Not to be understood."""


_UNREADABLE = _Unreadable()


def _flag(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value == 1 if value in (0, 1) else _UNREADABLE
    if isinstance(value, list) and len(value) == 1:
        return _flag(value[0])
    if not isinstance(value, str):
        return _UNREADABLE
    word = value.strip().lower()
    if word in _NOTHING:
        return None
    return True if word in _TRUE else False if word in _FALSE else _UNREADABLE


def _choices(value: Any) -> Any:
    """A list of words, as a list, as its JSON text or as one word."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.lower() in _NOTHING:
            return None
        if stripped[:1] in ("[", '"'):
            try:
                decoded = orjson.loads(stripped)
            except orjson.JSONDecodeError:
                return _UNREADABLE
            return _choices(decoded)
        value = stripped.split(",")
    if isinstance(value, bool):
        return _UNREADABLE if value else []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return _UNREADABLE
    words = [each.strip().upper() for each in value if each.strip()]
    return words if all(word.isalpha() and len(word) < 20 for word in words) else _UNREADABLE


def _code(value: Any) -> Any:
    if isinstance(value, bool):
        return _UNREADABLE
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.lower() in _NOTHING:
            return None
        stripped = stripped.removesuffix(".0")
        value = int(stripped) if _CODE.fullmatch(stripped) else _UNREADABLE
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 10**9 else _UNREADABLE


_CODE = re.compile(r"\d{1,9}", re.ASCII)

_READERS = {
    "opt_out": _flag,
    "data_processing_options": _choices,
    "data_processing_options_country": _code,
    "data_processing_options_state": _code,
}
