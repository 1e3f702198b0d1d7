"""All that one health check reads, of one moment of the database.

Every reading is bounded by its window, not by the length of the tables. A reading that has nothing
to say says None, never 0 and never 100 %.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from tracking_pipeline.delivery.engine.breaker import told_reason
from tracking_pipeline.delivery.engine.destination_check import (
    ending_level,
    ending_words,
    soonest,
)
from tracking_pipeline.geo.coverage import GeoCoverage, read_geo_coverage
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import METRICS, Measured
from tracking_pipeline.health.readings.accounting import (
    AccountingReading,
    DeliveryRateReading,
    read_delivery_rate,
    read_lately,
)
from tracking_pipeline.health.readings.automation import AutomationReading
from tracking_pipeline.health.readings.causes import paused_causes
from tracking_pipeline.health.readings.changes import ChangesReading, read_changes
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
    WithheldReading,
    read_dead_letter_batches,
    read_queue,
    read_recovery,
    read_withheld,
)
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.destination_checks import RecordedDestinationCheck, read_checks
from tracking_pipeline.store.destination_state import read_destination_states
from tracking_pipeline.store.geo_providers import read_geo_provider_states
from tracking_pipeline.store.health_readings import count_waiting
from tracking_pipeline.store.health_snapshots import read_metrics_seen

# One lost answer is the network's; three in a row are the provider's.
GEO_FAILURES_DOWN = 3
# What has no end that anybody knows of ends so late.
FAR_DAYS = 3650.0


@dataclass(frozen=True, slots=True)
class QuickReadings:
    """What can be read every 30 seconds: what costs little however long the tables are.

    The EMQ score is not among it. It is a mean over days, which no half minute moves, and counting
    the newest events for it is the roll-up's work. Of the queue it is only how much waits.

    ``paused`` gives the reason by destination that is paused, ``geo_down`` the last failure by
    online geolocation provider that does not respond.
    """

    taken_at: datetime
    queue: QueueReading
    error_rate: ErrorRateReading
    dead_letters: DeadLetterReading
    paused: Mapping[str, str]
    geo_down: Mapping[str, str]

    @property
    def pauses(self) -> Measured:
        return _down(self.paused)

    @property
    def providers_down(self) -> Measured:
        return _down(self.geo_down)


@dataclass(frozen=True, slots=True)
class HealthReadings(QuickReadings):
    """What one check read at ``taken_at``. ``seen`` are the metrics that had data at an earlier
    check. ``automation`` is what Dagster knows of our schedules and sensors."""

    emq: EmqReading
    accounting: AccountingReading
    delivery_rate: DeliveryRateReading
    recovery: RecoveryReading
    withheld: WithheldReading
    geo: GeoCoverage
    checks: Mapping[str, RecordedDestinationCheck]
    automation: AutomationReading
    changes: ChangesReading
    seen: Collection[str] = ()

    @property
    def missing(self) -> list[str]:
        """The metrics that are expected to have data and have none now. An installation that never
        had any is not alarmed, and few events are not none."""
        if not self.emq.complete:  # while a history is being counted, nothing follows from it
            return []
        expected = (spec for spec in METRICS.values() if spec.expected and spec.name in self.seen)
        return [spec.name for spec in expected if spec.read(self).value is None]

    @property
    def expiring(self) -> Measured:
        """The days until the first of what the destinations need ends, 0 where it has ended;
        without an end in sight a number that alarms nobody. None before the first check."""
        endings = soonest(self.checks)
        return Measured(
            max(min((each.days_left for _, each in endings), default=FAR_DAYS), 0.0)
            if self.checks
            else None,
            causes=tuple(
                f"{name}: {ending_words(each.what, each.at, each.days_left)}"
                for name, each in endings
                if ending_level(each.days_left) != "ok"
            ),
            detail={name: {each.what: each.at.isoformat()} for name, each in endings[:1]},
        )

    @property
    def places(self) -> Measured:
        geo = self.geo
        parts = {
            "city": geo.with_city_percent,
            "state": geo.with_state_percent,
            "zip": geo.with_zip_percent,
        }
        return Measured(geo.complete_percent, detail=asdict(geo), parts=parts)

    @property
    def places_before(self) -> Measured:
        geo = self.geo
        parts = {
            "city": geo.before_city_percent,
            "state": geo.before_state_percent,
            "zip": geo.before_zip_percent,
        }
        return Measured(None, parts=parts)


def _down(reasons: Mapping[str, str]) -> Measured:
    return Measured(len(reasons), causes=paused_causes(reasons), detail=dict(reasons))


def read_health(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    *,
    caught_up: bool = True,
    automation: AutomationReading | None = None,
) -> HealthReadings:
    """All readings, of one moment: the roll-up and the ledger behind it have to fit together.
    ``caught_up``: whether the roll-up before it came to its end. ``automation`` was read where
    Dagster is; None: nobody asked."""
    expected = [spec.name for spec in METRICS.values() if spec.expected]
    with one_moment(connection) as now:
        return HealthReadings(
            taken_at=now,
            emq=read_emq(connection, config, now, caught_up=caught_up),
            queue=read_queue(connection),
            error_rate=read_error_rate(connection, config, now),
            accounting=read_lately(connection, config, now),
            delivery_rate=read_delivery_rate(connection, config, now),
            recovery=read_recovery(connection),
            dead_letters=read_dead_letter_batches(connection, now),
            withheld=read_withheld(connection),
            geo=read_geo_coverage(connection),
            checks=read_checks(connection),
            paused=read_paused(connection),
            geo_down=read_geo_down(connection),
            automation=automation or AutomationReading(now),
            changes=read_changes(connection, config, caught_up=caught_up),
            seen=read_metrics_seen(connection, expected),
        )


def read_quickly(connection: psycopg.Connection[Any], config: HealthConfig) -> QuickReadings:
    """The quick readings, as a check would take them."""
    with one_moment(connection) as now:
        return QuickReadings(
            taken_at=now,
            queue=QueueReading(count_waiting(connection)),
            error_rate=read_error_rate(connection, config, now),
            dead_letters=read_dead_letter_batches(connection, now),
            paused=read_paused(connection),
            geo_down=read_geo_down(connection),
        )


def read_paused(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The destinations whose breaker is not closed, with the failure's code and the reason."""
    states = read_destination_states(connection).values()
    return {
        each.destination: told_reason(each.failure_code, plain_reason(each.reason))
        for each in states
        if each.state != "closed"
    }


def read_geo_down(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The online geolocation providers that failed several times in a row, with the last
    failure."""
    states = read_geo_provider_states(connection).values()
    return {
        each.provider: plain_reason(each.reason)
        for each in states
        if each.failures >= GEO_FAILURES_DOWN
    }
