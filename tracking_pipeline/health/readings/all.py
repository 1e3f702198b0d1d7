"""All that one health check reads, of one moment of the database.

Every reading is bounded by its window, not by the length of the tables. A reading that has nothing
to say says None, never 0 and never 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from tracking_pipeline.geo.coverage import GeoCoverage, read_geo_coverage
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.events import (
    EmqReading,
    ErrorRateReading,
    read_emq,
    read_error_rate,
)
from tracking_pipeline.health.readings.queue import (
    DeadLetterReading,
    QueueReading,
    RecoveryReading,
    read_dead_letters,
    read_queue,
    read_recovery,
)
from tracking_pipeline.health.readings.withheld import WithheldReading, read_withheld
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.destination_state import read_destination_states
from tracking_pipeline.store.geo_providers import read_geo_provider_states

# One lost answer is the network's; three in a row are the source's.
GEO_FAILURES_DOWN = 3


@dataclass(frozen=True, slots=True)
class HealthReadings:
    """What one check read at ``taken_at``. ``paused`` gives the reason by destination that is
    paused, ``geo_down`` the last failure by online source of places that does not answer."""

    taken_at: datetime
    emq: EmqReading
    queue: QueueReading
    error_rate: ErrorRateReading
    recovery: RecoveryReading
    dead_letters: DeadLetterReading
    withheld: WithheldReading
    geo: GeoCoverage
    paused: Mapping[str, str]
    geo_down: Mapping[str, str]


def read_health(
    connection: psycopg.Connection[Any], policy: HealthPolicy, *, caught_up: bool = True
) -> HealthReadings:
    """All readings, of one moment: the roll-up and the ledger behind it have to fit together.
    ``caught_up``: whether the roll-up before it came to its end."""
    with one_moment(connection) as now:
        return HealthReadings(
            taken_at=now,
            emq=read_emq(connection, policy, now, caught_up=caught_up),
            queue=read_queue(connection),
            error_rate=read_error_rate(connection, policy, now),
            recovery=read_recovery(connection),
            dead_letters=read_dead_letters(connection, now),
            withheld=read_withheld(connection),
            geo=read_geo_coverage(connection),
            paused=read_paused(connection),
            geo_down=read_geo_down(connection),
        )


def read_paused(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The destinations whose breaker is not closed, with the reason."""
    states = read_destination_states(connection).values()
    return {
        each.destination: plain_reason(each.reason) for each in states if each.state != "closed"
    }


def read_geo_down(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The online sources of places that failed several times in a row, with the last failure."""
    states = read_geo_provider_states(connection).values()
    return {
        each.provider: plain_reason(each.reason)
        for each in states
        if each.failures >= GEO_FAILURES_DOWN
    }
