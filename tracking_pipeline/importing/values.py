"""One value of a line, read as its column's type; what cannot be is told by the field's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from tracking_pipeline.events.times import read_moment_or_day
from tracking_pipeline.importing.json_records import InvalidJSONError, decode_json
from tracking_pipeline.store.importing import TableColumn

_INTEGER = re.compile(r"([+-]?\d{1,30})(?:\.0+)?")
_INTEGER_BITS = {"int2": 15, "int4": 31, "int8": 63}
_TIMES = ("timestamptz", "timestamp")
_TEXTS = ("text", "varchar", "bpchar", "citext")
_JSONS = ("jsonb", "json")
# The escape of U+0000, but not an escaped backslash before "u0000".
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class FieldError(ValueError):
    """A line cannot become a row. The message names the field and the remedy, not the value."""


def read_value(column: TableColumn, value: Any, *, cell: bool) -> Any:
    """A value that is not blank, as what JSON has for the column's type. A type not known here is
    left to PostgreSQL. ``cell`` tells a table's cell, where JSON is written as text.

    Raises :class:`FieldError`.
    """
    name, kind = column.name, column.kind
    if kind == "uuid":
        return read_uuid(name, value)
    if kind in _INTEGER_BITS:
        return read_integer(name, value, _INTEGER_BITS[kind])
    if kind in _TIMES:
        return _read_moment(name, value)
    if kind in _TEXTS:
        return read_text(name, value)
    if kind in _JSONS:
        return _read_json(name, value, cell=cell)
    return value


def read_uuid(name: str, value: Any) -> str:
    """A uuid in its usual spelling. Raises :class:`FieldError`."""
    try:
        return str(UUID(value.strip()))
    except (AttributeError, ValueError):
        raise FieldError(f"{name} is not a uuid: correct it or leave it out") from None


def read_text(name: str, value: Any) -> str:
    """Text; a number is written out. Raises :class:`FieldError` for an object or a list."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise FieldError(f"{name} is not text: write one value")


def read_integer(name: str, value: Any, bits: int = 31) -> int:
    """A whole number, also one written ``5.0``, as tables with gaps do; ``bits`` without the sign.
    Raises :class:`FieldError`.
    """
    if isinstance(value, str):
        written = _INTEGER.fullmatch(value.strip())
        number = int(written[1]) if written else None
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is None:
        raise FieldError(f"{name} is not a whole number: correct it or leave it out")
    if not -(2**bits) <= number < 2**bits:
        raise FieldError(f"{name} is out of range: the column takes {bits + 1}-bit integers")
    return number


def _read_moment(name: str, value: Any) -> str:
    moment = read_moment_or_day(value)
    if moment is None:
        raise FieldError(f"{name} is not a time: write ISO 8601 or Unix seconds")
    return moment.isoformat()


def _read_json(name: str, value: Any, *, cell: bool) -> Any:
    if not isinstance(value, str):
        return value
    try:
        decoded = decode_json(value)
    except InvalidJSONError as error:
        if cell:
            raise FieldError(f"{name} {error}") from None
        return value
    # In JSON, a text that happens to read as a number is a text.
    return decoded if cell or isinstance(decoded, (dict, list)) else value


def encode_row(row: Mapping[str, Any]) -> bytes:
    """The row as JSON that PostgreSQL can hold. Raises :class:`FieldError` naming the field."""
    encoded = encode_json("the line", row)
    if _holds_nul(encoded):
        for name, value in row.items():
            if _holds_nul(encode_json(name, value)):
                raise FieldError(
                    f"{name} holds a NUL character (U+0000), which PostgreSQL cannot store:"
                    " remove it"
                )
    return encoded


def _holds_nul(encoded: bytes) -> bool:
    # The plain search is a hundred times faster than the pattern, and finds nothing in most rows.
    return b"\\u0000" in encoded and _NUL.search(encoded) is not None


def encode_json(name: str, value: Any) -> bytes:
    """JSON with sorted keys. Raises :class:`FieldError` where ``value`` is nested too deeply."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        raise FieldError(f"{name} is nested too deeply: leave out what nobody reads") from None


def column_finder(columns: Mapping[str, TableColumn]) -> Callable[[str], str | None]:
    """Finds the column that a field's name means, whatever its case and punctuation."""
    by_letters = {letters(name): name for name in columns}
    return lambda name: name if name in columns else by_letters.get(letters(name))


def letters(name: str) -> str:
    """A name without case, spaces and punctuation: ``First Name`` is ``first-name``."""
    return re.sub(r"[\W_]+", "", name).lower()
