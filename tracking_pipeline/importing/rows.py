"""What a line becomes before it is inserted, and what the makers of rows have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.events.consent_names import statement_named
from tracking_pipeline.events.names import meaning_of, plain_name
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline.importing.json_records import InvalidJSONError, decode_json
from tracking_pipeline.importing.records import Record
from tracking_pipeline.importing.values import FieldError
from tracking_pipeline.null_markers import says_nothing

# Ids that are made from a line's content; it must never change, or importing a file again doubles
# its rows.
CONTENT_NAMESPACE = UUID("0b1f6a52-7d0c-5c1b-8e55-3c1f5e0a9d27")
_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table by its columns. ``loose_lead``: a lead that does not exist costs the row no
    more than its link to it. ``raw`` is the record as the file has it.
    """

    line: int
    values: dict[str, Any]
    loose_lead: bool = False
    raw: bytes = b""


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

    def knows(self, name: str) -> bool:
        """Whether a field of this name says something that is kept."""
        ...

    def is_row(self, fields: Mapping[str, Any], listed: str | None) -> bool:
        """Whether an object says anything that is kept; with ``listed``, whether it is a row
        itself, although that is a list of objects."""
        ...

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`values.FieldError`."""
        ...


def payload_of(record: Record) -> dict[str, Any]:
    """The payload of an event that a whole line is. A table's empty cells say nothing and are left
    out; an object or a list that is written in a cell is read. Raises :class:`FieldError`."""
    if not record.cells:
        return record.fields
    if is_footer(record):
        raise FieldError("a total or a footer and no row: leave it out")
    return {name: _read(cell) for name, cell in record.fields.items() if not says_nothing(cell)}


def _read(cell: str) -> Any:
    if not cell.lstrip().startswith(("{", "[")):
        return cell
    try:
        return decode_json(cell)
    except InvalidJSONError:
        # Text may begin with a bracket, too.
        return cell


_RULE = re.compile(r"[\s\-=+|_*#.:\u2500-\u257f]{3,}")
_COUNT = re.compile(
    r"\(?\d+ (?:rows?|records?|lines?|entries|zeilen?|lignes?|filas?|righe|rij(?:en)?)\b.{0,60}"
    r"|(?:rows|records|count|time|page|total|sum|generated|report generated|exported)\b ?:? .{0,80}"
    r"|(?:copyright|confidential) .{0,120}",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"(?:grand ?|sub-?)?totals?|(?:gesamt)?sum(?:me)?|gesamt|average|avg|count|mean|total général"
    r"|suma|totale",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[^A-Za-z@]*\d[^A-Za-z@]*")


def is_footer(record: Record) -> bool:
    """Whether a table's line is a rule, a count or a total, as tools write them below the rows."""
    if len(record.fields) < 2:
        cells = list(record.fields.values())
        return any(_RULE.fullmatch(cell) for cell in cells) or bool(
            cells and re.fullmatch(r"\(\d+ \w+\)", cells[0].strip())
        )
    first, *others = [cell.strip() for cell in record.fields.values() if cell.strip()] or [""]
    if not others:
        # A line that stops after a text of several words, in a table of more than two columns.
        is_prose = (
            " " in first
            and len(record.fields) > 2
            and record.raw.strip(b'" \r\n') == (first.encode())
        )
        return is_prose or bool(_COUNT.fullmatch(first) or _RULE.fullmatch(first))
    if _TOTAL.fullmatch(first.rstrip(" :")):
        return all(map(_NUMBER.fullmatch, others))
    return all(map(_RULE.fullmatch, (first, *others)))


_ROUNDED = re.compile(r"\d(?:[.,]\d+)?E\+\d{1,3}", re.IGNORECASE)
# Below, a number in JSON is no id that a spreadsheet writes so.
_EXACT = 10**11
_ID_FIELDS = frozenset(
    ("event_id", "order_id", "session_id", "client_id", "user_id", "click_id", "ga_cookie")
)
_ID_KEYS = frozenset(("ph", "external_id", "zp"))


def refuse_rounded_ids(record: Record) -> None:
    """Refuses a record in which a spreadsheet has written an id, or a phone number, as
    ``1.23457E+15``: the rest of its digits is gone, and several rows have the same one.

    Raises :class:`FieldError`.
    """
    for name, value in record.fields.items():
        if isinstance(value, str):
            is_rounded = "+" in value and _ROUNDED.fullmatch(value.strip()) is not None
        else:
            is_rounded = isinstance(value, float) and b"E+" in record.raw.upper() and value > _EXACT
        if is_rounded:
            meaning = meaning_of(name)
            is_id = (
                (meaning.field is not None and meaning.field.name in _ID_FIELDS)
                or (meaning.identifier is not None and meaning.identifier.key in _ID_KEYS)
                or plain_name(name).endswith("id")
            )
            if is_id:
                raise FieldError(
                    f"{redact(name)} was rounded by a spreadsheet (1.2E+15): format the column as"
                    " text and export it again"
                )


def names_event_field(name: str) -> bool:
    """Whether payloads of events have a field of this name."""
    meaning = meaning_of(name)
    return (
        _speaks_anywhere(name)
        or meaning.field is not None
        or meaning.platform_id is not None
        or (meaning.place is not None and meaning.place.named)
    )


def _speaks_anywhere(name: str) -> bool:
    """Whether a field of this name speaks of an event or its person wherever it stands."""
    meaning = meaning_of(name)
    return (
        (meaning.field is not None and meaning.field.anywhere)
        or meaning.identifier is not None
        or meaning.special is not None
        or statement_named(plain_name(name)) is not None
    )


def is_payload(fields: Mapping[str, Any], listed: str | None) -> bool:
    """Whether an object is an event's payload. With a list of objects, ``listed``, and no page of
    rows: in doubt it is, for what an envelope says of consent, or of a person, is said of each
    event in it."""
    if listed is None:
        reading = read_payload(fields)
        return bool(reading.found or reading.candidates() or reading.consents)
    around = {name: value for name, value in fields.items() if name != listed}
    if any(map(_speaks_anywhere, around)) or read_payload(around).consents:
        return True
    return len(fields[listed]) == 1 and bool(read_payload(fields).value("event_name"))
