"""One pass over a file: read, make rows, insert them batch by batch, count.

The file streams: what is held is one batch. Each batch is committed on its own, so a pass that ends
early has imported whole batches; a second pass over the same file skips them, since ids that a line
does not give are made from what it says. A rehearsed pass (``dry_run``) is one transaction that is
rolled back, so that it meets all that the table and the rows before would refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.importing.files import open_records
from tracking_pipeline.importing.records import Into, Problem, Record
from tracking_pipeline.importing.rejects import open_rejects
from tracking_pipeline.importing.rows import FailedEventRows, LeadRows, LedgerRows, Row, RowMaker
from tracking_pipeline.importing.values import FieldError, encode_row
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.importing import (
    RowsRefusedError,
    TableColumn,
    find_constrained_columns,
    find_leads,
    find_refused_column,
    insert_rows,
    read_columns,
    read_time_of_import,
)
from tracking_pipeline.store.refusals import Halves


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of the rows of a batch; those in neither were there already."""

    imported: int
    problems: list[Problem]


class Inserter:
    """Inserts batches into one table over one connection, each on its own: what is in stays in."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        table: str,
        columns: Mapping[str, TableColumn],
    ) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns

    def insert(self, rows: Sequence[Row], *, link_leads: bool) -> Inserted:
        """Inserts the rows; what is refused is halved until the culprits stand alone.
        ``link_leads``: a row whose ``lead_id`` is not in ``leads`` is refused, or loses the link
        where that is loose. Raises DatabaseError.
        """
        known = self._known_leads(rows) if link_leads else None
        good: list[tuple[Row, dict[str, Any], bytes]] = []
        problems: list[Problem] = []
        for row in rows:
            try:
                values = _existing_columns(row.values, self._columns)
                if known is not None:
                    values = _with_known_lead(values, known, loose=row.loose_lead)
                good.append((row, values, encode_row(values)))
            except FieldError as error:
                problems.append(Problem(row.line, str(error), row.raw))
        imported = 0
        halves = Halves(good)
        for part in halves:
            used = set().union(*(values for _, values, _ in part))
            columns = [column for name, column in self._columns.items() if name in used]
            encoded = [text for _, _, text in part]
            try:
                imported += insert_rows(self._connection, self._table, columns, encoded)
            except RowsRefusedError as refusal:
                if halves.refuse(part):
                    row, _, text = part[0]
                    told = self._explain(refusal, columns, text)
                    problems.append(Problem(row.line, told, row.raw))
        return Inserted(imported, problems)

    def _known_leads(self, rows: Sequence[Row]) -> set[str]:
        wanted = {lead for row in rows if (lead := row.values.get("lead_id")) is not None}
        return find_leads(self._connection, wanted)

    def _explain(
        self, refusal: RowsRefusedError, columns: Sequence[TableColumn], row: bytes
    ) -> str:
        if refusal.constraint:
            fields = find_constrained_columns(self._connection, self._table, refusal.constraint)
            return (
                f"{', '.join(fields) or 'the line'} is refused by the constraint"
                f" {refusal.constraint} of {self._table}: write what it allows"
            )
        if refusal.sqlstate == "23502":
            return f"missing {refusal.column}: {self._table} takes no row without it"
        if column := find_refused_column(self._connection, columns, row):
            return f"{column.name} cannot be stored as {column.type}: correct it or leave it out"
        return f"refused by {self._table} (SQLSTATE {refusal.sqlstate}): correct or leave it out"


def _existing_columns(values: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Without nulls, which mean the default, and without columns that fill themselves."""
    return {name: value for name, value in values.items() if value is not None and name in columns}


def _with_known_lead(
    values: dict[str, Any], known: Collection[str], *, loose: bool
) -> dict[str, Any]:
    if "lead_id" not in values or values["lead_id"] in known:
        return values
    if not loose:
        raise FieldError("lead_id is not in leads: import the lead first or leave lead_id out")
    return {name: value for name, value in values.items() if name != "lead_id"}


@dataclass(frozen=True, slots=True)
class ImportTotals:
    """``imported + rejected + skipped`` is the number of records in the file.

    ``skipped`` were in the table already. ``problems`` holds the first 50 of the rejected, by line;
    ``rejected_by_reason`` counts all of them, the most frequent first; ``ignored_columns`` has the
    names that the table has no column for (at most 100), sorted.
    """

    imported: int
    rejected: int
    skipped: int
    problems: tuple[Problem, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict, compare=False)

    def as_json(self) -> dict[str, Any]:
        """With JSON's types."""
        return {
            "imported": self.imported,
            "rejected": self.rejected,
            "skipped": self.skipped,
            "rejected_by_reason": dict(self.rejected_by_reason),
            "problems": [problem.as_json() for problem in self.problems],
            "ignored_columns": list(self.ignored_columns),
        }


BATCH_RECORDS = 1_000
BATCH_BYTES = 8_000_000
PROBLEMS_KEPT = 50

_TABLES: dict[Into, str] = {
    "failed-events": FailedEventRows.table,
    "leads": LeadRows.table,
    "ledger": LedgerRows.table,
}


def _unwatched(_bytes_read: int, _bytes_total: int) -> None:
    """For callers that do not watch the progress."""


@dataclass
class _Tally:
    imported: int = 0
    rejected: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def reject(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.rejected += 1
            self.reasons[problem.reason] += 1
            if len(self.problems) < PROBLEMS_KEPT:
                self.problems.append(problem)


def import_file(
    url: str,
    source: Path | BinaryIO,
    into: Into,
    *,
    destination: DestinationName | None = None,
    progress: Callable[[int, int], None] = _unwatched,
    dry_run: bool = False,
    rejects: Path | None = None,
) -> ImportTotals:
    """Imports an NDJSON or CSV file, or an open stream of one, into the queue, the leads or the
    ledger.

    A bad line never costs a good one: it is counted and told in ``problems``, and written to
    ``rejects`` with what is wrong with it. ``destination`` is for failed events that name none.
    ``progress`` is called with (bytes read, bytes in the file) after each batch. ``dry_run``:
    nothing stays in the database.

    Raises :class:`ImportFileError` where the file cannot be read at all, and the store's
    ``DatabaseError`` where the database cannot be used; the batches before then stay imported.
    """
    tally = _Tally()
    with ExitStack() as stack:
        connection = stack.enter_context(connect(url))
        columns = read_columns(connection, _TABLES[into])
        maker = _row_maker(into, columns, connection, destination)
        file = stack.enter_context(open_records(source, knows=maker.knows, is_row=maker.is_row))
        refused = stack.enter_context(
            open_rejects(rejects, file.header, has_mark=file.has_mark) if rejects else nullcontext()
        )
        if dry_run:
            stack.enter_context(connection.transaction(force_rollback=True))
        inserter = Inserter(connection, maker.table, columns)
        for batch in _batches(file.records):
            rows, problems = _make_rows(batch, maker)
            inserted = inserter.insert(rows, link_leads=into == "failed-events")
            tally.imported += inserted.imported
            tally.skipped += len(rows) - inserted.imported - len(inserted.problems)
            problems = sorted([*problems, *inserted.problems], key=lambda problem: problem.line)
            tally.reject(problems)
            if refused is not None:
                refused.write(problems)
            progress(file.position(), file.size)
    return ImportTotals(
        imported=tally.imported,
        rejected=tally.rejected,
        skipped=tally.skipped,
        problems=tuple(tally.problems),
        ignored_columns=tuple(sorted(maker.ignored.names)),
        rejected_by_reason=dict(tally.reasons.most_common()),
    )


def _row_maker(
    into: Into,
    columns: Mapping[str, TableColumn],
    connection: psycopg.Connection[Any],
    destination: DestinationName | None,
) -> RowMaker:
    if into == "failed-events":
        return FailedEventRows(columns, destination)
    if into == "leads":
        return LeadRows(columns)
    return LedgerRows(read_time_of_import(connection))


def _batches(records: Iterable[Record | Problem]) -> Iterator[list[Record | Problem]]:
    batch: list[Record | Problem] = []
    size = 0
    for record in records:
        batch.append(record)
        size += record.size if isinstance(record, Record) else 0
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _make_rows(
    batch: Iterable[Record | Problem], maker: RowMaker
) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for record in batch:
        if isinstance(record, Problem):
            problems.append(record)
            continue
        try:
            rows.append(maker.make(record))
        except FieldError as error:
            problems.append(Problem(record.line, str(error), record.raw))
    return rows, problems
