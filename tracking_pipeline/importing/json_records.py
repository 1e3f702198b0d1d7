"""Records from JSON: one object a line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from tracking_pipeline.importing.lines import LONGEST_LINE_BYTES, Line, Record, too_long
from tracking_pipeline.importing.totals import Problem

_NOT_UTF8 = "not UTF-8 text: save the file as UTF-8"
# orjson reads a longer integer as a float, and an id would become another id.
_LARGEST_INTEGER = 2**64 - 1
_MANY_DIGITS = re.compile("[0-9]{20}")
_SPACE = re.compile(r"[ \t\r\n]*")


def _unread(_: str) -> None:
    return None


# Only finds where an element ends; orjson reads it then, so that both forms of a file mean the same
# (and no number of a million digits is turned into an integer).
_ELEMENTS = json.JSONDecoder(parse_float=_unread, parse_int=_unread, parse_constant=_unread)


class InvalidJSONError(ValueError):
    """A text is not JSON that PostgreSQL could hold. The message says why and what to do."""


def decode_json(written: str) -> Any:
    """The value of a JSON text. Raises :class:`InvalidJSONError`, which quotes nothing of it."""
    try:
        value = orjson.loads(written)
    except orjson.JSONDecodeError as error:
        if "surrogate" in error.msg and "UTF-8" not in error.msg:
            raise InvalidJSONError(
                "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character:"
                " remove it"
            ) from None
        raise InvalidJSONError(
            f"is not valid JSON (character {error.pos + 1}): correct it"
        ) from None
    if _MANY_DIGITS.search(written):
        _refuse_large_integers(written)
    return value


def _refuse_large_integers(written: str) -> None:
    try:
        json.loads(written, parse_int=_refuse_large_integer)
    except RecursionError:
        raise InvalidJSONError("is nested too deeply: leave out what nobody reads") from None


def _refuse_large_integer(digits: str) -> None:
    if len(digits) > 21 or abs(int(digits)) > _LARGEST_INTEGER:
        raise InvalidJSONError("holds an integer of more than 64 bits: write it as text")


def read_json_lines(lines: Iterable[Line]) -> Iterator[Record | Problem]:
    """One record for each line that is not blank; a line that is no object is a problem."""
    for line in lines:
        if line.content is None:
            yield too_long(line.number)
            continue
        if not line.content.strip():
            continue
        try:
            text = line.content.decode()
        except UnicodeDecodeError:
            yield Problem(line.number, _NOT_UTF8)
            continue
        yield _read_object(text, line.number)


def read_json_array(content: bytes) -> Iterator[Record | Problem]:
    """One record for each object of the array that ``content`` is, with the line it starts on.

    Where the array itself is broken, what stands before is good and the rest is one problem.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    line, counted = 1, 0
    position = _SPACE.match(text, text.index("[") + 1).end()  # type: ignore[union-attr]
    while not text.startswith("]", position):
        line += text.count("\n", counted, position)
        counted = position
        try:
            _, end = _ELEMENTS.raw_decode(text, position)
        except (ValueError, RecursionError):
            yield Problem(line, "the array is broken here, the rest was not read: correct the JSON")
            return
        yield _read_object(text[position:end], line)
        position = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text.startswith(",", position):
            position = _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
        elif not text.startswith("]", position):
            line += text.count("\n", counted, position)
            yield Problem(line, "the array is broken here, the rest was not read: correct the JSON")
            return


def _read_object(text: str, line: int) -> Record | Problem:
    if len(text) > LONGEST_LINE_BYTES:
        return too_long(line)
    try:
        value = decode_json(text)
    except InvalidJSONError as error:
        if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
            return Problem(line, _NOT_UTF8)
        return Problem(line, f"the line {error}")
    if not isinstance(value, dict):
        return Problem(line, "not a JSON object: write one object a line")
    return Record(line, value, cells=False, size=len(text))
