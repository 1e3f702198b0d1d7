"""A claimed failed event as a test wants it, without a database."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from tracking_pipeline.delivery.engine.events import FailedEvent, Lead

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)
ROW_EVENT_ID = UUID("0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11")


def claimed(
    payload: Any,
    *,
    event_name: str = "Lead",
    user_data: Any = None,
    lead_id: UUID | None = None,
    lead: Lead | None = None,
    retry_count: int = 0,
    max_retries: int = 5,
    created_at: datetime = NOW - timedelta(hours=1),
) -> FailedEvent:
    """A row with this payload, claimed at :data:`NOW`."""
    return FailedEvent(
        id=UUID("5f2f6f0e-98cb-4c8e-8d1e-6d1b8a5b7c01"),
        event_id=ROW_EVENT_ID,
        event_name=event_name,
        event_type="conversion",
        payload=payload,
        user_data=user_data,
        lead_id=lead_id,
        session_id=None,
        retry_count=retry_count,
        max_retries=max_retries,
        created_at=created_at,
        now=NOW,
        lease_token=7,
        lead=lead,
    )
