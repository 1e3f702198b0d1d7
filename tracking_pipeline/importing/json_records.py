"""Records from JSON: one object a line, one array of objects, or objects over many lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from tracking_pipeline.importing.records import (
    LONGEST_LINE_BYTES,
    PROBLEM_FIELD,
    FileLine,
    ImportFileError,
    Problem,
    Record,
    too_long,
)

_NOT_UTF8 = "not UTF-8 text: save the file as UTF-8"
# orjson reads a longer integer as a float, and an id would become another id.
_LARGEST_INTEGER = 2**64 - 1
_MANY_DIGITS = re.compile("[0-9]{20}")
_SPACE = re.compile(r"[ \t\r\n]*")
_BROKEN = "the JSON is broken here, the rest was not read: correct it"
# `{"data": {"leads": [...]}}` is as deep as anybody puts the list of what was asked for.
_MOST_WRAPPERS = 3


def _unread(_: str) -> None:
    return None


# Only finds where an element ends; orjson reads it then, so that both forms of a file mean the same
# (and no number of a million digits is turned into an integer).
_ELEMENTS = json.JSONDecoder(parse_float=_unread, parse_int=_unread, parse_constant=_unread)
# Of what only wraps a list, no number is stored.
_WHOLE = json.JSONDecoder(parse_int=float)


IsRow: TypeAlias = Callable[[Mapping[str, Any], "str | None"], bool]
"""Whether an object is a row; where the name of a list of objects in it is given, whether it is one
itself and the objects in the list are not."""


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


def read_json_lines(lines: Iterable[FileLine]) -> Iterator[Record | Problem]:
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
            yield Problem(line.number, _NOT_UTF8, line.content)
            continue
        yield _read_object(text, line.number)


def begins_over_lines(content: bytes) -> bool:
    """Whether JSON text begins with one whole value that is written over several lines."""
    text = content.decode("utf-8-sig", "surrogateescape")
    start = _after_space(text, 0)
    end = _end_of_value(text, start)
    return end is not None and "\n" in text[start:end]


def read_json_array(content: bytes) -> Iterator[Record | Problem]:
    """One record for each object of the array that ``content`` is, with the line it starts on.

    Where the array itself is broken, what stands before is good and the rest is one problem.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    yield from _elements(text, text.index("["))


def read_json_documents(content: bytes, is_row: IsRow) -> Iterator[Record | Problem]:
    """One record for each object of those that stand one after the other. Of a single one that is
    no row itself, but holds one list of objects, the objects in the list are the records.

    Raises :class:`ImportFileError` where a single object is neither."""
    text = content.decode("utf-8-sig", "surrogateescape")
    position = _after_space(text, 0)
    end = _end_of_value(text, position)
    if end is not None and _after_space(text, end) == len(text):
        listed = _listed(text, position, is_row)
        if listed is not None:
            yield from _elements(text, listed)
            return
        only = _members(text, position)
        if only and not is_row({name: value for name, (value, _) in only.items()}, None):
            raise ImportFileError(
                "no field is known of the one object in the file: write one object a line, or an"
                " array of objects"
            )
    lines = _Lines(text)
    while position < len(text):
        end = _end_of_value(text, position)
        if end is None:
            yield Problem(lines.number_of(position), _BROKEN)
            return
        yield _read_object(text[position:end], lines.number_of(position))
        position = _after_space(text, end)


class _Lines:
    """Counts the lines of a text up to positions that only grow."""

    def __init__(self, text: str) -> None:
        self._text, self._line, self._counted = text, 1, 0

    def number_of(self, position: int) -> int:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return self._line


def _after_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]


def _end_of_value(text: str, position: int) -> int | None:
    try:
        return _ELEMENTS.raw_decode(text, position)[1]
    except (ValueError, RecursionError):
        return None


def _elements(text: str, opening: int) -> Iterator[Record | Problem]:
    """The records of the array that is opened there."""
    lines = _Lines(text)
    position = _after_space(text, opening + 1)
    while not text.startswith("]", position):
        line = lines.number_of(position)
        end = _end_of_value(text, position)
        if end is None:
            yield Problem(line, _BROKEN)
            return
        yield _read_object(text[position:end], line)
        position = _after_space(text, end)
        if text.startswith(",", position):
            position = _after_space(text, position + 1)
        elif not text.startswith("]", position):
            yield Problem(lines.number_of(position), _BROKEN)
            return


def _listed(text: str, opening: int, is_row: IsRow) -> int | None:
    """Where the one list of objects is opened that the object there only wraps."""
    for _ in range(_MOST_WRAPPERS):
        members = _members(text, opening)
        fields = {name: value for name, (value, _) in members.items()}
        lists = [
            name
            for name, value in fields.items()
            if isinstance(value, list) and all(isinstance(one, dict) for one in value)
        ]
        full = [name for name in lists if fields[name]] or lists
        objects = [name for name, value in fields.items() if isinstance(value, dict)]
        (name,) = full if len(full) == 1 else objects if len(objects) == 1 and not full else ("",)
        if not name or is_row(fields, name):
            return None
        opening = members[name][1]
        if full:
            return opening
    return None


def _members(text: str, opening: int) -> dict[str, tuple[Any, int]]:
    """The members of the object that is opened there, which is whole, with where each begins."""
    members: dict[str, tuple[Any, int]] = {}
    if not text.startswith("{", opening):
        return members
    position = _after_space(text, opening + 1)
    while not text.startswith("}", position):
        name, end = _ELEMENTS.raw_decode(text, position)
        # Behind the colon.
        start = _after_space(text, _after_space(text, end) + 1)
        value, end = _WHOLE.raw_decode(text, start)
        members[name] = (value, start)
        position = _after_space(text, end)
        position = _after_space(text, position + text.startswith(",", position))
    return members


def _read_object(text: str, line: int) -> Record | Problem:
    if len(text) > LONGEST_LINE_BYTES:
        return too_long(line)
    try:
        value = decode_json(text)
    except InvalidJSONError as error:
        raw = text.encode("utf-8", "surrogateescape")
        if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
            return Problem(line, _NOT_UTF8, raw)
        return Problem(line, f"the line {error}", raw)
    raw = text.encode()
    if not isinstance(value, dict):
        return Problem(line, "not a JSON object: write one object a line", raw)
    value.pop(PROBLEM_FIELD, None)
    return Record(line, value, cells=False, size=len(raw), raw=raw)
