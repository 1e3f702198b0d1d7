"""Tracking's health over a window of time that is asked for, from the roll-up and by partial
indexes: what the admin dashboard's endpoint shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import STORES
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.platforms import PlatformCoverage, platform_coverage
from tracking_pipeline.health.emq.score import EmqScore, score
from tracking_pipeline.health.readings.rollup import count_events, full_hour
from tracking_pipeline.health.view.status import DestinationStatus, read_destinations
from tracking_pipeline.health.view.summary import HealthSummary, read_summary
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.health_readings import Failures, count_failures
from tracking_pipeline.store.lead_integrity import (
    LeadIntegrity,
    SettledToday,
    count_lead_integrity,
    count_settled_today,
    count_undelivered,
)
from tracking_pipeline.store.rollup_progress import read_progress

# Checks roll up every quarter of an hour what is an hour old. What is left of much more than that
# is the history of a ledger that is still being counted, and not for a request to count.
LONGEST_NOT_ROLLED_UP = timedelta(hours=6)
INTEGRITY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """[since, until)."""

    since: datetime
    until: datetime

    @property
    def before(self) -> Window:
        """The equal window before this one."""
        return Window(self.since - (self.until - self.since), self.since)


@dataclass(frozen=True, slots=True)
class TrackingHealth:
    """``integrity`` None: the window holds too much to count it now. ``counted_until``: as far as
    the ledger is counted, None where it was never begun."""

    summary: HealthSummary
    window: Window
    counted_until: datetime | None
    score: EmqScore
    previous: EmqScore
    platforms: Mapping[str, PlatformCoverage]
    destinations: Mapping[str, DestinationStatus]
    settled_today: SettledToday
    conversions: int
    failures: Failures
    undelivered: int
    integrity: LeadIntegrity | None


def window_of(since: datetime | None, until: datetime | None, now: datetime, days: int) -> Window:
    """The window that is asked for, the last ``days`` where it is not; up to now at most."""
    end = now if until is None else min(until, now)
    return Window(full_hour(end - timedelta(days=days)) if since is None else since, end)


def read_tracking_health(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    missing: Mapping[str, str],
    since: datetime | None,
    until: datetime | None,
) -> TrackingHealth | None:
    """All of it, at one moment of the database but for the integrity of leads. None where the
    window is empty. ``missing``: what to set, by destination that is not configured."""
    rule = config.counting
    with one_moment(connection) as now:
        window = window_of(since, until, now, config.emq_window_days)
        if window.since >= window.until:
            return None
        reached = _counted_until(read_progress(connection).rolled_until, window)
        counts = {} if reached is None else count_events(connection, window.since, reached, rule)
        before = (
            {}
            if reached is None
            else count_events(connection, window.before.since, window.before.until, rule)
        )
        found = TrackingHealth(
            summary=read_summary(connection, now, config),
            window=window,
            counted_until=reached,
            score=score(counts, config.emq_model, config.emq_weights),
            previous=score(before, config.emq_model, config.emq_weights),
            platforms=platform_coverage(counts),
            destinations=read_destinations(connection, missing),
            settled_today=count_settled_today(connection),
            conversions=sum(sum(of_name.values()) for of_name in counts.values()),
            failures=count_failures(connection, window.since, window.until, rule.conversions),
            undelivered=count_undelivered(connection, window.since, window.until, STORES),
            integrity=None,
        )
    integrity = count_lead_integrity(
        connection,
        window.since,
        window.until,
        rule.conversions,
        time_limit_seconds=INTEGRITY_SECONDS,
    )
    return replace(found, integrity=integrity)


def _counted_until(rolled_until: datetime | None, window: Window) -> datetime | None:
    if rolled_until is None:
        return None
    if window.until - rolled_until <= LONGEST_NOT_ROLLED_UP:
        return window.until
    return rolled_until if rolled_until > window.since else None
