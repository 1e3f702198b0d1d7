"""What a line becomes before it is inserted, and what the makers of rows have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.importing.lines import Record

# Ids that are made from a line's content; it must never change, or importing a file again doubles
# its rows.
CONTENT_NAMESPACE = UUID("0b1f6a52-7d0c-5c1b-8e55-3c1f5e0a9d27")
_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table by its columns. ``loose_lead``: a lead that does not exist costs the row no
    more than its link to it.
    """

    line: int
    values: dict[str, Any]
    loose_lead: bool = False


@dataclass(slots=True)
class IgnoredColumns:
    """The names of fields that the table has no column for. Without bounds, a file could name
    millions; a name that looks like personal data is not repeated.
    """

    names: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        if len(self.names) < _MOST_NAMES:
            self.names.add(redact(name) or "(no name)")


class RowMaker(Protocol):
    """Makes the rows of one table."""

    table: str
    ignored: IgnoredColumns

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`values.FieldError`."""
        ...
