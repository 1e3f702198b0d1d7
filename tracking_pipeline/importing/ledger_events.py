"""A line as a row of the ledger, stored as delivery stores it: no raw personal data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid5

from tracking_pipeline.delivery.destinations.ledger import ledger_row
from tracking_pipeline.delivery.engine.readiness import OF_A_RECORD
from tracking_pipeline.events.conversion import Unusable, read_conversion
from tracking_pipeline.events.policy import DEFAULT_POLICY
from tracking_pipeline.events.row import StoredRow
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
from tracking_pipeline.importing.values import FieldError, encode_json

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
