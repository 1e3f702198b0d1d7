"""Do the events of the browser and of the server meet: is one conversion known by one id?

Nobody sees all of it, so it is told by those who see a part, each for itself:

    the ledger    an order that came under several event ids was told by somebody under an id of his
                  own. An id stands there once, so what met cannot be told from what one side alone
                  reported: the share of orders under one id is an upper bound.
    Meta          sees the pixel: of the pixel's events, the share with a server event under the
                  same key (``dedupe_key_feedback`` of the Dataset Quality API), read once a day.
    Google        counts the events of a request whose order id it had already, from the tag on the
                  page or from an earlier try of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.store.delivery_accounting import count_orders
from tracking_pipeline.store.google_requests import count_duplicates
from tracking_pipeline.store.health_history import KeyFeedback, read_key_feedback

# Meta's figures come once a day, and move slowly.
_FEEDBACK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Deduplication:
    """``orders`` of a window, of which so many came ``under_one_id``; the newest of what Meta says
    by event name and key; how many of the events that Google has judged (``google_events``) it had
    already."""

    orders: int = 0
    under_one_id: int = 0
    meta: Sequence[KeyFeedback] = ()
    google_events: int = 0
    google_duplicates: int = 0

    @property
    def one_id_percent(self) -> float | None:
        """None: no conversion names an order."""
        return 100.0 * self.under_one_id / self.orders if self.orders else None

    @property
    def google_percent(self) -> float | None:
        """None: Google has judged nothing."""
        judged = self.google_events
        return 100.0 * self.google_duplicates / judged if judged else None


def read_deduplication(
    connection: psycopg.Connection[Any], since: datetime, until: datetime, *, repeated_orders: int
) -> Deduplication:
    """What is known of [since, until), in which so many orders came under several event ids."""
    orders = count_orders(connection, since, until)
    judged, duplicates = count_duplicates(connection, since, until)
    return Deduplication(
        orders=orders,
        under_one_id=max(orders - repeated_orders, 0),
        meta=read_key_feedback(connection, until - timedelta(days=_FEEDBACK_DAYS), until),
        google_events=judged,
        google_duplicates=duplicates,
    )
