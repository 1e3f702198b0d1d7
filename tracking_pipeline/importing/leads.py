"""A line as a row of ``leads``, with whatever columns the site's own table has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid5

from tracking_pipeline.events.names import Special, meaning_of
from tracking_pipeline.identity import normalize
from tracking_pipeline.importing.records import Record
from tracking_pipeline.importing.rows import (
    CONTENT_NAMESPACE,
    IgnoredColumns,
    Row,
    refuse_rounded_ids,
)
from tracking_pipeline.importing.values import (
    FieldError,
    column_finder,
    encode_json,
    letters,
    read_value,
)
from tracking_pipeline.null_markers import says_nothing
from tracking_pipeline.store.importing import TableColumn

# The column of each match key; `ge`, `db` and `external_id` have none.
_COLUMN_OF_KEY = {
    "em": "email",
    "ph": "phone",
    "fn": "first_name",
    "ln": "last_name",
    "ct": "city",
    "st": "state",
    "zp": "zip",
    "country": "country",
    "fbp": "fbp",
    "fbc": "fbc",
    "client_ip_address": "client_ip",
    "client_user_agent": "client_user_agent",
}


class LeadRows:
    """Makes rows of ``leads``. A column is found by its own name, in any case and punctuation, or
    by the usual names of what a person is identified by (``zip_code``, ``ip``, ``surname``).
    """

    table = "leads"

    def __init__(self, columns: Mapping[str, TableColumn]) -> None:
        self.ignored = IgnoredColumns()
        self._columns = columns
        self._find_column = column_finder(columns)
        self._required = [
            name
            for name, column in columns.items()
            if column.not_null and column.default is None and name not in ("id", "email")
        ]

    def knows(self, name: str) -> bool:
        """Whether there is a column for a field of this name."""
        return self._column_of(name) is not None

    def is_row(self, fields: Mapping[str, Any], listed: str | None) -> bool:
        """Whether an object is a lead itself, although its ``listed`` is a list of objects;
        without one, whether it says anything of a lead."""
        if listed is None:
            return any(map(self.knows, fields))
        return any(self._column_of(name) == "email" for name in fields)

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`FieldError`."""
        refuse_rounded_ids(record)
        values: dict[str, Any] = {}
        for name, value in record.fields.items():
            column = self._column_of(name)
            if column is None:
                self.ignored.add(name)
            elif not says_nothing(value) and (name == column or column not in values):
                values[column] = read_value(self._columns[column], value, cell=record.cells)
        if "email" not in values:
            raise FieldError("missing email: every lead needs one")
        if normalize("em", values["email"]) is None or "@" not in values["email"]:
            raise FieldError("email is no e-mail address: correct it")
        for name in self._required:
            if name not in values:
                raise FieldError(f"missing {name}: this site's leads cannot be without it")
        content = encode_json("the line", record.fields).decode()
        values.setdefault("id", str(uuid5(CONTENT_NAMESPACE, f"lead {content}")))
        return Row(record.line, values, raw=record.raw)

    def _column_of(self, name: str) -> str | None:
        if column := self._find_column(name):
            return column
        written = letters(name)
        if "sha256" in written or "hash" in written:
            # What was hashed cannot stand where delivery expects an address or a name.
            return None
        meaning = meaning_of(name)
        if meaning.identifier is not None:
            column = _COLUMN_OF_KEY.get(meaning.identifier.key)
        else:
            column = "name" if meaning.special is Special.FULL_NAME else None
        return column if column in self._columns else None
