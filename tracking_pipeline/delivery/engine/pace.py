"""When a worker may begin its next request. The clock's readings are passed in.

A worker has so many permits, each for one request a second. It spreads them evenly over the second;
what it is late with, on a busy machine, it makes up for in the next moments, as far as permits have
rested.
"""

from __future__ import annotations

import math
from collections import deque

from tracking_pipeline.delivery.engine.destination import Limits

# The way to the destination takes now longer, now shorter. A permit that may go from one worker to
# another rests a little more than its second, so that two requests are not one too many when they
# arrive.
REST_SECONDS = 1.05
_MADE_UP_FOR_SECONDS = 0.25


def permits_of(limits: Limits) -> int:
    """How many permits a destination has: none where it has no pace, and none is needed."""
    pace = limits.requests_per_second
    return 0 if pace is None else max(1, math.floor(pace))


class Pace:
    """The requests that one worker has begun lately, and when it may begin the next."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.requests_per_second
        self._all = permits_of(limits)
        self._second = max(1.0, 1.0 / self._rate) if self._rate else 1.0
        self._begun: deque[float] = deque(maxlen=self._all + 1)
        self._due = -math.inf

    @property
    def rest_seconds(self) -> float:
        """How long a permit rests: a second, or the time in which one request is allowed."""
        return self._second * REST_SECONDS

    def in_use(self, now: float) -> int:
        """How many permits have not rested yet."""
        return min(sum(at > now - self.rest_seconds for at in self._begun), self._all)

    def start(self, now: float) -> None:
        """There was nothing to send before, and nothing that is late."""
        self._due = max(self._due, now)

    def begin(self, permits: int, now: float) -> None:
        """A request begins."""
        self._begun.append(now)
        self._due = max(self._due, now - _MADE_UP_FOR_SECONDS) + self._gap(permits)

    def seconds_to_wait(self, permits: int, now: float) -> float:
        """Until another request may begin; 0 or less: now."""
        if self._rate is None:
            return 0.0
        if permits == 0:
            return math.inf
        # Whoever has all permits keeps to the pace itself, and need not care whose has rested.
        has_all = permits >= self._all
        most = math.ceil(self._rate) if has_all else permits
        rest = self._second if has_all else self.rest_seconds
        rested_at = self._begun[-most] + rest if len(self._begun) >= most else -math.inf
        return max(self._due, rested_at) - now

    def _gap(self, permits: int) -> float:
        if self._rate is None:
            return 0.0
        return 1.0 / self._rate if permits >= self._all else self.rest_seconds / max(1, permits)
