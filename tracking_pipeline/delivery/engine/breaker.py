"""When a destination's breaker opens. Pure.

It opens at once on a fault that only a human can mend (token, account: the outcome ``Paused``), and
by count when a destination keeps failing: the breaker counts requests, not events, because one
request of a thousand events that times out is one failure of the other side.
"""

from __future__ import annotations

import re

WINDOW_SECONDS = 5 * 60
# One failure of one request is no trend.
LEAST_REQUESTS = 10
FAILED_SHARE = 0.7
# So many events refused alone for one and the same reason, and none accepted in the run: it is not
# the events. An API version that ended and a proxy in between answer like that.
MOST_REFUSED_ALONE = 20
# So many events in a row that drew a fault of the call alone, after others were accepted.
MOST_SUSPECTED_ALONE = 2

# The reasons of pauses that no answer of the destination named. Health knows them again by these.
FAILING = re.compile(r"\d+ of the last \d+ requests failed")
REFUSING = re.compile(r"it refuses every event: ")


def opens(requests: int, failures: int) -> bool:
    """Whether so many failures among so many requests of one window open the breaker."""
    return requests >= LEAST_REQUESTS and failures >= FAILED_SHARE * requests


def failing_reason(requests: int, failures: int) -> str:
    """Why a destination is paused whose requests fail. :data:`FAILING` matches it."""
    return f"{failures} of the last {requests} requests failed"


def refusing_reason(refusal: str) -> str:
    """Why a destination is paused that refuses all for one reason. :data:`REFUSING` matches it."""
    return f"it refuses every event: {refusal}"


def pause_message(destination: str, reason: str) -> str:
    """What the alert of a pause says until a health check has words of its own for it."""
    return (
        f"{destination} is paused: {reason.rstrip('.')}. Its events wait unspent; "
        "once the cause is mended it goes on by itself."
    )
