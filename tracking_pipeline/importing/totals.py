"""What one import is of, and what it came to: its counts, and what was wrong with which line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracking_pipeline.errors import ExplainedError

Into: TypeAlias = Literal["failed-events", "leads", "ledger"]


class ImportFileError(ExplainedError):
    """The file cannot be read as NDJSON or CSV at all. One line, with the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one line was not imported. ``line`` counts from 1 and is where the record starts in the
    file; ``message`` names the field and the remedy, never the value.
    """

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportTotals:
    """``imported + rejected + skipped`` is the number of records in the file.

    ``skipped`` were in the table already. ``problems`` holds the first 50 of the rejected, by line;
    ``ignored_columns`` the names that the table has no column for (at most 100), sorted.
    """

    imported: int
    rejected: int
    skipped: int
    problems: tuple[Problem, ...] = ()
    ignored_columns: tuple[str, ...] = ()
