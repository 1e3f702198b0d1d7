"""What was withheld lately: events that a person's refusal or the site's own rule kept back.

It has no threshold, raises no alert and is in no error rate. It is shown because a number that
changes from one day to the next may be a consent banner that broke.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.withheld_events import WithheldEvents, count_withheld


@dataclass(frozen=True, slots=True)
class WithheldReading:
    """How many events were withheld within 24 hours and within 7 days, in all and by destination
    and reason, the most frequent first. Reasons hold no personal data."""

    last_day: int = 0
    last_week: int = 0
    by_reason: Sequence[WithheldEvents] = ()

    def last_day_of(self, destination: str) -> int:
        """Those of one destination within 24 hours."""
        return sum(each.last_day for each in self.by_reason if each.destination == destination)


def read_withheld(connection: psycopg.Connection[Any]) -> WithheldReading:
    """The reading of this moment."""
    merged: dict[tuple[str, str], WithheldEvents] = {}
    for each in count_withheld(connection):
        key = each.destination, plain_reason(each.reason)
        known = merged.get(key, WithheldEvents(*key, 0, 0))
        merged[key] = WithheldEvents(
            *key, known.last_day + each.last_day, known.last_week + each.last_week
        )
    by_reason = sorted(merged.values(), key=lambda each: -each.last_week)
    return WithheldReading(
        last_day=sum(each.last_day for each in by_reason),
        last_week=sum(each.last_week for each in by_reason),
        by_reason=by_reason,
    )
