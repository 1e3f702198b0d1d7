"""The events of a file as an import and a claim would give them, without any table.

A line becomes the row that ``import --into failed-events`` makes of it; what PostgreSQL does to a
payload in between (it orders the names of an object) is done here. There is no lead: nobody is
asked for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.events.names import plain_name
from tracking_pipeline.events.times import read_moment
from tracking_pipeline.importing.records import Problem, Record
from tracking_pipeline.importing.rows import FailedEventRows
from tracking_pipeline.importing.values import FieldError, encode_row
from tracking_pipeline.store.importing import TableColumn

_KINDS = {
    "uuid": "id event_id lead_id session_id",
    "jsonb": "event_payload user_data",
    "int4": "http_status retry_count max_retries",
    "timestamptz": "next_retry_at resolved_at created_at updated_at",
    "text": (
        "event_name event_type destination error_message error_code status resolved_by "
        "dead_letter_reason withheld_reason"
    ),
}
_COLUMNS = {
    name: TableColumn(name, kind, kind, False, None)
    for kind, names in _KINDS.items()
    for name in names.split()
}
# Of a line that names no destination: it is asked of all of them all the same.
_ANY = DESTINATIONS[0]


@dataclass(frozen=True, slots=True)
class UnstoredEvent:
    """An event of a file. ``destination`` is what its line, or the whole file, names; None where
    nothing is named."""

    line: int
    event: FailedEvent
    destination: str | None


def read_unstored(
    records: Iterable[Record | Problem], now: datetime, destination: DestinationName | None
) -> Iterator[UnstoredEvent | Problem]:
    """The events of the records, with what is wrong with the others. ``destination`` is for lines
    that name none."""
    maker = FailedEventRows(_COLUMNS, destination or _ANY)
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        try:
            values = maker.make(record).values
            encode_row(values)
        except FieldError as error:
            yield Problem(record.line, str(error))
            continue
        named = values["destination"] if destination or _names_destination(record) else None
        yield UnstoredEvent(record.line, _event(values, now), named)


def _names_destination(record: Record) -> bool:
    return any(
        plain_name(name) == "destination" and value in DESTINATIONS
        for name, value in record.fields.items()
        if isinstance(value, str)
    )


def _event(values: dict[str, Any], now: datetime) -> FailedEvent:
    created_at = read_moment(values.get("created_at"))
    return FailedEvent(
        id=UUID(values["id"]),
        event_id=UUID(values["event_id"]),
        event_name=values["event_name"],
        event_type=values.get("event_type"),
        payload=_as_jsonb(values["event_payload"]),
        user_data=_as_jsonb(values["user_data"]) if values.get("user_data") else None,
        lead_id=_uuid(values.get("lead_id")),
        session_id=_uuid(values.get("session_id")),
        retry_count=values.get("retry_count", 0),
        max_retries=values.get("max_retries", 5),
        created_at=created_at or now,
        now=now,
        lease_token=0,
    )


def _uuid(value: Any) -> UUID | None:
    return UUID(value) if isinstance(value, str) else None


def _as_jsonb(value: Any) -> Any:
    """The value with the names of its objects in PostgreSQL's order: the shorter first."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return {name: _as_jsonb(value[name]) for name in names}
    if isinstance(value, list):
        return [_as_jsonb(each) for each in value]
    return value
