"""One pass over a file: read, make rows, insert them batch by batch, count.

The file streams: what is held is one batch. Each batch is committed on its own, so a pass that ends
early has imported whole batches; a second pass over the same file skips them, since ids that a line
does not give are made from what it says. A rehearsed pass (``dry_run``) is one transaction that is
rolled back, so that it meets all that the table and the rows before would refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.importing.batches import Inserter
from tracking_pipeline.importing.failed_events import FailedEventRows
from tracking_pipeline.importing.files import open_records
from tracking_pipeline.importing.leads import LeadRows
from tracking_pipeline.importing.ledger_events import LedgerRows
from tracking_pipeline.importing.records import Problem, Record
from tracking_pipeline.importing.rejects import open_rejects
from tracking_pipeline.importing.rows import Row, RowMaker
from tracking_pipeline.importing.totals import ImportTotals, Into
from tracking_pipeline.importing.values import FieldError
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.importing import TableColumn, read_columns, read_time_of_import

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
