"""What one try to deliver one event came to: exactly one of seven outcomes.

    Delivered   the destination has the event                  -> resolved
    Retry       it may work later                              -> one retry spent, then waits
    Throttled   the destination asks everyone to slow down     -> nothing spent, destination waits
    Paused      nobody's events can get in (token, account)    -> nothing spent, breaker opens
    Rejected    this event can never be accepted               -> dead letter, with the reason
    Withheld    the person or the site's own rule says no      -> resolved, with the reason
    Postponed   the event's own time is still to come          -> nothing spent, waits until then

The last two are decided before any request, and a rejection may be (:data:`NotSent`). What is
withheld is settled and is no failure: nobody is alarmed by it, and nobody sends it again.

A request that carries many events is judged by a :class:`Verdict`: either each event has its
outcome, or the request was refused as a whole, which says nothing yet about its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from tracking_pipeline.delivery.failures import Failure, FailureOutcome

OutcomeName: TypeAlias = Literal["delivered"] | FailureOutcome


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an event was not delivered, in words that hold no secret and no personal data.

    ``failure`` is the public one, ``code`` the platform's own. ``said`` are the platform's words
    for people where it has such, ``trace_id`` what its support finds the request by, ``fields``
    the paths that it objects to.
    """

    message: str
    failure: Failure
    code: str | None = None
    http_status: int | None = None
    said: str | None = None
    trace_id: str | None = None
    fields: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Accepted, or already there. ``duplicate`` tells which kind of "already".

    ``warnings`` are the kinds of what the other side warned of, such as a part of the event that it
    ignores: short, stable, without values of the event. ``said`` are its own words for them, fit to
    be kept.
    """

    http_status: int | None = None
    duplicate: Literal["event", "conversion"] | None = None
    warnings: tuple[str, ...] = ()
    said: str = ""
    name: OutcomeName = "delivered"


@dataclass(frozen=True, slots=True)
class Retry:
    """``retry_after_seconds`` is the least wait that the answer asked for, for this event."""

    fault: Fault
    retry_after_seconds: float | None = None
    name: OutcomeName = "retry"


@dataclass(frozen=True, slots=True)
class Throttled:
    """The whole destination waits ``wait_seconds``."""

    fault: Fault
    wait_seconds: float
    name: OutcomeName = "throttled"


@dataclass(frozen=True, slots=True)
class Paused:
    """A human has to mend something outside: the fault's message says what.

    ``certain`` is False where an answer speaks of the call and one event may still have drawn it,
    as a bare 403 or a code that nobody here knows.
    """

    fault: Fault
    certain: bool = True
    name: OutcomeName = "paused"


@dataclass(frozen=True, slots=True)
class Rejected:
    """``reason`` becomes the dead letter's reason: short, stable, without values of the event.

    ``in_doubt``: the request left and nobody knows its end, and the destination would not recognise
    a second one. That is a failure of the destination, which the events pay for.
    """

    reason: str
    fault: Fault
    in_doubt: bool = False
    name: OutcomeName = "rejected"


@dataclass(frozen=True, slots=True)
class Withheld:
    """``reason`` is what withheld events are counted by: short, stable, without values of the
    event, as in ``consent denied``."""

    reason: str
    fault: Fault
    name: OutcomeName = "withheld"


POSTPONED = "postponed"
"""The error code of an event that waits for its own time. A failed event that has it never failed:
the next failure writes its own over it."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The event waits until ``until``, which has a time zone."""

    until: datetime
    fault: Fault = Fault("event_time lies in the future", Failure.EVENT_NOT_DUE, POSTPONED)
    name: OutcomeName = "postponed"


Outcome: TypeAlias = Delivered | Retry | Throttled | Paused | Rejected
"""What an answer can mean for an event."""

NotSent: TypeAlias = Rejected | Withheld | Postponed
"""Why an event goes into no request."""


def reject(reason: str, failure: Failure, *, code: str | None = None) -> Rejected:
    """A rejection decided here, before any request: its message is its reason."""
    return Rejected(reason, Fault(reason, failure, code))


OUTCOME_UNKNOWN = "outcome unknown"
"""The reason of a dead letter that the destination may have."""


def unknown_end(fault: Fault) -> Rejected:
    """The end of an event that was sent where nobody knows what came of it, and where a second one
    may count twice."""
    return Rejected(OUTCOME_UNKNOWN, fault, in_doubt=True)


def withhold(reason: str, failure: Failure) -> Withheld:
    """What the person's refusal or the site's own rule keeps back: its message is its reason."""
    return Withheld(reason, Fault(reason, failure))


@dataclass(frozen=True, slots=True)
class Uniform:
    """One outcome for every event of the request."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class PerEvent:
    """One outcome for each event, in the order they were sent."""

    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was refused because of one or more of its members and nothing of it was taken.

    ``named`` is what the answer says of single members, by position: why that one can never be
    accepted, or that it is there already. A single event that is refused alone, and not by name,
    gets ``rejected``.
    """

    rejected: Rejected
    named: Mapping[int, Delivered | Rejected] = field(default_factory=dict)


def is_failure(outcome: Outcome | None) -> bool:
    """Whether an outcome of a whole request says that the destination does not do its work."""
    return isinstance(outcome, Retry) or (isinstance(outcome, Rejected) and outcome.in_doubt)


@dataclass(frozen=True, slots=True)
class Suspected:
    """The request met what looks like a fault of the call, while others are accepted: one of its
    members may have drawn it."""

    paused: Paused


def delivered_with(http_status: int, events: int, warnings: Mapping[int, Sequence[str]]) -> Verdict:
    """All of so many ``events`` delivered, those with the kinds of ``warnings`` that stand at their
    position."""
    if not warnings:
        return Uniform(Delivered(http_status))
    return PerEvent(
        [
            Delivered(http_status, warnings=tuple(warnings.get(position, ())))
            for position in range(events)
        ]
    )


Verdict: TypeAlias = Uniform | PerEvent | Refused | Suspected
