"""How long a failed event waits before it is sent again. Pure: the jitter is passed in."""

from __future__ import annotations

BASE_SECONDS = 5 * 60
LONGEST_SECONDS = 24 * 60 * 60
# Only ever later: a jitter that may come earlier would break a Retry-After.
JITTER_SHARE = 0.2
# 5 minutes doubled nine times is past the longest wait; a larger power only overflows.
_MOST_DOUBLINGS = 9


def wait_seconds(retry_count: int, retry_after_seconds: float | None, jitter: float) -> float:
    """The wait of a row whose ``retry_count`` just became this number, this failure included.

    5 * 2**n minutes for n failures (10, 20, 40, 80), at most 24 hours. ``jitter`` in [0, 1) spreads
    the waits by up to 20 % so that rows which failed together do not come back together. Never
    earlier than ``retry_after_seconds``, which is itself bounded by the longest wait: a destination
    that asks for a year does not get to hide an event.
    """
    doublings = min(max(retry_count, 0), _MOST_DOUBLINGS)
    scheduled = float(min(BASE_SECONDS << doublings, LONGEST_SECONDS))
    asked = min(max(retry_after_seconds or 0.0, 0.0), LONGEST_SECONDS)
    return max(scheduled, asked) * (1 + JITTER_SHARE * jitter)
