"""A line as a row of the ledger, stored as delivery stores it: no raw personal data."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from tracking_pipeline.delivery.conversion import read_conversion
from tracking_pipeline.delivery.events import FailedEvent
from tracking_pipeline.delivery.ledger import ledger_row
from tracking_pipeline.delivery.outcomes import Rejected
from tracking_pipeline.delivery.person import person_keys
from tracking_pipeline.importing.lines import Record
from tracking_pipeline.importing.payloads import payload_of
from tracking_pipeline.importing.rows import CONTENT_NAMESPACE, IgnoredColumns, Row
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

    def make(self, record: Record) -> Row:
        """The row that a record says. Raises :class:`FieldError`."""
        content = encode_json("the line", record.fields).decode()
        event = self._event(record, uuid5(CONTENT_NAMESPACE, content))
        conversion = read_conversion(event, for_advertising=False)
        if isinstance(conversion, Rejected):
            raise FieldError(f"{conversion.reason}: correct the line or leave it out")
        keys, _ = person_keys(event, conversion.fields, "meta", _COUNTRY, "all")
        return Row(record.line, ledger_row(event, conversion, keys))

    def _event(self, record: Record, event_id: UUID) -> FailedEvent:
        return FailedEvent(
            id=event_id,
            event_id=event_id,
            event_name="",
            event_type=None,
            payload=payload_of(record),
            user_data=None,
            lead_id=None,
            session_id=None,
            retry_count=0,
            max_retries=1,
            created_at=self._now,
            now=self._now,
            lease_token=0,
        )
