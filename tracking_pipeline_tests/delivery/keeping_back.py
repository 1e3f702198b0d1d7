"""A destination that keeps some events back, around a real one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from tracking_pipeline.delivery.engine.destination import Destination, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent
from tracking_pipeline_tests.delivery.failed_event_queue import Added
from tracking_pipeline_tests.delivery.runs import Wrap


class KeepingBack:
    """Says what it was told of the events that it was told of, and passes on the others.

    ``prepared`` are the rows that it was asked about, in order.
    """

    def __init__(self, real: Destination, said: dict[UUID, NotSent], prepared: list[UUID]) -> None:
        self._real = real
        self._said = said
        self.name = real.name
        self.limits = real.limits
        self._prepared = prepared

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        self._prepared.append(event.id)
        return self._said.get(event.id) or self._real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        return await self._real.send(batch, now)


class Kept:
    """What all destinations of a test say of its rows; to be changed between its runs."""

    def __init__(self) -> None:
        self.said: dict[UUID, NotSent] = {}
        self.prepared: list[UUID] = []

    def say(self, outcome: NotSent, rows: Iterable[Added]) -> None:
        """From now on ``outcome`` is what becomes of these rows."""
        self.said.update((row.id, outcome) for row in rows)

    def forget(self) -> None:
        """From now on all goes out."""
        self.said.clear()

    @property
    def wrap(self) -> Wrap:
        return lambda real: KeepingBack(real, self.said, self.prepared)
