"""The refused records of a file in a file of their own, to be corrected and imported again.

It is written as the input is, a table or one object a line, with what is wrong with each record in
a first column, or key, that an import does not read. The records stand as they were: also what
could not be read is there to be mended.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson

from tracking_pipeline.importing.csv_records import Header
from tracking_pipeline.importing.records import BOM, PROBLEM_FIELD, ImportFileError, Problem


class Rejects:
    """Writes refused records. ``header``: of the table they are from; None for JSON."""

    def __init__(self, file: BinaryIO, header: Header | None) -> None:
        self._file, self._header = file, header
        if header is not None:
            delimiter = re.escape(header.delimiter.encode())
            self._first_cell = re.compile(rb'\A(?:"(?:[^"]|"")*"|[^"]*?)' + delimiter)

    def write(self, problems: Iterable[Problem]) -> None:
        """Writes each record that is to be had, with its problem."""
        for problem in problems:
            if problem.raw.strip():
                self._file.write(self._marked(problem.raw, problem.message))

    def write_header(self) -> None:
        """Writes the header with the column of problems in front."""
        if self._header is not None:
            self._file.write(self._marked(self._header.raw, PROBLEM_FIELD))

    def _marked(self, raw: bytes, message: str) -> bytes:
        if self._header is None:
            return _with_key(raw, message) + b"\n"
        if self._header.of_rejects:
            # What was wrong the last time.
            raw = self._first_cell.sub(b"", raw, count=1)
        cell = io.StringIO()
        csv.writer(cell, delimiter=self._header.delimiter, lineterminator="").writerow((message,))
        return f"{cell.getvalue()}{self._header.delimiter}".encode() + raw.rstrip(b"\r\n") + b"\n"


def _with_key(raw: bytes, message: str) -> bytes:
    """An object with its problem, on one line; what is no object as it stands."""
    record = raw.strip()
    if not record.startswith(b"{"):
        return b" ".join(record.splitlines())
    key = orjson.dumps({PROBLEM_FIELD: message})[:-1]
    try:
        whole = orjson.loads(record)
    except orjson.JSONDecodeError:
        return key + b"," + b" ".join(record[1:].splitlines())
    whole.pop(PROBLEM_FIELD, None)
    return key + b"," + orjson.dumps(whole)[1:] if whole else key + b"}"


@contextmanager
def open_rejects(path: Path, header: Header | None, *, has_mark: bool) -> Iterator[Rejects]:
    """The file of refused records, which only its owner may read; it is there, whole, when the
    block ends, and what stood there before stays where the block fails. ``has_mark``: it begins
    with a byte order mark. Raises :class:`ImportFileError` where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        file = os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        with file:
            file.write(BOM if has_mark else b"")
            rejects = Rejects(file, header)
            rejects.write_header()
            yield rejects
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> ImportFileError:
    return ImportFileError(f"cannot write {path.name}: {error.strerror or 'unknown error'}")
