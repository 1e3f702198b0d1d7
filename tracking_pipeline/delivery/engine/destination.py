"""What the engine needs of a destination. Each destination is one class that fulfils it.

``prepare`` decides, without I/O; ``send`` does the I/O, gives a verdict, and does not raise for
anything that the other side does. The engine (claim, bisect, settle) knows no platform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.backoff import BASE_SECONDS
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, Verdict
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.store.database import AsyncPool

if TYPE_CHECKING:
    from tracking_pipeline.delivery.engine.share import Share


import logging

from tracking_pipeline.delivery.engine.outcomes import reject


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes to a destination at once, and for how long it is tried.

    ``request_events`` and ``request_bytes`` bound one request, ``in_flight`` the requests under
    way. ``requests_per_second`` paces them evenly, so that a backlog leaves at a steady rate; None:
    as fast as the answers come. All workers together keep to both. ``retry_horizon``: how long
    after it was lost an event is still tried, its retries spent or not; None: until its retries are
    spent. ``retry_base_seconds`` is what its waits are doubled from. ``order_window``: an event
    whose order came under another event id at most so long before is withheld; None: it is sent.
    ``unknown_end`` is the failure of an event that may have been taken without anybody knowing it,
    where a second one may count twice; None: it is sent again.
    """

    request_events: int
    request_bytes: int
    in_flight: int
    requests_per_second: float | None = None
    retry_horizon: timedelta | None = None
    retry_base_seconds: float = BASE_SECONDS
    order_window: timedelta | None = None
    unknown_end: Failure | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A judged answer. ``cool_down_seconds`` is set where the answer, good as it is, says that the
    destination is near its limit: everybody waits that long before the next request."""

    verdict: Verdict
    duration_ms: int
    cool_down_seconds: float | None = None


class Destination(Protocol):
    """One place that events are delivered to."""

    name: DestinationName
    limits: Limits

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event in this destination's form, or why it is not sent: it can never be accepted, it
        is withheld, or its time is still to come. Never raises."""
        ...

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """Sends the batch in one request. ``now`` is the database's clock at the claim.

        Never raises for what the other side does; an answer nobody can read is a ``Retry``.
        """
        ...


class LaterAnswers(Protocol):
    """What was asked and learned of events that had been accepted before: how many of them became
    dead letters, how many wait again, how many stay delivered and were warned of or matched nobody,
    by reason, and how the destination stood at the end."""

    @property
    def state(self) -> str: ...

    @property
    def detail(self) -> str: ...

    @property
    def failure(self) -> Failure | None: ...

    @property
    def dead_lettered(self) -> int: ...

    @property
    def requeued(self) -> int: ...

    @property
    def requests(self) -> int: ...

    @property
    def warned(self) -> Mapping[str, int]: ...

    @property
    def unmatched(self) -> Mapping[str, int]: ...


@runtime_checkable
class AnswersLater(Protocol):
    """A destination that accepts a request now and judges its events later."""

    async def read_later_answers(
        self, pool: AsyncPool, share: Share, *, run_id: str | None
    ) -> LaterAnswers:
        """Asks what became of what was accepted, where it is time to, and settles it. Its requests
        keep to the run's share of the limits."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A destination that can be asked whether events would get in."""

    async def check(self, now: datetime) -> DestinationCheck:
        """Asks, and sends no event. Never raises for what the other side does."""
        ...


@dataclass(frozen=True, slots=True)
class NotConfigured:
    """A destination whose settings are missing: its events stay where they are, unspent."""

    name: DestinationName
    missing: str


# An event in its destination's form, whatever the event is: for all who ask a destination.

log = logging.getLogger(__name__)


def prepare(destination: Destination, event: FailedEvent) -> Prepared | NotSent:
    """What the destination makes of the event. A bug in reading one payload must not stop its
    neighbours: such an event is parked, where it can be replayed once the bug is mended."""
    try:
        return destination.prepare(event)
    except Exception as error:  # whatever it is: the event stays, as a dead letter
        # orjson's error is a plain TypeError; only its words tell the depth from a bug of ours.
        if isinstance(error, RecursionError) or "Recursion limit" in str(error):
            return reject("event_payload is nested too deeply", Failure.EVENT_UNREADABLE)
        log.warning("an event cannot be prepared: %s", type(error).__name__)
        return reject(f"cannot be prepared: {type(error).__name__}", Failure.PREPARATION_FAILED)
