"""The physical lines of a file, numbered, and no longer than memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from tracking_pipeline.importing.totals import Problem

# Events and leads are far below; what is longer is another kind of file, or a quote left open.
LONGEST_LINE_BYTES = 4_000_000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its line end. ``content`` is None for a line over the longest."""

    number: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says about one row: its fields, and the line on which it starts.

    ``cells`` tells a record of a table, whose values are all text. ``size`` is in bytes.
    """

    line: int
    fields: dict[str, Any]
    cells: bool
    size: int


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines from where the file stands, without a byte order mark. Raises OSError."""
    number = 0
    while content := file.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(content) <= LONGEST_LINE_BYTES:
            yield Line(number, content.removeprefix(_BOM) if number == 1 else content)
            continue
        while content and not content.endswith(b"\n"):
            content = file.readline(LONGEST_LINE_BYTES)
        yield Line(number, None)


def too_long(line: int) -> Problem:
    """What is said of a line over the longest."""
    return Problem(line, f"longer than {LONGEST_LINE_BYTES // 1_000_000} MB: split it or leave out")
