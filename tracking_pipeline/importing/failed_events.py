"""A line as a row of ``tracking_failed_events``.

A line with ``event_payload`` is a row: its other fields are the table's columns. Any other line is
the payload itself, in whatever shape delivery reads: it makes an event that is due at once. A
payload that delivery cannot read is imported all the same, and dead-lettered with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args
from uuid import UUID, uuid5

from tracking_pipeline.delivery.conversion import _EVENT_ID, _EVENT_NAME, _as_mapping, first, text
from tracking_pipeline.delivery.events import DESTINATIONS, DestinationName
from tracking_pipeline.delivery.ledger import ledger_event_id
from tracking_pipeline.importing.json_records import InvalidJSONError, decode_json
from tracking_pipeline.importing.lines import Record
from tracking_pipeline.importing.rows import IgnoredColumns, Row
from tracking_pipeline.importing.values import (
    FieldError,
    column_finder,
    encode_json,
    is_blank,
    read_text,
    read_uuid,
    read_value,
)
from tracking_pipeline.store.importing import TableColumn
