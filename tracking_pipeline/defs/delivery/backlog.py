"""What is due at destinations that can take it, and how many retry runs that calls for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg

from tracking_pipeline.defs.ticks import number
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.formatting import duration
from tracking_pipeline.store.accepted_events import read_accepted_backlog
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.queue_counts import BACKLOG_CAP, Backlog, read_backlog
from tracking_pipeline.wiring.installation import Installation

# Fewer are sent before another run has started.
EVENTS_FOR_ANOTHER_RUN = 1000
LAUNCHED_BY_ANOTHER = "another sensor or schedule has just launched them"


@dataclass(frozen=True)
class DueEvents:
    """The backlog of all destinations, and of those that can take events now."""

    all: Sequence[Backlog]
    sendable: Sequence[Backlog]

    @property
    def count(self) -> int:
        return sum(each.due for each in self.sendable)


def read_due_events(installation: Installation, connection: psycopg.Connection[Any]) -> DueEvents:
    """What is due now. A few counts, each of which stops at its cap."""
    accepted = read_accepted_backlog(connection, DESTINATIONS)
    backlog = with_accepted(read_backlog(connection, DESTINATIONS), accepted)
    states = read_destination_states(connection)
    missing = installation.missing_settings()
    return DueEvents(
        backlog, [each for each in backlog if can_take(each.destination, states, missing)]
    )


def runs_called_for(due: int, workers: int) -> int:
    """How many retry runs shall be under way while so many events are due: none for none, one for
    each :data:`EVENTS_FOR_ANOTHER_RUN` begun, and ``workers`` (``RETRY_WORKERS``) at most. A count
    that stopped at its cap calls for all of them."""
    if due >= BACKLOG_CAP:
        return workers
    return min(workers, -(-due // EVENTS_FOR_ANOTHER_RUN))


def with_accepted(backlog: Sequence[Backlog], accepted: Mapping[str, int]) -> list[Backlog]:
    """The backlog, with the events that wait for their first attempt among those that are due."""
    return [replace(each, due=each.due + accepted.get(each.destination, 0)) for each in backlog]


def can_take(
    destination: str, states: dict[str, DestinationState], missing: Mapping[str, str]
) -> bool:
    """Whether a run could send to the destination now, or may probe it. ``missing`` names those
    that are not configured.
    """
    state = states.get(destination, DestinationState(destination))
    return (
        destination not in missing and state.throttled_seconds <= 0 and state.probe_in_seconds <= 0
    )


def why_nothing_is_due(due: DueEvents) -> str:
    """The skip reason, in numbers: "0 due, 14 waiting, next in 4 min"."""
    words = [f"0 due, {number(sum(each.not_due for each in due.all))} waiting"]
    waits = [each.next_due_seconds for each in due.sendable if each.next_due_seconds is not None]
    if waits:
        words.append(f"next in {duration(timedelta(seconds=min(waits)))}")
    held = sum(each.due for each in due.all) - due.count
    if held:
        words.append(f"{number(held)} held back: destination paused, throttled or not configured")
    return ", ".join(words)
