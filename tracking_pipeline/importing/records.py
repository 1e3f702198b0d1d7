"""What a file is read as: its physical lines, the records in them, and what is wrong with which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, TypeAlias

from tracking_pipeline.errors import ExplainedError

# Events and leads are far below; what is longer is another kind of file, or a quote left open.
LONGEST_LINE_BYTES = 4_000_000
BOM = b"\xef\xbb\xbf"
PROBLEM_FIELD = "import_problem"
"""The column, or key, in which a file of refused rows says why. An import does not read it."""

Into: TypeAlias = Literal["failed-events", "leads", "ledger"]
"""What the rows of a file are. The command line knows it, and loads nothing for it."""

_PLACE = re.compile(r" \(character \d+\)")


class ImportFileError(ExplainedError):
    """The file cannot be read as NDJSON or CSV at all. One line, with the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one line was not imported. ``line`` counts from 1 and is where the record starts in the
    file; ``message`` names the field and the remedy, never the value. ``raw`` is the record as it
    is written, or empty where it is not to be had.
    """

    line: int
    message: str
    raw: bytes = field(default=b"", compare=False, repr=False)

    @property
    def reason(self) -> str:
        """What the problems of many lines have in common: the message without its remedy."""
        return _PLACE.sub("", self.message.partition(": ")[0])

    def as_json(self) -> dict[str, Any]:
        """What may be told: the record itself may be personal."""
        return {"line": self.line, "message": self.message}


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line with its line end. ``content`` is None for a line over the longest."""

    number: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says about one row: its fields, and the line on which it starts.

    ``cells`` tells a record of a table, whose values are all text. ``size`` is in bytes; ``raw`` is
    the record as it is written.
    """

    line: int
    fields: dict[str, Any]
    cells: bool
    size: int
    raw: bytes = field(default=b"", compare=False, repr=False)


def read_lines(file: BinaryIO) -> Iterator[FileLine]:
    """The lines from where the file stands, without a byte order mark. Raises OSError."""
    number = 0
    while content := file.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(content) <= LONGEST_LINE_BYTES:
            yield FileLine(number, content.removeprefix(BOM) if number == 1 else content)
            continue
        while content and not content.endswith(b"\n"):
            content = file.readline(LONGEST_LINE_BYTES)
        yield FileLine(number, None)


def too_long(line: int) -> Problem:
    """What is said of a line over the longest."""
    return Problem(line, f"longer than {LONGEST_LINE_BYTES // 1_000_000} MB: split it or leave out")
