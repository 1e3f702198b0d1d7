"""What was withheld as of the last check, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline.web.page import words


@dataclass(frozen=True, slots=True)
class WithheldRow:
    """Withheld events of one destination and reason."""

    destination: str
    reason: str
    last_day: str
    last_week: str


def withheld_view(whole: Snapshot | None) -> Sequence[WithheldRow]:
    """The rows, the most first; none where nothing was withheld or no check has counted.
    ``whole`` is the last check's number with its detail."""
    detail = (whole.detail if whole else None) or {}
    return [
        WithheldRow(
            destination=words.destination(each["destination"]),
            reason=words.reason(each["reason"]),
            last_day=words.count(each["last_day"]),
            last_week=words.count(each["last_week"]),
        )
        for each in detail.get("by_reason") or ()
    ]
