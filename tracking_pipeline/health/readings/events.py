"""What the ledger says of the last days: the EMQ score, and the share of events that failed.

A window begins at a full hour (UTC), because what was rolled up is known by the hour. Both are to
be read within :func:`~tracking_pipeline.health.readings.all.one_moment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.health.emq.score import EmqScore, score
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.rollup import CountingRule, count_events, full_hour
from tracking_pipeline.store.health_readings import count_failures
from tracking_pipeline.store.match_key_rollup import count_conversions, read_counts
from tracking_pipeline.store.rollup_progress import read_progress


@dataclass(frozen=True, slots=True)
class EmqReading:
    """The estimated score of the window and of the equal one ``before`` it; ``trend`` is the
    difference.

    ``complete``: all events of both windows were counted. It is not while the first roll-up of a
    long history is under way; then there is no score, and ``counted_until`` says how far it is.
    """

    score: EmqScore
    before: EmqScore
    window_days: int
    complete: bool
    counted_until: datetime | None

    @property
    def trend(self) -> float | None:
        if self.score.overall is None or self.before.overall is None:
            return None
        return self.score.overall - self.before.overall


@dataclass(frozen=True, slots=True)
class ErrorRateReading:
    """Distinct ``failed`` events of the window in percent of ``events``: them and the ledger's
    conversions together, each once. By destination over the same denominator. None: no events."""

    percent: float | None
    failed: int
    events: int
    window_hours: int
    failed_by_destination: Mapping[str, int] = field(default_factory=dict)

    @property
    def percent_by_destination(self) -> dict[str, float]:
        return {
            name: 100.0 * failed / self.events
            for name, failed in self.failed_by_destination.items()
        }


def read_emq(
    connection: psycopg.Connection[Any],
    policy: HealthPolicy,
    now: datetime,
    *,
    caught_up: bool = True,
) -> EmqReading:
    """The EMQ score of the last ``emq_window_days``."""
    window = timedelta(days=policy.emq_window_days)
    if not caught_up:
        nothing = EmqScore("no_data")
        rolled_until = read_progress(connection).rolled_until
        return EmqReading(nothing, nothing, policy.emq_window_days, False, rolled_until)
    since, earlier = full_hour(now - window), full_hour(now - 2 * window)
    scores = [
        score(
            count_events(connection, begin, end, policy.counting),
            policy.emq_model,
            policy.emq_weights,
        )
        for begin, end in ((since, now), (earlier, since))
    ]
    return EmqReading(scores[0], scores[1], policy.emq_window_days, True, now)


def read_error_rate(
    connection: psycopg.Connection[Any], policy: HealthPolicy, now: datetime
) -> ErrorRateReading:
    """The error rate of the last ``error_rate_window_hours``."""
    since = full_hour(now - timedelta(hours=policy.error_rate_window_hours))
    failures = count_failures(connection, since, now, policy.counting.conversions)
    conversions = _count_conversions(connection, since, now, policy.counting)
    events = conversions + failures.events - failures.in_ledger
    return ErrorRateReading(
        percent=100.0 * failures.events / events if events else None,
        failed=failures.events,
        events=events,
        window_hours=policy.error_rate_window_hours,
        failed_by_destination=failures.by_destination,
    )


def _count_conversions(
    connection: psycopg.Connection[Any], since: datetime, now: datetime, rule: CountingRule
) -> int:
    """The ledger's conversions: what is rolled up, and the rest from the ledger itself. An event id
    is in the ledger once, but for tables that came without its unique index."""
    counts = read_counts(connection, since, now)
    rolled = sum(sum(of_name.values()) for of_name in counts.values())
    rolled_until = read_progress(connection).rolled_until
    rest_since = since if rolled_until is None else max(since, rolled_until)
    return rolled + count_conversions(connection, rest_since, now, rule.conversions)
