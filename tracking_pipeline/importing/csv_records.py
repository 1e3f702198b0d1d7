"""Records from a table in a text file: CSV with commas, semicolons or tabs.

pandas reads the file in blocks of whole lines. A block ends where all its quotes are closed, so
that a quoted cell may go over many lines. A quote that is never closed would swallow all that
follows: its line alone is a problem, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from pandas.errors import ParserError

from tracking_pipeline.importing.lines import LONGEST_LINE_BYTES, Line, Record, too_long
from tracking_pipeline.importing.totals import ImportFileError, Problem

_BLOCK_LINES = 1_000
_DELIMITERS = (",", ";", "\t")
_MOST_COLUMNS = 1_000


@dataclass(frozen=True, slots=True)
class _Header:
    names: tuple[str, ...]
    delimiter: str


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines. ``complete`` where nothing that comes after can belong to them."""

    lines: list[tuple[int, bytes]]
    complete: bool


class _Source:
    """The lines of the file, of which some may be put back to be read again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()

    def next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def put_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._again.extendleft(Line(*line) for line in reversed(lines))

    def next_block(self, most_lines: int) -> _Block | Problem | None:
        """At least ``most_lines`` lines, more where a quote is open, None at the end."""
        lines: list[tuple[int, bytes]] = []
        size = quotes = 0
        while (line := self.next()) is not None:
            if line.content is None:
                if not lines:
                    return too_long(line.number)
                self._again.appendleft(line)
                return _Block(lines, complete=True)
            lines.append((line.number, line.content))
            size += len(line.content)
            quotes += line.content.count(b'"')
            # A guess, which one inch sign makes wrong; it only has to be right for most blocks.
            closed = quotes % 2 == 0
            if size >= LONGEST_LINE_BYTES or (len(lines) >= most_lines and closed):
                return _Block(lines, complete=False)
        return _Block(lines, complete=True) if lines else None


def read_csv_records(lines: Iterator[Line]) -> Iterator[Record | Problem]:
    """One record for each row below the header that is not blank. Its cells are text, empty ones
    too.

    Raises :class:`ImportFileError` where the first line that is not blank cannot be a header.
    """
    source = _Source(lines)
    header = _read_header(source)
    if header is None:
        return
    while (block := source.next_block(_BLOCK_LINES)) is not None:
        if isinstance(block, Problem):
            yield block
        else:
            yield from _read_block(block, header, source)


def _read_header(source: _Source) -> _Header | None:
    while (block := source.next_block(1)) is not None:
        if isinstance(block, Problem):
            raise ImportFileError(f"line {block.line} should be the header and is {block.message}")
        try:
            text = b"".join(content for _, content in block.lines).decode()
        except UnicodeDecodeError:
            raise ImportFileError("the header is not UTF-8 text: save the file as UTF-8") from None
        if not text.strip():
            continue
        return _choose(text)
    return None


def _choose(text: str) -> _Header:
    """The header as the delimiter cuts it that makes the most of it."""
    cut = [_Header(names, by) for by in _DELIMITERS if (names := _split(text, by))]
    # A quote in a name: the delimiter cut through a quoted name, or the quote is never closed.
    cut = [header for header in cut if '"' not in "".join(header.names)]
    if not cut:
        raise ImportFileError("the header has a quote that is not closed or inside a name: mend it")
    header = max(cut, key=lambda one: len(one.names))
    if len(header.names) > _MOST_COLUMNS:
        raise ImportFileError(f"the header has more than {_MOST_COLUMNS} columns: leave some out")
    named = [name for name in header.names if name]
    if len(set(named)) < len(named):
        raise ImportFileError("two columns of the header have one name: rename or remove one")
    return header


def _split(header: str, delimiter: str) -> tuple[str, ...] | None:
    lines = io.StringIO(header, newline="")
    try:
        names = next(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return tuple(name.strip() for name in names)


def _read_block(block: _Block, header: _Header, source: _Source) -> Iterator[Record | Problem]:
    content = b"".join(content for _, content in block.lines)
    try:
        rows, open_quote = _parse(content, header), False
    except ParserError:
        # Closed here, the quote makes one row of all that it swallowed: the last.
        rows, open_quote = _parse(content + b'"\n', header), True
    starts = _starts(rows, len(block.lines))
    whole = len(rows) - 1 if open_quote else len(rows)
    for row, start in zip(rows[:whole], starts, strict=False):
        if any(cell.strip() for cell in row):
            yield _read_row(row, block.lines[start][0], header)
    if not open_quote:
        return
    culprit = starts[whole]
    if not block.complete and culprit > 0:
        # The block was cut in the middle of a row that may yet end well.
        source.put_back(block.lines[culprit:])
        return
    yield Problem(block.lines[culprit][0], "a quote is opened and not closed: close or remove it")
    source.put_back(block.lines[culprit + 1 :])


def _parse(content: bytes, header: _Header) -> list[list[str]]:
    """The rows, each one cell wider than the header: what stands in the last has no column."""
    width = len(header.names) + 1
    # An empty row of that width comes first, because pandas refuses names that no row has cells
    # for; `usecols` because without it a row with still more cells fails the whole block.
    frame = pd.read_csv(
        io.BytesIO(header.delimiter.encode() * (width - 1) + b"\n" + content),
        sep=header.delimiter,
        header=None,
        names=list(range(width)),
        usecols=list(range(width)),
        index_col=False,
        dtype=object,
        keep_default_na=False,
        na_filter=False,
        skip_blank_lines=False,
        encoding="utf-8",
        encoding_errors="surrogateescape",
        low_memory=False,
    )
    rows: list[list[str]] = frame.iloc[1:].to_numpy().tolist()
    return rows


def _starts(rows: list[list[str]], lines: int) -> list[int]:
    """On which line of the block each row starts: a row goes over one line more for each line end
    in its cells."""
    starts, start = [], 0
    for row in rows:
        # A row that ends in a lone carriage return is a row and no line.
        starts.append(min(start, lines - 1))
        start += 1 + sum(cell.count("\n") for cell in row)
    return starts


def _read_row(row: list[str], line: int, header: _Header) -> Record | Problem:
    *cells, surplus = row
    if surplus.strip():
        return Problem(line, "the row has more cells than the header: quote cells with delimiters")
    if any(
        "\ud800" <= character <= "\udfff"
        for cell in row
        if not cell.isascii()
        for character in cell
    ):
        return Problem(line, "not UTF-8 text: save the file as UTF-8")
    fields = {name: cell for name, cell in zip(header.names, cells, strict=True) if name}
    return Record(line, fields, cells=True, size=sum(map(len, cells)))
