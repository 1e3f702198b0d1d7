"""A line as a row of ``tracking_failed_events``.

A line with ``event_payload`` is a row: its other fields are the table's columns. Any other line is
the payload itself, in whatever shape delivery reads: it makes an event that is due at once. A
payload that delivery cannot read is imported all the same, and dead-lettered with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline.events.texts import id_text, text
from tracking_pipeline.importing.records import Record
from tracking_pipeline.importing.rows import (
    CONTENT_NAMESPACE,
    IgnoredColumns,
    Row,
    is_payload,
    names_event_field,
    payload_of,
    refuse_rounded_ids,
)
from tracking_pipeline.importing.values import (
    FieldError,
    column_finder,
    encode_json,
    read_integer,
    read_text,
    read_uuid,
    read_value,
)
from tracking_pipeline.null_markers import says_nothing
from tracking_pipeline.store.importing import TableColumn

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
