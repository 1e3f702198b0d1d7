"""What a line becomes before it is inserted: a row of the queue, of ``leads`` or of the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id, ledger_row
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.delivery.engine.readiness import OF_A_RECORD
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.events.consent_names import statement_named
from tracking_pipeline.events.conversion import Unusable, read_conversion
from tracking_pipeline.events.names import Special, meaning_of, plain_name
from tracking_pipeline.events.policy import DEFAULT_POLICY
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.events.texts import id_text, text
from tracking_pipeline.identity import normalize
from tracking_pipeline.importing.json_records import InvalidJSONError, decode_json
from tracking_pipeline.importing.records import Record
from tracking_pipeline.importing.values import (
    FieldError,
    column_finder,
    encode_json,
    letters,
    read_integer,
    read_text,
    read_uuid,
    read_value,
)
from tracking_pipeline.null_markers import says_nothing
from tracking_pipeline.store.importing import TableColumn

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


# A line as a row of ``tracking_failed_events``.
#
# A line with ``event_payload`` is a row: its other fields are the table's columns. Any other line
# is the payload itself, in whatever shape delivery reads: it makes an event that is due at once. A
# payload that delivery cannot read is imported all the same, and dead-lettered with its reason.

_STATUSES = ("pending", "retrying", "resolved", "dead_letter")
_COLUMNS = (
    "id",
    "event_id",
    "event_name",
    "event_type",
    "event_payload",
    "user_data",
    "destination",
    "error_message",
    "error_code",
    "http_status",
    "retry_count",
    "max_retries",
    "next_retry_at",
    "status",
    "resolved_at",
    "resolved_by",
    "dead_letter_reason",
    "withheld_reason",
    "created_at",
    "updated_at",
    "lead_id",
    "session_id",
)


class FailedEventRows:
    """Makes rows of the queue. ``destination`` is for lines that name none."""

    table = "tracking_failed_events"

    def __init__(
        self, columns: Mapping[str, TableColumn], destination: DestinationName | None
    ) -> None:
        self.ignored = IgnoredColumns()
        self._columns = {name: columns[name] for name in _COLUMNS if name in columns}
        self._find_column = column_finder(self._columns)
        self._destination = destination

    def knows(self, name: str) -> bool:
        """Whether there is a column for a field of this name, or payloads of events have one."""
        return self._find_column(name) is not None or names_event_field(name)

    def is_row(self, fields: Mapping[str, Any], listed: str | None) -> bool:
        """Whether an object is an event, also where its ``listed`` is a list of objects."""
        return "event_payload" in map(self._find_column, fields) or is_payload(fields, listed)

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`FieldError`."""
        refuse_rounded_ids(record)
        columns = {name: self._find_column(name) for name in record.fields}
        is_row = "event_payload" in columns.values()
        values = self._row(record, columns) if is_row else self._bare_payload(record)
        content = encode_json("the line", record.fields)
        _add_ids(values, content)
        values.setdefault("event_type", "conversion")
        values.setdefault("error_message", "imported")
        return Row(record.line, values, loose_lead=not is_row, raw=record.raw)

    def _row(self, record: Record, columns: Mapping[str, str | None]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in record.fields.items():
            column = columns[name]
            if column is None:
                self.ignored.add(name)
            elif not says_nothing(value) and (name == column or column not in values):
                values[column] = self._read(column, value, cell=record.cells)
        if values.get("event_payload") is None:
            raise FieldError("missing event_payload: a failed event needs what is to be sent")
        values["destination"] = self._read_destination(values.get("destination"))
        if "status" in values and values["status"] not in _STATUSES:
            raise FieldError(f"status is not known: write one of {', '.join(_STATUSES)}")
        if "withheld_reason" in values and values.get("status") != "resolved":
            raise FieldError("withheld_reason is of events with the status resolved: correct it")
        if values.get("max_retries", 1) < 1:
            raise FieldError("max_retries is below 1: an event needs one try at least")
        if values.get("retry_count", 0) < 0:
            raise FieldError("retry_count is below 0: write how often it was tried")
        return values

    def _read(self, column: str, value: Any, *, cell: bool) -> Any:
        # What is compared and looked up below has its type here, whatever an adopted table says.
        if column == "event_id":
            return read_text(column, value)
        if column in ("id", "lead_id", "session_id"):
            return read_uuid(column, value)
        if column in ("retry_count", "max_retries"):
            return read_integer(column, value)
        return read_value(self._columns[column], value, cell=cell)

    def _bare_payload(self, record: Record) -> dict[str, Any]:
        payload = payload_of(record)
        values: dict[str, Any] = {"event_payload": payload}
        named = payload.get("destination")
        # A traveller's payload may have a destination of its own; only ours names where it goes.
        ours = named in DESTINATIONS or self._destination is None
        values["destination"] = self._read_destination(named if ours else None)
        for name in ("lead_id", "session_id"):
            try:
                values[name] = read_uuid(name, payload.get(name))
            except FieldError:
                # In a payload it is one of its own words, and no reason to lose the event.
                continue
        if event_type := text(payload.get("event_type")):
            values["event_type"] = event_type
        return values

    def _read_destination(self, value: Any) -> str:
        if says_nothing(value):
            if self._destination is None:
                raise FieldError("missing destination: name one in the line or for the whole file")
            return self._destination
        if value not in DESTINATIONS:
            raise FieldError(f"destination is not known: write one of {', '.join(DESTINATIONS)}")
        return str(value)


def _add_ids(values: dict[str, Any], content: bytes) -> None:
    """Fills in ``id``, ``event_id`` and ``event_name``, the same each time the line is imported."""
    payload = values["event_payload"]
    reading = read_payload(payload)
    given, of_payload = id_text(values.get("event_id")), id_text(reading.value("event_id"))
    if given or of_payload:
        values["event_id"] = str(ledger_event_id(given or of_payload or ""))
    else:
        values["event_id"] = str(uuid5(CONTENT_NAMESPACE, content.decode()))
    if given and not of_payload and not _is_uuid(given) and isinstance(payload, dict):
        # The column holds no other text, and the destination must get the id that the pixel used.
        values["event_payload"] = {**payload, "event_id": given}
    if not values.get("event_name"):
        values["event_name"] = text(reading.value("event_name")) or ""
    if "id" not in values:
        values["id"] = str(uuid5(CONTENT_NAMESPACE, f"{values['destination']} {content.decode()}"))


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


# A line as a row of ``leads``, with whatever columns the site's own table has.

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


# A line as a row of the ledger, stored as delivery stores it: no raw personal data.

# What a phone is read by where the payload names no country.
_COUNTRY = "US"


class LedgerRows:
    """Makes rows of ``wm_event_log``. ``now`` is the database's clock: the time of events that say
    none, and the latest that an event may have.
    """

    table = "wm_event_log"

    def __init__(self, now: datetime) -> None:
        self.ignored = IgnoredColumns()
        self._now = now

    def knows(self, name: str) -> bool:
        """Whether payloads of events have a field of this name."""
        return names_event_field(name)

    def is_row(self, fields: Mapping[str, Any], listed: str | None) -> bool:
        """Whether an object is an event, also where its ``listed`` is a list of objects."""
        return is_payload(fields, listed)

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`FieldError`."""
        refuse_rounded_ids(record)
        content = encode_json("the line", record.fields).decode()
        event_id = uuid5(CONTENT_NAMESPACE, content)
        stored = StoredRow(
            event_id=event_id,
            event_name="",
            payload=payload_of(record),
            created_at=self._now,
            now=self._now,
        )
        conversion = read_conversion(stored)
        reason = (
            conversion.reason
            if isinstance(conversion, Unusable)
            else conversion.first_unreadable(*OF_A_RECORD)
        )
        if isinstance(conversion, Unusable) or reason:
            raise FieldError(f"{reason}: correct the line or leave it out")
        if conversion.event_time > self._now + DEFAULT_POLICY.longest_wait:
            raise FieldError("event_time lies in the future: correct the line or leave it out")
        values, _ = ledger_row(stored, conversion, country=_COUNTRY)
        return Row(record.line, values, raw=record.raw)
