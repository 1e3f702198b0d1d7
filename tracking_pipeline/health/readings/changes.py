"""Sudden changes in the ledger, and where they come from: which event names and destinations fell
silent or surged, which match keys fell, and what was said of consent; and which part of the site
most of it is from.

What is compared is in the roll-up (``health/readings/anomalies.py`` decides): so much is read each
time, however long the history is. The ledger itself is asked only about what was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.keys import BIT_OF, without_keys_from_ip
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.accounting import BECAME_WORDS
from tracking_pipeline.health.readings.anomalies import (
    COVERAGE_HOURS,
    HISTORY_HOURS,
    HOUR,
    ConsentFinding,
    DestinationFinding,
    KeyFinding,
    Kind,
    VolumeFinding,
    find_consent,
    find_destinations,
    find_keys,
    find_volume,
)
from tracking_pipeline.health.readings.arrivals import NEVER, WITHHELD, read_facts
from tracking_pipeline.health.readings.causes import (
    Segment,
    contributing_segments,
    setting_causes,
)
from tracking_pipeline.health.readings.rollup import full_hour, mask_of_event
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.delivery_accounting import (
    count_repeated_by_hour,
    read_accounted,
    read_consent_by_hour,
    read_handed_over,
)
from tracking_pipeline.store.health_readings import (
    SEGMENTS,
    SegmentWindow,
    read_counted_with_segments,
    read_events_with_segments,
    read_segments,
)
from tracking_pipeline.store.match_key_rollup import read_hours, read_masks
from tracking_pipeline.store.rollup_progress import DELIVERY, read_progress
from tracking_pipeline.store.setting_changes import SettingChange, read_setting_changes

_MOST_TOLD = 3
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_STRAY_SHARE = 0.05
_Counts = Counter[tuple[str, str]]
_Carried = tuple[bool, tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class OrderFinding:
    """Orders of one event name within a day, ``repeated`` of them under several event ids: nearly
    all of these since ``since``."""

    name: str
    orders: int
    repeated: int
    since: datetime

    @property
    def percent(self) -> float:
        return 100.0 * self.repeated / self.orders

    @property
    def words(self) -> str:
        return (
            f"{self.name}: {self.repeated:,} of {self.orders:,} orders of a day under several event"
            f" ids, since {self.since:%Y-%m-%d %H:%M} UTC"
        )


Finding = VolumeFinding | DestinationFinding | KeyFinding | ConsentFinding | OrderFinding


@dataclass(frozen=True, slots=True)
class Change:
    """One finding; the segments that contributed most to it, the first one first; and the
    ``settings`` that were changed at about that time."""

    finding: Finding
    segments: Sequence[Segment] = ()
    settings: Sequence[SettingChange] = ()

    @property
    def causes(self) -> list[str]:
        """What it may come from: first what has a share of it, then what only happened then."""
        return [each.words for each in self.segments] + setting_causes(self.settings)

    @property
    def words(self) -> str:
        causes = self.causes
        return f"{self.finding.words}, {causes[0]}" if causes else self.finding.words

    def as_json(self) -> dict[str, Any]:
        return {
            "change": self.finding.words,
            "since": self.finding.since.isoformat(),
            "segments": [segment.words for segment in self.segments],
            "causes": self.causes,
        }


@dataclass(frozen=True, slots=True)
class ChangesReading:
    """What changed; ``known`` False: the roll-up has not come far enough to tell. ``orders``: the
    share of repeated ones by event name, highest first; ``repeated``: the first of them explained,
    where there are any."""

    known: bool
    volume: Sequence[Change] = ()
    keys: Sequence[Change] = ()
    consent: Sequence[Change] = ()
    orders: Sequence[OrderFinding] = ()
    repeated: Change | None = None

    @property
    def silent(self) -> Measured:
        return self._measured(self._of_kind("silence"))

    @property
    def surging(self) -> Measured:
        return self._measured(self._of_kind("surge"))

    @property
    def fallen_keys(self) -> Measured:
        return self._measured(self.keys)

    @property
    def fallen_consent(self) -> Measured:
        return self._measured(self.consent)

    @property
    def repeated_orders(self) -> Measured:
        """In percent of the orders of the name with the highest share."""
        if not self.orders:
            return Measured(None, note="no order came within a day")
        worst = self.orders[0]
        return Measured(
            worst.percent,
            worst.orders,
            causes=(self.repeated.words,) if self.repeated else (),
            detail=self.repeated.as_json() if self.repeated else None,
            parts={each.name: each.percent for each in self.orders},
        )

    def _of_kind(self, kind: Kind) -> list[Change]:
        return [
            change
            for change in self.volume
            if isinstance(change.finding, VolumeFinding | DestinationFinding)
            and change.finding.kind == kind
        ]

    def _measured(self, changes: Sequence[Change]) -> Measured:
        if not self.known:
            return Measured(None, note="the ledger's history is being counted")
        words = [change.words for change in changes]
        rest = len(words) - _MOST_TOLD
        return Measured(
            len(changes),
            causes=(*words[:_MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])),
            detail={"changes": [change.as_json() for change in changes]} if changes else None,
        )


def read_changes(
    connection: psycopg.Connection[Any], config: HealthConfig, *, caught_up: bool = True
) -> ChangesReading:
    """What changed in the hours that are rolled up as a whole."""
    rolled_until = read_progress(connection).rolled_until
    if not caught_up or rolled_until is None:
        return ChangesReading(False)
    until = full_hour(rolled_until)
    since = until - HISTORY_HOURS * HOUR
    hourly = read_hours(connection, since, until)
    masks = read_masks(connection, until - COVERAGE_HOURS * HOUR, until)
    explain = _Explanation(connection, config, until)
    volume = [explain.volume(each) for each in find_volume(hourly, until)]
    consent: list[Change] = []
    orders: list[OrderFinding] = []
    if _is_accounted(connection, since, until):
        handed_over = read_handed_over(connection, since, until)
        volume += [
            explain.destination(each) for each in find_destinations(handed_over, hourly, until)
        ]
        said = read_consent_by_hour(connection, until - COVERAGE_HOURS * HOUR, until)
        consent = [explain.consent(each) for each in find_consent(said, until)]
        orders = find_orders(count_repeated_by_hour(connection, until - _DAY, until))
    fallen = find_keys(
        {
            name: {hour: _without_looked_up(by_mask) for hour, by_mask in by_hour.items()}
            for name, by_hour in masks.items()
        },
        until,
    )
    return ChangesReading(
        True,
        volume,
        [explain.key(each) for each in fallen],
        consent,
        orders,
        explain.orders(orders[0]) if orders and orders[0].repeated else None,
    )


def find_orders(by_hour: Sequence[tuple[str, datetime, int, int]]) -> list[OrderFinding]:
    """The orders by event name, the highest share of repeated ones first; ``by_hour`` in order."""
    found = []
    for name in {name for name, *_ in by_hour}:
        hours = [(hour, orders, repeated) for of, hour, orders, repeated in by_hour if of == name]
        total = sum(repeated for *_, repeated in hours)
        so_far, since = 0, hours[0][0]
        for hour, _, repeated in hours:
            so_far += repeated
            # A few that repeat all the time are not what the rest is about.
            if so_far > _STRAY_SHARE * total:
                since = hour
                break
        found.append(OrderFinding(name, sum(orders for _, orders, _ in hours), total, since))
    return sorted(found, key=lambda each: (-each.percent, each.name))


def _is_accounted(connection: psycopg.Connection[Any], since: datetime, until: datetime) -> bool:
    """Whether the accounting has counted all these hours: one that it lacks would look silent."""
    progress = read_progress(connection, DELIVERY)
    return progress.rule is not None and not any(
        since <= each < until for each in progress.stale_hours
    )


def _without_looked_up(by_mask: dict[int, int]) -> dict[int, int]:
    counted: Counter[int] = Counter()
    for mask, events in by_mask.items():
        counted[without_keys_from_ip(mask)] += events
    return counted


@dataclass(frozen=True, slots=True)
class _Explanation:
    """Looks for what contributed to findings of the hours up to ``until``."""

    connection: psycopg.Connection[Any]
    config: HealthConfig
    until: datetime

    def volume(self, found: VolumeFinding) -> Change:
        """By the same hours a week ago."""
        return self._against_last_week(found, found.name, surge=found.kind == "surge")

    def orders(self, found: OrderFinding) -> Change:
        """By the events that came beyond those of the same hours a week ago."""
        return self._against_last_week(found, found.name, surge=True)

    def _against_last_week(
        self, found: VolumeFinding | OrderFinding, name: str | None, *, surge: bool
    ) -> Change:
        now, before = (
            _count_segments(
                read_segments(
                    self.connection, self._window(name, found.since - ago, self.until - ago)
                )
            )
            for ago in (timedelta(0), _WEEK)
        )
        return self._change(found, contributing_segments(before, now, surge=surge))

    def destination(self, found: DestinationFinding) -> Change:
        """By what its conversions became instead, or were instead a week ago."""
        now, before = (
            self._not_handed_over(found, found.since - ago, self.until - ago)
            for ago in (timedelta(0), _WEEK)
        )
        return self._change(
            found, contributing_segments(before, now, surge=found.kind == "silence")
        )

    def _not_handed_over(
        self, found: DestinationFinding, since: datetime, until: datetime
    ) -> _Counts:
        counted: _Counts = Counter()
        for row in read_accounted(self.connection, since, until):
            if row.became in (WITHHELD, NEVER) and found.destination in (None, row.destination):
                outcome = f"{BECAME_WORDS[row.became]}: {plain_reason(row.reason)}"
                counted["outcome", outcome] += row.events
        return counted

    def key(self, found: KeyFinding) -> Change:
        """By the events that carry it."""
        bit, rule = BIT_OF[found.key], self.config.counting

        def carried(window: SegmentWindow) -> list[_Carried]:
            rows = read_events_with_segments(self.connection, window)
            return [(bool(mask_of_event(event, rule) & bit), each) for event, each in rows]

        return self._share(found, found.name, carried)

    def consent(self, found: ConsentFinding) -> Change:
        """By the events that bring the answer."""

        def carried(window: SegmentWindow) -> list[_Carried]:
            rows = read_counted_with_segments(self.connection, window)
            rule = self.config.accounting
            return [(read_facts(event, rule).consent == found.answer, each) for event, each in rows]

        return self._share(found, found.names[0], carried)

    def _share(
        self,
        found: KeyFinding | ConsentFinding,
        name: str,
        carried: Callable[[SegmentWindow], list[_Carried]],
    ) -> Change:
        """By the day before the fall: of each segment, how many of its events now would have been
        among the carried then, and how many are."""
        before = carried(self._window(name, found.since - timedelta(days=1), found.since))
        now = carried(self._window(name, found.since, self.until))
        events_before, carried_before = _count_carried(before)
        events_now, carried_now = _count_carried(now)
        would_carry = {
            segment: number * carried_before[segment] / events_before[segment]
            for segment, number in events_now.items()
            if events_before[segment]
        }
        return self._change(found, contributing_segments(would_carry, carried_now))

    def _window(self, name: str | None, since: datetime, until: datetime) -> SegmentWindow:
        return SegmentWindow(name, since, until, self.config.counting.conversions)

    def _change(
        self,
        found: Finding,
        segments: Sequence[Segment],
    ) -> Change:
        # The hour in which it began is known, and a check sees a setting a little late.
        settings = read_setting_changes(self.connection, found.since - HOUR, found.since + 2 * HOUR)
        return Change(found, segments, settings)


def _count_carried(rows: Sequence[_Carried]) -> tuple[_Counts, _Counts]:
    """The segments of all these events, and of those that are carried."""
    return (
        _count_segments([segments for _, segments in rows]),
        _count_segments([segments for is_carried, segments in rows if is_carried]),
    )


def _count_segments(rows: Sequence[tuple[str | None, ...]]) -> _Counts:
    return Counter(
        (kind, plain_reason(value[:80]))
        for row in rows
        for kind, value in zip(SEGMENTS, row, strict=True)
        if value
    )
