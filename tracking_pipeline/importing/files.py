"""How a file is written: found out by its first bytes, and by its name where those do not tell.

What is no text of records is refused with what it looks like. Text in UTF-16 or with the line ends
of old Macs, and what can be read only once (a pipe), is copied to a temporary file, in UTF-8.
"""

from __future__ import annotations

import codecs
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from tracking_pipeline.importing.csv_records import CsvFile, Header
from tracking_pipeline.importing.json_records import (
    IsRow,
    begins_over_lines,
    read_json_array,
    read_json_documents,
    read_json_lines,
)
from tracking_pipeline.importing.records import (
    BOM,
    ImportFileError,
    Problem,
    Record,
    read_lines,
)

# One array is read whole; a longer export is better written one object a line.
LARGEST_ARRAY_BYTES = 64_000_000
_HELD_IN_MEMORY = 8_000_000
_CHUNK = 1 << 20
_BEGINNING = 65_536

_JSON_LINES = (".ndjson", ".jsonl")
_JSON_SUFFIXES = (*_JSON_LINES, ".json")
_LINES_LOOKED_AT = 1_000
_TABLES = (".csv", ".tsv")
_SAVE_AS_CSV = "save it as CSV (UTF-8)"
# What is often taken for a file of rows, by its first bytes.
_OTHER_KINDS = {
    b"PK\x03\x04": f"an Excel workbook or a zip archive: unpack it or {_SAVE_AS_CSV}",
    b"PK\x05\x06": "an empty zip archive: name the file that was to be in it",
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook (.xls) or Office file: {_SAVE_AS_CSV}",
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"BZh": "compressed (bzip2): unpack it first",
    b"\xfd7zXZ": "compressed (xz): unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): unpack it first",
    b"7z\xbc\xaf": "compressed (7z): unpack it first",
    b"Rar!": "compressed (rar): unpack it first",
    b"%PDF": f"a PDF: {_SAVE_AS_CSV}",
    b"{\\rtf": f"a document of a word processor (RTF): {_SAVE_AS_CSV}",
    b"PAR1": f"a Parquet file: {_SAVE_AS_CSV}",
    b"Obj\x01": f"an Avro file: {_SAVE_AS_CSV}",
    b"SQLite format 3": f"an SQLite database: {_SAVE_AS_CSV}",
    b"PGDMP": f"a dump of PostgreSQL: restore it, then {_SAVE_AS_CSV}",
    b"PGCOPY": "a binary COPY of PostgreSQL: export it with the format csv",
    b"\x89PNG": f"a picture: {_SAVE_AS_CSV}",
    b"\xff\xd8\xff": f"a picture: {_SAVE_AS_CSV}",
}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HTML = re.compile(rb"<(?:!doctype html|html|head|body|table|meta|div|script|!--)", re.IGNORECASE)
_SQL = re.compile(
    rb"(?:--[^\n]*|/\*.*?\*/|\s+)*(?:insert\s+into|create\s+table|copy\s+\S+\s*\(|set\s+\w+\s*=|begin;)",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile(rb"[\x00\x02-\x08\x0e-\x1a]")
_OUTSIDE_QUOTES = re.compile(rb'"(?:[^"]|"")*"|(\r\n|\n|\r)')


@dataclass(frozen=True)
class RecordFile:
    """An open file of records, its size, and how far it has been read (bytes). ``header``: of a
    table; None for JSON."""

    records: Iterator[Record | Problem]
    size: int
    header: Header | None
    has_mark: bool
    _file: BinaryIO

    def position(self) -> int:
        """How many bytes have been read."""
        return self._file.tell()


def _is_any_row(_fields: Mapping[str, Any], listed: str | None) -> bool:
    return listed is None


@contextmanager
def open_records(
    source: Path | BinaryIO,
    *,
    knows: Callable[[str], bool] | None = None,
    is_row: IsRow = _is_any_row,
) -> Iterator[RecordFile]:
    """The file, open inside the block; an open stream is standard input. Streams, but for JSON that
    is not one object a line, which has bounds.

    ``knows`` tells the names of columns that are looked for, ``is_row`` whether the only object of
    a file is a row; where the name of a list of objects in it is given, whether it is one itself.
    Raises :class:`ImportFileError`, then or while the records are read.
    """
    name = source.name if isinstance(source, Path) else "standard input"
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            file = stack.enter_context(_in_utf8(stack.enter_context(_seekable(stream)), name))
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(0)
            has_mark = file.read(len(BOM)) == BOM
            file.seek(0)
            records, header = _records(file, name, size, knows, is_row)
        except OSError as error:
            raise _cannot_read(name, error) from None
        yield RecordFile(_readable(records, name), size, header, has_mark, file)


def _readable(records: Iterator[Record | Problem], name: str) -> Iterator[Record | Problem]:
    try:
        yield from records
    except OSError as error:
        raise _cannot_read(name, error) from None


def _cannot_read(name: str, error: OSError) -> ImportFileError:
    return ImportFileError(f"cannot read {name}: {error.strerror or 'unknown error'}")


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream at its beginning; a copy of what can be read only once."""
    if stream.seekable():
        stream.seek(0)
        yield stream
        return
    with _temporary() as copy:
        shutil.copyfileobj(stream, copy, _CHUNK)
        copy.seek(0)
        yield copy


def _temporary() -> BinaryIO:
    # It has no name, so that nothing of it is left.
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(_HELD_IN_MEMORY))


@contextmanager
def _in_utf8(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    beginning = file.read(_BEGINNING)
    file.seek(0)
    _refuse_other_kinds(beginning, name)
    encoding = _encoding(beginning)
    if encoding is None and _has_old_line_ends(beginning):
        encoding = "utf-8-sig"
    if encoding is None:
        yield file
        return
    with _temporary() as copy:
        _copy_as_utf8(file, copy, encoding, name)
        copy.seek(0)
        # Of UTF-16 only now is there something to be seen.
        _refuse_other_kinds(copy.read(_BEGINNING), name)
        copy.seek(0)
        yield copy


def _copy_as_utf8(file: BinaryIO, copy: BinaryIO, encoding: str, name: str) -> None:
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    kept, old_line_ends = "", None
    try:
        while chunk := file.read(_CHUNK):
            text = kept + decoder.decode(chunk)
            # A carriage return at the end may be the half of a line end.
            kept = "\r" if text.endswith("\r") else ""
            text = text[: len(text) - len(kept)]
            if old_line_ends is None:
                old_line_ends = _has_old_line_ends(text.encode(errors="replace"))
            copy.write(_converted(text, old_line_ends, errors))
        copy.write(_converted(kept + decoder.decode(b"", final=True), bool(old_line_ends), errors))
    except UnicodeError:
        raise ImportFileError(
            f"{name} begins as {encoding.upper()} text and does not go on so: save it as UTF-8"
        ) from None


def _converted(text: str, old_line_ends: bool, errors: str) -> bytes:
    if old_line_ends:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", errors)


def _encoding(beginning: bytes) -> str | None:
    """The encoding of UTF-16 and UTF-32, also without a mark; None for any other text."""
    for mark, encoding in _MARKS.items():
        if beginning.startswith(mark):
            return encoding
    sample = beginning[:4_096]
    half = len(sample) // 2
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[first::2].count(0), sample[1 - first :: 2].count(0)
        # Most of what stands in an export's first lines is ASCII, whatever the language.
        if half > 1 and zeros > half * 0.6 and not others:
            return encoding
    return None


def _has_old_line_ends(beginning: bytes) -> bool:
    """Whether the first line outside of quotes ends in a lone carriage return."""
    for found in _OUTSIDE_QUOTES.finditer(beginning):
        if found[1] is not None:
            at_the_edge = found.end() == len(beginning) == _BEGINNING
            return found[1] == b"\r" and not at_the_edge
    return False


def _refuse_other_kinds(beginning: bytes, name: str) -> None:
    for magic, looks_like in _OTHER_KINDS.items():
        if beginning.startswith(magic):
            raise ImportFileError(f"{name} is {looks_like}")
    if _encoding(beginning) is not None:
        return
    text = beginning.removeprefix(BOM).lstrip()
    if text.startswith(b"<"):
        kind = "a web page (HTML)" if _HTML.match(text) or b"<html" in text.lower() else "XML"
        raise ImportFileError(f"{name} is {kind} and no table: {_SAVE_AS_CSV} or NDJSON")
    if _SQL.match(text):
        raise ImportFileError(f"{name} is SQL: run it with psql, or {_SAVE_AS_CSV}")
    if _CONTROL.search(beginning.partition(b"\n")[0]):
        raise ImportFileError(f"{name} is no text (a control character is in it): {_SAVE_AS_CSV}")


def _records(
    file: BinaryIO,
    name: str,
    size: int,
    knows: Callable[[str], bool] | None,
    is_row: IsRow,
) -> tuple[Iterator[Record | Problem], Header | None]:
    beginning = file.read(_BEGINNING)
    file.seek(0)
    text = beginning.removeprefix(BOM).lstrip()
    suffix = Path(name).suffix.lower()
    is_json = text[:1] in (b"{", b"[")
    if suffix in _TABLES:
        is_json = is_json and _begins_as_json(text)
    elif suffix in _JSON_SUFFIXES and not is_json and text:
        if not any(line.lstrip().startswith((b"{", b"[")) for line in text.split(b"\n")):
            raise ImportFileError(
                f"{name} is no JSON, which begins with {{ or [: if it is a table, name it .csv"
            )
        is_json = True
    if not is_json and not (suffix in _JSON_SUFFIXES and not text):
        table = CsvFile(read_lines(file), knows)
        return table.records(), table.header
    is_lines = suffix in _JSON_LINES
    if text.startswith(b"[") and not (is_lines and re.match(rb"\[\s*\{", text) is None):
        return read_json_array(_whole(file, name, size)), None
    if not text or _is_one_object_a_line(file, size, is_lines):
        file.seek(0)
        return read_json_lines(read_lines(file)), None
    file.seek(0)
    # A file that is named as lines has rows of whatever fields.
    known = (
        (lambda fields, listed: listed is None or is_row(fields, listed)) if is_lines else is_row
    )
    return read_json_documents(_whole(file, name, size), known), None


def _begins_as_json(text: bytes) -> bool:
    first = text.partition(b"\n")[0].strip()
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return re.match(rb'[\[{]\s*(?:[\]}{\["]|$)', text) is not None
    return True


def _is_one_object_a_line(file: BinaryIO, size: int, is_lines: bool) -> bool:
    """Whether JSON is written one object a line, rather than in objects over many lines or in one
    that may be no row but wrap them. Of broken JSON: as far as one can see."""
    lines = (line.content for line in read_lines(file))
    written = (line for line in lines if line is None or line.strip())
    first = next(written, None)
    if first is None:
        # Too long, or there is no line at all.
        return True
    if _is_object(first):
        return any(True for _ in written)
    if size <= LARGEST_ARRAY_BYTES:
        file.seek(0)
        if begins_over_lines(file.read()):
            return False
        file.seek(0)
    if any(line is not None and _is_object(line) for line in islice(written, _LINES_LOOKED_AT)):
        return True
    return is_lines or not first.rstrip().endswith((b"{", b"[", b","))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _whole(file: BinaryIO, name: str, size: int) -> bytes:
    if size > LARGEST_ARRAY_BYTES:
        raise ImportFileError(
            f"{name} is JSON of more than {LARGEST_ARRAY_BYTES // 1_000_000} MB in one piece:"
            " write one object a line"
        )
    return file.read()
