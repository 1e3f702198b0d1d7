"""What one try to deliver one event came to: exactly one of five outcomes.

    Delivered   the destination has the event                  -> resolved
    Retry       it may work later                              -> one retry spent, then waits
    Throttled   the destination asks everyone to slow down     -> nothing spent, destination waits
    Paused      nobody's events can get in (token, account)    -> nothing spent, breaker opens
    Rejected    this event can never be accepted               -> dead letter, with the reason

A request that carries many events is judged by a :class:`Verdict`: either each event has its
outcome, or the request was refused as a whole, which says nothing yet about its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

OutcomeName = Literal["delivered", "retry", "throttled", "paused", "rejected"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an event was not delivered, in words that hold no secret and no personal data."""

    message: str
    code: str | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Accepted, or already there. ``duplicate`` tells which kind of "already"."""

    http_status: int | None = None
    duplicate: Literal["event", "conversion"] | None = None
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
    """A human has to mend something outside: the fault's message says what."""

    fault: Fault
    name: OutcomeName = "paused"


@dataclass(frozen=True, slots=True)
class Rejected:
    """``reason`` becomes the dead letter's reason: short, stable, without values of the event."""

    reason: str
    fault: Fault
    name: OutcomeName = "rejected"


Outcome: TypeAlias = Delivered | Retry | Throttled | Paused | Rejected


def reject(reason: str, *, code: str | None = None) -> Rejected:
    """A rejection decided here, before any request: its message is its reason."""
    return Rejected(reason, Fault(reason, code=code))


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


Verdict: TypeAlias = Uniform | PerEvent | Refused
