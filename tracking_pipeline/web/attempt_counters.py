"""Attempts of delivery as counters that only grow, for a monitoring system that scrapes them.

The log of attempts is years long, so it is not summed up at each scrape: what came since the last
one is added to what is remembered. The counters begin at 0 when the server starts, which
Prometheus knows how to read; two servers count the same attempts each for itself.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.store.attempts import count_attempts
from tracking_pipeline.store.database import read_now

# Upper bounds in seconds: a good answer of a platform takes 0.1 to 1, a request is given up at 20.
BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
# An attempt has the time of its settling's beginning and is seen at its end, a moment later.
_SETTLING = timedelta(seconds=10)


class AttemptCounters:
    """Attempts by destination and outcome; those that were warned of and the durations by
    destination."""

    def __init__(self) -> None:
        self._counted_until: datetime | None = None
        self._lock = threading.Lock()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.warned: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.buckets: dict[str, list[int]] = {}

    def catch_up(self, connection: psycopg.Connection[Any]) -> None:
        """Adds what came since the last call, up to some seconds ago. The first call adds
        nothing."""
        with self._lock:
            until = read_now(connection) - _SETTLING
            if self._counted_until is not None:
                bounds_ms = [1000 * bound for bound in BOUNDS_SECONDS]
                for each in count_attempts(connection, self._counted_until, until, bounds_ms):
                    self.attempts[each.destination, each.outcome] += each.attempts
                    self.warned[each.destination] += each.warned
                    self.seconds[each.destination] += each.seconds
                    known = self.buckets.setdefault(each.destination, [0] * len(each.buckets))
                    for place, attempts in enumerate(each.buckets):
                        known[place] += attempts
            self._counted_until = until
