"""How a file is written: by its name where that tells, else by its first character."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tracking_pipeline.importing.json_records import read_json_array, read_json_lines
from tracking_pipeline.importing.lines import Record, read_lines
from tracking_pipeline.importing.totals import ImportFileError, Problem

# One array is read whole; a longer export is better written one object a line.
LARGEST_ARRAY_BYTES = 64_000_000

_JSON_LINES = (".ndjson", ".jsonl")
_TABLES = (".csv", ".tsv")
_BOM = b"\xef\xbb\xbf"
# What is often taken for a text file, by its first bytes.
_OTHER_KINDS = {
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
    b"PK\x03\x04": "is an Excel workbook or a zip archive: save it as CSV (UTF-8)",
    b"\x1f\x8b": "is compressed: unpack it first",
}


@dataclass(frozen=True)
class RecordFile:
    """An open file: its records in order, its size, and how far it has been read (bytes)."""

    records: Iterator[Record | Problem]
    size: int
    _file: BinaryIO

    def position(self) -> int:
        """How many bytes have been read."""
        return self._file.tell()


@contextmanager
def open_records(path: Path) -> Iterator[RecordFile]:
    """The file, open inside the block. Streams, but for one JSON array, which has bounds.

    Raises :class:`ImportFileError`, then or while the records are read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _cannot_read(path, error) from None
    with file:
        size = os.fstat(file.fileno()).st_size
        yield RecordFile(_readable(_records(file, path, size), path), size, file)


LARGEST_STREAM_BYTES = 64_000_000
"""Of what comes by standard input, which is held in memory."""


def read_stream(stream: BinaryIO) -> Iterator[Record | Problem]:
    """The records of what has no name and can be read once: JSON or CSV by its first character.

    Raises :class:`ImportFileError`, then or while the records are read."""
    name = Path("standard input")
    try:
        content = stream.read(LARGEST_STREAM_BYTES + 1)
    except OSError as error:
        raise _cannot_read(name, error) from None
    if len(content) > LARGEST_STREAM_BYTES:
        raise ImportFileError(
            f"{name} holds more than {LARGEST_STREAM_BYTES // 1_000_000} MB: name a file"
        )
    return _records(io.BytesIO(content), name, len(content))


def _readable(records: Iterator[Record | Problem], path: Path) -> Iterator[Record | Problem]:
    try:
        yield from records
    except OSError as error:
        raise _cannot_read(path, error) from None


def _cannot_read(path: Path, error: OSError) -> ImportFileError:
    return ImportFileError(f"cannot read {path.name}: {error.strerror or 'unknown error'}")


def _records(file: BinaryIO, path: Path, size: int) -> Iterator[Record | Problem]:
    beginning = file.read(65_536)
    file.seek(0)
    for magic, remedy in _OTHER_KINDS.items():
        if beginning.startswith(magic):
            raise ImportFileError(f"{path.name} {remedy}")
    suffix = path.suffix.lower()
    first = beginning.removeprefix(_BOM).lstrip()[:1]
    if suffix in _TABLES or (suffix not in (*_JSON_LINES, ".json") and first not in (b"{", b"[")):
        # pandas takes longer to load than any other command takes to run.
        from tracking_pipeline.importing.csv_records import read_csv_records  # noqa: PLC0415

        yield from read_csv_records(read_lines(file))
    elif suffix not in _JSON_LINES and first == b"[":
        if size > LARGEST_ARRAY_BYTES:
            raise ImportFileError(
                f"{path.name} is one JSON array of more than"
                f" {LARGEST_ARRAY_BYTES // 1_000_000} MB: write one object a line"
            )
        yield from read_json_array(file.read())
    else:
        yield from read_json_lines(read_lines(file))
