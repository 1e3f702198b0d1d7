"""How long a failed event waits before it is sent again, and when it is given up. Pure: the jitter
is passed in.

Each row has ``max_retries`` of its own, by default the five of
:data:`~tracking_pipeline.store.accepted_events.MAX_RETRIES`, which take some three hours. A
destination with a horizon goes on with them after that, at a wait that
grows no further, until so long after the row's ``created_at``: that is when the site lost the
event, and what an outage is measured from. The age limit of the event itself, which is counted from
its own time, holds all the same. A row whose ``max_retries`` the site set itself, to any number but
that of the column's default, keeps to it.
"""

from __future__ import annotations

from datetime import timedelta

from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.store.accepted_events import MAX_RETRIES

BASE_SECONDS = 5 * 60
LONGEST_SECONDS = 24 * 60 * 60
# Only ever later: a jitter that may come earlier would break a Retry-After.
JITTER_SHARE = 0.2
# 5 minutes doubled nine times is past the longest wait; a larger power only overflows.
_MOST_DOUBLINGS = 9


def wait_seconds(
    retry_count: int,
    retry_after_seconds: float | None,
    jitter: float,
    base_seconds: float = BASE_SECONDS,
) -> float:
    """The wait of a row whose ``retry_count`` just became this number, this failure included.

    5 * 2**n minutes for n failures (10, 20, 40, 80), or a destination's own base instead of the
    five, at most 24 hours. ``jitter`` in [0, 1) spreads
    the waits by up to 20 % so that rows which failed together do not come back together. Never
    earlier than ``retry_after_seconds``, which is itself bounded by the longest wait: a destination
    that asks for a year does not get to hide an event.
    """
    doublings = min(max(retry_count, 0), _MOST_DOUBLINGS)
    scheduled = min(base_seconds * 2.0**doublings, float(LONGEST_SECONDS))
    asked = min(max(retry_after_seconds or 0.0, 0.0), LONGEST_SECONDS)
    return max(scheduled, asked) * (1 + JITTER_SHARE * jitter)


def next_wait_seconds(
    event: FailedEvent,
    retry_count: int,
    retry_after_seconds: float | None,
    jitter: float,
    horizon: timedelta | None,
    *,
    base_seconds: float = BASE_SECONDS,
) -> float | None:
    """The wait of an event whose failures have just become ``retry_count``; None where that was its
    last try: its retries are spent, and the next one would lie past the ``horizon``.

    A row that says it was made after the claim has no age that a horizon could be measured by.
    """
    if retry_count < event.max_retries:
        return wait_seconds(retry_count, retry_after_seconds, jitter, base_seconds)
    if horizon is None or event.max_retries != MAX_RETRIES:
        return None
    wait = wait_seconds(MAX_RETRIES, retry_after_seconds, jitter, base_seconds)
    age = event.now - event.created_at
    return wait if timedelta(0) <= age <= horizon - timedelta(seconds=wait) else None


def is_last_try(
    event: FailedEvent,
    retry_after_seconds: float | None,
    horizon: timedelta | None,
    base_seconds: float = BASE_SECONDS,
) -> bool:
    """Whether one more failure would be the end of the event, the longest jitter assumed."""
    count = event.retry_count + 1
    wait = next_wait_seconds(
        event, count, retry_after_seconds, 1.0, horizon, base_seconds=base_seconds
    )
    return wait is None
