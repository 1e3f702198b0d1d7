"""A line that is an event's payload itself, from a table as from JSON."""

from __future__ import annotations

from typing import Any

from tracking_pipeline.importing.json_records import InvalidJSONError, decode_json
from tracking_pipeline.importing.lines import Record
from tracking_pipeline.null_markers import says_nothing


def payload_of(record: Record) -> dict[str, Any]:
    """The payload that the whole line is. A table's empty cells say nothing and are left out; an
    object or a list that is written in a cell is read."""
    if not record.cells:
        return record.fields
    return {name: _read(cell) for name, cell in record.fields.items() if not says_nothing(cell)}


def _read(cell: str) -> Any:
    if not cell.lstrip().startswith(("{", "[")):
        return cell
    try:
        return decode_json(cell)
    except InvalidJSONError:
        # Text may begin with a bracket, too.
        return cell
