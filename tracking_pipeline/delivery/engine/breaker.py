"""When a destination's breaker opens. Pure.

It opens at once on a fault that only a human can mend (token, account: the outcome ``Paused``), and
by count when a destination keeps failing: the breaker counts requests, not events, because one
request of a thousand events that times out is one failure of the other side.

A site of few events never makes so many requests in a few minutes. So what counts there is that in
several runs nothing at all succeeded: three of them, two minutes apart or more, in which requests
failed, or two in which three events were refused, each alone and for one reason that may be of the
account. It takes several events to tell: what only ever happens to one may be its own fault, and it
goes its way to the dead letters.
"""

from __future__ import annotations

import re

from tracking_pipeline.delivery.failures import Failure

WINDOW_SECONDS = 5 * 60
# One failure of one request is no trend.
LEAST_REQUESTS = 10
FAILED_SHARE = 0.7
# So many events refused alone for one and the same reason, and none accepted in the run: it is not
# the events. An API version that ended and a proxy in between answer like that.
MOST_REFUSED_ALONE = 20
# So many events in a row that drew a fault of the call alone, after others were accepted.
MOST_SUSPECTED_ALONE = 2

# Runs without a success that are closer together tell no more than one of them.
RUNS_APART_SECONDS = 2 * 60
_LEAST_FAILED_RUNS = 3
_LEAST_REFUSING_RUNS = 2
_LEAST_REFUSED_EVENTS = 3

# The reasons of pauses that no answer of the destination named. Health knows them again by these.
FAILING = re.compile(
    r"\d+ of the last \d+ requests failed|nothing has got through in the last \d+ runs"
)
REFUSING = re.compile(r"it refuses every event: ")


def opens(requests: int, failures: int) -> bool:
    """Whether so many failures among so many requests of one window open the breaker."""
    return requests >= LEAST_REQUESTS and failures >= FAILED_SHARE * requests


def is_away(failed_runs: int, *, several_events: bool) -> bool:
    """Whether so many runs without a success, whose requests failed, open the breaker."""
    return several_events and failed_runs >= _LEAST_FAILED_RUNS


def refuses_all(runs: int, events: int) -> bool:
    """Whether so many events, refused in so many runs of which none had one accepted, open it."""
    return runs >= _LEAST_REFUSING_RUNS and events >= _LEAST_REFUSED_EVENTS


def away_reason(failed_runs: int) -> str:
    """Why a destination is paused that has not answered in so many runs. :data:`FAILING` matches
    it."""
    return f"nothing has got through in the last {failed_runs} runs"


def failing_reason(requests: int, failures: int) -> str:
    """Why a destination is paused whose requests fail. :data:`FAILING` matches it."""
    return f"{failures} of the last {requests} requests failed"


def refusing_reason(refusal: str) -> str:
    """Why a destination is paused that refuses all for one reason. :data:`REFUSING` matches it."""
    return f"it refuses every event: {refusal}"


UNSPENT = "The events wait without using up retries, and are sent when a probe is accepted"
"""What there is to know of every pause."""


def pause_message(destination: str, reason: str, failure: Failure | None) -> str:
    """What the alert of a pause says until a health check has words of its own for it."""
    why = f"{destination} is paused: {told_reason(failure and failure.code, reason)}."
    return " ".join(filter(None, (why, failure and failure.remedy, f"{UNSPENT}.")))


def told_reason(code: str | None, reason: str) -> str:
    """A pause's reason with the public code of its failure, which other texts know it by."""
    return ": ".join(filter(None, (code, reason.rstrip("."))))
