"""Records from a table in a text file: CSV with commas, semicolons, tabs, or what else tools take.

A quoted cell may go over many lines. A quote that is never closed would swallow all that follows:
its line alone is a problem, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracking_pipeline.importing.records import (
    LONGEST_LINE_BYTES,
    PROBLEM_FIELD,
    FileLine,
    ImportFileError,
    Problem,
    Record,
    too_long,
)

csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE_BYTES))

# The first three are tried where no column is known, too.
_DELIMITERS = (",", ";", "\t", "|", "\x1f", "\x01", "^", "~")
_USUAL = _DELIMITERS[:3]
_MOST_COLUMNS = 1_000
# A report's title, its filters and a blank line stand above its header.
_MOST_LINES_ABOVE = 20
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t]*\s*', re.IGNORECASE | re.DOTALL)
# What is drawn below a header: `-----+-----`, `|---|---|`, `+-----+`.
_DRAWN = re.compile(r"[\s\-+|:=\u2500-\u257f]*(?:-{2}|={2}|\u2500|\u2550)[\s\-+|:=\u2500-\u257f]*")
_DRAWN_EDGE = ("+-", "┌", "╔", "╭", "-[ RECORD", "─[ RECORD", "*****")
_ADDRESS = re.compile(r"[^\s@]@[^\s@]+\.\w")


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table by name; empty where a column is not read. ``raw`` as written.
    ``of_rejects``: the first column tells what was wrong with rows that were refused before."""

    names: tuple[str, ...]
    delimiter: str
    raw: bytes = b""
    of_rejects: bool = False


class _Source:
    """The lines of the file as text, of which some may be put back to be read again.

    ``pulled`` are those of the record in hand; ``broke_off`` tells that they ended inside of it.
    """

    def __init__(self, lines: Iterator[FileLine]) -> None:
        self._lines = lines
        self._again: deque[FileLine] = deque()
        self.pulled: list[FileLine] = []
        self.size = 0
        self.broke_off = False

    def next(self) -> FileLine | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def put_back(self, *lines: FileLine) -> None:
        self._again.extendleft(reversed(lines))

    def peek(self) -> str:
        """The next line that is not blank; empty at the end."""
        lines: list[FileLine] = []
        while (line := self.next()) is not None:
            lines.append(line)
            if line.content is None or line.content.strip():
                break
        self.put_back(*lines)
        return (lines[-1].content or b"").decode("utf-8", "replace") if lines else ""

    def begin(self) -> None:
        """Begins a record."""
        self.pulled, self.size, self.broke_off = [], 0, False

    def __iter__(self) -> Iterator[str]:
        while True:
            line = self.next()
            if line is None or line.content is None or self.size > LONGEST_LINE_BYTES:
                self.broke_off = bool(self.pulled)
                if line is not None:
                    self.put_back(line)
                return
            self.pulled.append(line)
            self.size += len(line.content)
            yield line.content.decode("utf-8", "surrogateescape")

    @property
    def raw(self) -> bytes:
        return b"".join(line.content or b"" for line in self.pulled)


class CsvFile:
    """A table: its header, then its records.

    ``knows`` tells the columns that are looked for; without it the first line that is not blank is
    the header.
    """

    def __init__(
        self, lines: Iterator[FileLine], knows: Callable[[str], bool] | None = None
    ) -> None:
        """Reads the header. Raises :class:`ImportFileError` where none can be read or no column of
        it is known."""
        self._source = _Source(lines)
        self.header = _read_header(self._source, knows)

    def records(self) -> Iterator[Record | Problem]:
        """One record for each row below the header that is not blank. Its cells are text, empty
        ones too."""
        source, header = self._source, self.header
        if header is None:
            return
        rows = _rows(source, header)
        while True:
            source.begin()
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield _problem(source, _what_is_wrong(error))
                source.put_back(*source.pulled[1:])
                rows = _rows(source, header)
                continue
            if source.broke_off:
                first, *others = source.pulled
                raw = first.content or b""
                yield Problem(
                    first.number, "a quote is opened and not closed: close or remove it", raw
                )
                source.put_back(*others)
                rows = _rows(source, header)
            elif row is not None:
                if any(cell and not cell.isspace() for cell in row):
                    yield _read_row(row, source, header)
            elif (line := source.next()) is None:
                return
            else:
                yield too_long(line.number)
                rows = _rows(source, header)


def _rows(source: _Source, header: Header) -> Iterator[list[str]]:
    return csv.reader(iter(source), delimiter=header.delimiter)


def _problem(source: _Source, message: str) -> Problem:
    return Problem(source.pulled[0].number, message, source.pulled[0].content or b"")


def _what_is_wrong(error: csv.Error) -> str:
    if "new-line" in str(error):
        return "a carriage return stands outside quotes: remove it"
    if "NUL" in str(error):
        return "holds a NUL character (U+0000), which PostgreSQL cannot store: remove it"
    return "not to be read as a row: correct it or leave it out"


def _read_row(row: list[str], source: _Source, header: Header) -> Record | Problem:
    line, raw = source.pulled[0].number, source.raw
    names = header.names
    if len(row) > len(names):
        if any(cell and not cell.isspace() for cell in row[len(names) :]):
            return Problem(
                line, "the row has more cells than the header: quote cells with delimiters", raw
            )
    elif len(row) < len(names):
        row += [""] * (len(names) - len(row))
    if not raw.isascii() and not _is_utf8(raw):
        return Problem(line, "not UTF-8 text: save the file as UTF-8", raw)
    # Of a surplus that is blank nothing is lost.
    fields = {name: cell for name, cell in zip(names, row, strict=False) if name}
    return Record(line, fields, cells=True, size=len(raw), raw=raw)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_header(source: _Source, knows: Callable[[str], bool] | None) -> Header | None:
    """The header, behind whatever stands above it; None where the file is blank."""
    above: list[Header] = []
    forced: str | None = None
    while len(above) < _MOST_LINES_ABOVE and (record := _header_record(source)) is not None:
        text, raw = record
        if not text.strip():
            continue
        if not above and forced is None and (separator := _SEPARATOR_LINE.fullmatch(text)):
            forced = separator[1]
            continue
        _refuse_drawn(text, source)
        header = _choose(text, raw, forced, knows, is_first=not above)
        if knows is None or (
            any(map(knows, header.names)) and not _is_title(header, source, forced, knows)
        ):
            return _usable(header)
        above.append(header)
    if above:
        # Nothing of the line is told: in the place of names it may hold anybody's data.
        if any(map(_ADDRESS.search, above[0].names)):
            raise ImportFileError(
                "the first line is a row and no header: put a line above it that names the columns"
            )
        raise ImportFileError(
            "no column is known of those that the first line names: it must be a header, as"
            " email,first_name or event_name,event_id"
        )
    return None


def _is_title(
    header: Header, source: _Source, forced: str | None, knows: Callable[[str], bool]
) -> bool:
    """Whether a line that is one known word stands above a line that knows more: `Events`."""
    if len(header.names) > 1:
        return False
    names = _choose(source.peek(), b"", forced, knows, is_first=False).names
    return sum(map(knows, names)) > 1


def _header_record(source: _Source) -> tuple[str, bytes] | None:
    """The next lines that belong together because of a quote that is open."""
    source.begin()
    text = ""
    for part in source:
        text += part
        if text.count('"') % 2 == 0:
            break
    else:
        if not source.pulled:
            if (line := source.next()) is not None:
                raise ImportFileError(
                    f"line {line.number} should be the header and is {too_long(0).message}"
                )
            return None
    if not _is_utf8(source.raw):
        raise ImportFileError("the header is not UTF-8 text: save the file as UTF-8")
    return text, source.raw


def _refuse_drawn(text: str, source: _Source) -> None:
    below = source.peek()
    if text.lstrip().startswith(_DRAWN_EDGE) or (
        any(line in text for line in "|│║") and _DRAWN.fullmatch(below)
    ):
        raise ImportFileError(
            "the file is a table drawn in text, as psql and mysql show it: export it as CSV"
            r" (psql: \copy (select ...) to 'rows.csv' csv header)"
        )


def _choose(
    text: str,
    raw: bytes,
    forced: str | None,
    knows: Callable[[str], bool] | None,
    *,
    is_first: bool,
) -> Header:
    """The header as the delimiter cuts it that makes the most of it."""
    delimiters = (forced,) if forced else _DELIMITERS if knows else _USUAL
    cut = [Header(names, by, raw) for by in delimiters if (names := _split(text, by))]
    # A quote in a name: the delimiter cut through a quoted name, or the quote is never closed.
    cut = [header for header in cut if '"' not in "".join(header.names)]
    if not cut:
        if not is_first:
            return Header((), ",")
        raise ImportFileError("the header has a quote that is not closed or inside a name: fix it")

    def worth(header: Header) -> tuple[int, int]:
        known = sum(map(knows, header.names)) if knows else 0
        return known, len(header.names)

    return max(cut, key=worth)


def _usable(header: Header) -> Header:
    if len(header.names) > _MOST_COLUMNS:
        raise ImportFileError(f"the header has more than {_MOST_COLUMNS} columns: leave some out")
    names = tuple("" if name == PROBLEM_FIELD else name for name in header.names)
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise ImportFileError("two columns of the header have one name: rename or remove one")
    return Header(names, header.delimiter, header.raw, header.names[0] == PROBLEM_FIELD)


def _split(header: str, delimiter: str) -> tuple[str, ...] | None:
    lines = io.StringIO(header, newline="")
    try:
        names = next(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return tuple(name.strip() for name in names)
