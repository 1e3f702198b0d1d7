"""Sudden changes in the ledger, and where they come from: which event names fell silent or surged,
which match keys fell, and which part of the site most of it is from.

What is compared is in the roll-up (``health/readings/anomalies.py`` decides): so much is read each
time, however long the history is. The ledger itself is asked only about what was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tracking_pipeline.health.config import CountingRule
from tracking_pipeline.health.emq.keys import BIT_OF, without_keys_from_ip
from tracking_pipeline.health.metrics import Measured
from tracking_pipeline.health.readings.anomalies import (
    COVERAGE_HOURS,
    HISTORY_HOURS,
    HOUR,
    KeyFinding,
    Kind,
    VolumeFinding,
    find_keys,
    find_volume,
)
from tracking_pipeline.health.readings.causes import Segment, contributing_segments
from tracking_pipeline.health.readings.rollup import full_hour, mask_of_event
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.health_readings import (
    SEGMENTS,
    SegmentWindow,
    read_events_with_segments,
    read_segments,
)
from tracking_pipeline.store.match_key_rollup import read_hours, read_masks
from tracking_pipeline.store.rollup_progress import read_progress

_MOST_TOLD = 3
_WEEK = timedelta(days=7)
_Counts = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """One finding, and the segments that contributed most to it, the first one first."""

    finding: VolumeFinding | KeyFinding
    segments: Sequence[Segment] = ()

    @property
    def words(self) -> str:
        if not self.segments:
            return self.finding.words
        return f"{self.finding.words}, {self.segments[0].words}"

    def as_json(self) -> dict[str, Any]:
        return {
            "change": self.finding.words,
            "since": self.finding.since.isoformat(),
            "segments": [segment.words for segment in self.segments],
        }


@dataclass(frozen=True, slots=True)
class ChangesReading:
    """What changed; ``known`` False: the roll-up has not come far enough to tell."""

    known: bool
    volume: Sequence[Change] = ()
    keys: Sequence[Change] = ()

    @property
    def silent(self) -> Measured:
        return self._measured(self._of_kind("silence"))

    @property
    def surging(self) -> Measured:
        return self._measured(self._of_kind("surge"))

    @property
    def fallen_keys(self) -> Measured:
        return self._measured(self.keys)

    def _of_kind(self, kind: Kind) -> list[Change]:
        return [
            change
            for change in self.volume
            if isinstance(change.finding, VolumeFinding) and change.finding.kind == kind
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
    connection: psycopg.Connection[Any], rule: CountingRule, *, caught_up: bool = True
) -> ChangesReading:
    """What changed in the hours that are rolled up as a whole."""
    rolled_until = read_progress(connection).rolled_until
    if not caught_up or rolled_until is None:
        return ChangesReading(False)
    until = full_hour(rolled_until)
    volume = find_volume(read_hours(connection, until - HISTORY_HOURS * HOUR, until), until)
    masks = read_masks(connection, until - COVERAGE_HOURS * HOUR, until)
    fallen = find_keys(
        {
            name: {hour: _without_looked_up(by_mask) for hour, by_mask in by_hour.items()}
            for name, by_hour in masks.items()
        },
        until,
    )
    return ChangesReading(
        True,
        [_explained_volume(connection, each, until, rule) for each in volume],
        [_explained_key(connection, each, until, rule) for each in fallen],
    )


def _without_looked_up(by_mask: dict[int, int]) -> dict[int, int]:
    counted: Counter[int] = Counter()
    for mask, events in by_mask.items():
        counted[without_keys_from_ip(mask)] += events
    return counted


def _explained_volume(
    connection: psycopg.Connection[Any], found: VolumeFinding, until: datetime, rule: CountingRule
) -> Change:
    """By the same hours a week ago."""
    now, before = (
        _count_segments(
            read_segments(
                connection,
                SegmentWindow(found.name, found.since - back, until - back, rule.conversions),
            )
        )
        for back in (timedelta(0), _WEEK)
    )
    return Change(found, contributing_segments(before, now, surge=found.kind == "surge"))


def _explained_key(
    connection: psycopg.Connection[Any], found: KeyFinding, until: datetime, rule: CountingRule
) -> Change:
    """By the day before the fall: of each segment, how many of its events now would have carried
    the key then, and how many do."""
    bit = BIT_OF[found.key]
    events: list[_Counts] = []
    carried: list[_Counts] = []
    for since, end in ((found.since - timedelta(days=1), found.since), (found.since, until)):
        window = SegmentWindow(found.name, since, end, rule.conversions)
        rows = list(read_events_with_segments(connection, window))
        events.append(_count_segments([segments for _, segments in rows]))
        carried.append(
            _count_segments(
                [segments for event, segments in rows if mask_of_event(event, rule) & bit]
            )
        )
    would_carry = {
        segment: number * carried[0][segment] / events[0][segment]
        for segment, number in events[1].items()
        if events[0][segment]
    }
    return Change(found, contributing_segments(would_carry, carried[1]))


def _count_segments(rows: Sequence[tuple[str | None, ...]]) -> _Counts:
    return Counter(
        (kind, plain_reason(value[:80]))
        for row in rows
        for kind, value in zip(SEGMENTS, row, strict=True)
        if value
    )
