"""What the ledger says of the last days: the EMQ score, and the share of events that failed.

The window of the score begins at a full hour (UTC), because what was rolled up is known by the
hour; that of the error rate is exact. Both are to be read within
:func:`~tracking_pipeline.store.database.one_moment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.platforms import PlatformCoverage, platform_coverage
from tracking_pipeline.health.emq.score import EmqScore, score
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.causes import (
    bearing_on,
    destination_causes,
    emq_causes,
    failure_causes,
    setting_causes,
)
from tracking_pipeline.health.readings.rollup import count_events, full_hour
from tracking_pipeline.store.health_readings import (
    count_conversions_and_failures,
    count_failure_codes,
    count_failures,
)
from tracking_pipeline.store.match_key_rollup import (
    ConversionRule,
    count_conversions,
    read_counts,
)
from tracking_pipeline.store.rollup_progress import read_progress
from tracking_pipeline.store.setting_changes import SettingChange, read_setting_changes

# So many rows of the ledger are counted in some 50 ms, and the error rate is read twice a minute.
MOST_LEDGER_ROWS = 50_000
# Of so many codes of failures the most frequent are kept with the error rate.
_MOST_CODES = 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class EmqReading:
    """The estimated score of the window and of the equal one ``before`` it; ``trend`` is the
    difference.

    ``complete``: all events of both windows were counted. It is not while the first roll-up of a
    long history is under way; then there is no score, and ``counted_until`` says how far it is.
    ``weights`` are those of the model's terms, ``platforms`` what each destination could match of
    the window, by its name.
    """

    score: EmqScore
    before: EmqScore
    window_days: int
    complete: bool
    counted_until: datetime | None
    weights: Mapping[str, float] = field(default_factory=dict)
    platforms: Mapping[str, PlatformCoverage] = field(default_factory=dict)

    @property
    def coverage(self) -> Measured:
        """The share of the window's events with each match key of any platform."""
        every = (each.percent_by_key for each in self.platforms.values())
        by_key = {key: share for shares in every for key, share in shares.items()}
        return Measured(None, parts={**self.score.coverage_percent, **by_key})

    @property
    def matchable(self) -> Measured:
        """The share of the window's events that each destination could match."""
        shares = {name: each.matchable_percent for name, each in self.platforms.items()}
        return Measured(
            None, parts={name: share for name, share in shares.items() if share is not None}
        )

    @property
    def trend(self) -> float | None:
        if self.score.overall is None or self.before.overall is None:
            return None
        return self.score.overall - self.before.overall

    @property
    def measured(self) -> Measured:
        score = self.score
        reached = f"{self.counted_until:%Y-%m-%d %H:%M}" if self.counted_until else "its beginning"
        return Measured(
            score.overall,
            score.events,
            causes=emq_causes(score, self.before, self.weights) if score.state == "ok" else (),
            detail={
                "events": score.events,
                "trend": self.trend,
                "previous": self.before.overall,
                "window_days": self.window_days,
                "next_best_key": score.next_best_key,
                "next_best_gain": score.next_best_gain,
                "without_ip_address_keys": score.without_ip_address_keys,
                "events_by_name": {name: each.events for name, each in score.by_event.items()},
            },
            parts={name: each.score for name, each in score.by_event.items()},
            note=""
            if self.complete
            else f"the ledger's history is being counted, so far to {reached}",
        )


@dataclass(frozen=True, slots=True)
class ErrorRateReading:
    """Distinct ``failed`` events of the window in percent of ``events``: them and the ledger's
    conversions together, each once. By destination over the same denominator, and the most frequent
    codes of failures. None: no events. ``settings`` were changed within the window."""

    percent: float | None
    failed: int
    events: int
    window_hours: int
    failed_by_destination: Mapping[str, int] = field(default_factory=dict)
    failed_by_code: Mapping[str, int] = field(default_factory=dict)
    settings: Sequence[SettingChange] = ()

    @property
    def percent_by_destination(self) -> dict[str, float]:
        return {
            name: 100.0 * failed / self.events
            for name, failed in self.failed_by_destination.items()
            if self.events
        }

    @property
    def measured(self) -> Measured:
        return Measured(
            self.percent,
            self.events,
            causes=(
                *destination_causes(self.failed_by_destination, self.failed),
                *failure_causes(self.failed_by_code, self.failed),
                *self._setting_causes(),
            ),
            detail={
                "failed": self.failed,
                "events": self.events,
                "window_hours": self.window_hours,
                "failed_by_destination": dict(self.failed_by_destination),
                "failed_by_code": dict(self.failed_by_code),
            },
            parts=self.percent_by_destination,
        )

    def _setting_causes(self) -> list[str]:
        """Of the destination with most failures."""
        failed = self.failed_by_destination
        worst = max(failed, key=failed.__getitem__, default=None)
        return setting_causes(bearing_on(self.settings, worst)) if worst in DESTINATIONS else []


def read_emq(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    now: datetime,
    *,
    caught_up: bool = True,
) -> EmqReading:
    """The EMQ score of the last ``emq_window_days``."""
    window = timedelta(days=config.emq_window_days)
    if not caught_up:
        nothing = EmqScore("no_data")
        rolled_until = read_progress(connection).rolled_until
        return EmqReading(nothing, nothing, config.emq_window_days, False, rolled_until)
    since, earlier = full_hour(now - window), full_hour(now - 2 * window)
    counts, before = (
        count_events(connection, begin, end, config.counting)
        for begin, end in ((since, now), (earlier, since))
    )
    return EmqReading(
        score=score(counts, config.emq_model, config.emq_weights),
        before=score(before, config.emq_model, config.emq_weights),
        window_days=config.emq_window_days,
        complete=True,
        counted_until=now,
        weights=config.emq_weights,
        platforms=platform_coverage(counts),
    )


def read_error_rate(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    now: datetime,
    *,
    most_ledger_rows: int = MOST_LEDGER_ROWS,
) -> ErrorRateReading:
    """The error rate of the last ``error_rate_window_hours``.

    All is counted from the tables themselves. Of a window with ``most_ledger_rows`` or more the
    ledger's conversions are taken from the roll-up, which lacks rows that came with an old
    ``created_at`` until the next recount.
    """
    since = now - timedelta(hours=config.error_rate_window_hours)
    rule = config.counting.conversions
    failures = count_failures(connection, since, now, rule)
    conversions = _count_conversions(connection, since, now, rule)
    events = None
    if conversions < most_ledger_rows:  # else nothing is gained by trying
        events = count_conversions_and_failures(
            connection, since, now, rule, most_rows=most_ledger_rows
        )
    if events is None:
        events = failures.with_conversions(conversions)
    return ErrorRateReading(
        percent=100.0 * failures.events / events if events else None,
        failed=failures.events,
        events=events,
        window_hours=config.error_rate_window_hours,
        failed_by_destination=failures.by_destination,
        failed_by_code=count_failure_codes(connection, since, now, most=_MOST_CODES)
        if failures.events
        else {},
        settings=read_setting_changes(connection, since, now) if failures.events else (),
    )


def _count_conversions(
    connection: psycopg.Connection[Any], since: datetime, now: datetime, rule: ConversionRule
) -> int:
    """The ledger's conversions: of the full hours what is rolled up, and the rest from the ledger
    itself. An event id is in the ledger once, but for tables that came without its unique index."""
    first_hour = full_hour(since + _HOUR)
    counts = read_counts(connection, first_hour, now)
    rolled = sum(sum(of_name.values()) for of_name in counts.values())
    rolled_until = max(read_progress(connection).rolled_until or first_hour, first_hour)
    return (
        rolled
        + count_conversions(connection, since, min(first_hour, now), rule)
        + count_conversions(connection, rolled_until, now, rule)
    )
