"""What one import is of, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tracking_pipeline.importing.records import Problem

Into: TypeAlias = Literal["failed-events", "leads", "ledger"]


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
