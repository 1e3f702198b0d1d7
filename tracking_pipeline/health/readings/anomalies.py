"""Which event names fell silent or surged, and which match key they no longer carry. Pure.

Volume. A window of 2, 6 or 24 full hours is compared with the same hours of the week in the four
weeks before. What is expected is their median, so that one holiday or outage among them counts for
nothing. How far counts stray by themselves is taken from the same weeks: the median, over all
windows of a week, of variance by mean, never below that of a Poisson process. A difference counts
when all of this holds:

    the expectation is at least 20 events (a surge: the window has 50 at least)
    it is 4 standard deviations away, on the scale of square roots; for a surge 6
    at most a quarter of the expectation came; a surge: at least five times as much

Holidays and campaigns move all names together. So what is expected of one name is scaled by what
came of the others in the same window; where no others say anything, only a tenth counts as silence,
and only six and a half times as much as a surge. Where all names are silent at once that is one
finding, by the same tenth. A short outage, as of a deploy, is within two hours and no finding.

Match keys. The events of the last hours, 50 at least, within a day, are compared with the week
before them: a key fell when its share is at most half of what it was, 20 points lower, and 6
standard deviations away. When is where the two parts differ most. Keys that were looked up by IP
address come later than their event, and are left out.

How often this is wrong: benchmarks/README.md, "Silence and surge".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, variance
from typing import Literal

from tracking_pipeline.health.emq.keys import BIT_OF, KEY_WORDS

HOUR = timedelta(hours=1)
WEEK_HOURS = 7 * 24
WEEKS = 4
HISTORY_HOURS = (WEEKS * 7 + 1) * 24
COVERAGE_HOURS = 8 * 24
# With less before it, nothing is known of the hours of the week.
LEAST_WEEKS = 2

WINDOW_HOURS = (2, 6, 24)
LEAST_EXPECTED = 20.0
LEAST_SURGE = 50
SILENT_SHARE = 0.25
SILENT_SHARE_ALONE = 0.1
SURGE_TIMES = 5.0
SURGE_TIMES_ALONE = 6.5
SILENT_SIGMAS = 4.0
SURGE_SIGMAS = 6.0
# Of so many names, the most frequent ones, volume is watched.
MOST_NAMES = 50

LEAST_KEY_EVENTS = 50
LONGEST_KEY_HOURS = 24
KEY_SHARE = 0.5
KEY_POINTS = 20.0
KEY_SIGMAS = 6.0
# The median of a chi-square of three degrees of freedom, by its mean: four weeks, one mean.
_MEDIAN_OF_VARIANCE = 0.789
# The expectation is itself a median of four.
_UNCERTAIN_MEDIAN = 1.0 + math.pi / 2 / WEEKS

Kind = Literal["silence", "surge"]
Hourly = Mapping[str, Sequence[int]]
"""Events by name: one number an hour, the newest last; all of the same length."""


@dataclass(frozen=True, slots=True)
class VolumeFinding:
    """``name`` None: all of them. ``events`` came since ``since`` where ``expected`` were to
    come."""

    kind: Kind
    name: str | None
    events: int
    expected: float
    since: datetime

    @property
    def words(self) -> str:
        who = f"{self.name}: {self.events:,}" if self.name else f"{self.events:,}"
        since = f"{self.since:%Y-%m-%d %H:%M}"
        return f"{who} events since {since} UTC, where {self.expected:,.0f} usually come"


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """A match key that the events of one name no longer carry; shares in percent."""

    name: str
    key: str
    before_percent: float
    percent: float
    since: datetime

    @property
    def words(self) -> str:
        return (
            f"{KEY_WORDS[self.key]} fell from {self.before_percent:.0f} % to {self.percent:.0f} % "
            f"at {self.since:%Y-%m-%d %H:%M} UTC on {self.name}"
        )


def find_volume(hourly: Hourly, until: datetime) -> list[VolumeFinding]:
    """The names whose volume is not what it usually is, of the hours up to ``until``; the ones
    with most events missing, or too many, first. All silent at once are one finding."""
    watched = sorted(hourly, key=lambda name: -sum(hourly[name]))[:MOST_NAMES]
    series = {name: _Series(hourly[name]) for name in watched}
    if not series:
        return []
    everything = _Series([sum(hour) for hour in zip(*hourly.values(), strict=True)])
    silent = _finding(None, everything, None, until, "silence")
    if silent is not None:
        return [silent]
    found = [
        finding
        for name, one in series.items()
        for kind in ("silence", "surge")
        if (finding := _finding(name, one, everything, until, kind)) is not None
    ]
    return sorted(found, key=lambda each: -abs(each.expected - each.events))


class _Series:
    """The counts of one name, with their sums."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = counts
        self._sums = [0]
        for count in counts:
            self._sums.append(self._sums[-1] + count)
        first = next((place for place, count in enumerate(counts) if count), len(counts))
        self.known_hours = len(counts) - first
        self._strays: dict[int, float] = {}

    def sum_of(self, hours: int, ago: int = 0) -> int:
        """The events of so many hours that ended ``ago`` hours before the newest one did."""
        end = len(self.counts) - ago
        return self._sums[max(end, 0)] - self._sums[max(end - hours, 0)]

    def expected(self, hours: int, ago: int = 0) -> float | None:
        """What usually comes in these hours of the week; None where too little is known."""
        weeks = [week for week in self._weeks(hours, ago) if week is not None]
        return median(weeks) if len(weeks) >= LEAST_WEEKS else None

    def stray(self, hours: int) -> float:
        """Variance by mean of what such windows hold from week to week, 1 at least."""
        if hours not in self._strays:
            ratios = []
            for ago in range(hours, WEEK_HOURS - hours, hours):
                weeks = [week for week in self._weeks(hours, ago) if week is not None]
                if len(weeks) >= LEAST_WEEKS and (mean := sum(weeks) / len(weeks)) > 0:
                    ratios.append(variance(weeks) / mean)
            usual = median(ratios) / _MEDIAN_OF_VARIANCE if ratios else 1.0
            self._strays[hours] = max(usual, 1.0)
        return self._strays[hours]

    def _weeks(self, hours: int, ago: int) -> list[int | None]:
        return [
            self.sum_of(hours, ago + week * WEEK_HOURS)
            if ago + week * WEEK_HOURS + hours <= self.known_hours
            else None
            for week in range(1, WEEKS + 1)
        ]


def _finding(
    name: str | None, one: _Series, everything: _Series | None, until: datetime, kind: Kind
) -> VolumeFinding | None:
    for hours in WINDOW_HOURS:
        events, expected = one.sum_of(hours), one.expected(hours)
        if not expected:
            continue
        level, confirmed = _level(one, everything, hours, kind)
        expected *= level
        away = _sigmas(events, expected, one.stray(hours))
        if kind == "silence":
            share = SILENT_SHARE if confirmed else SILENT_SHARE_ALONE
            is_found = (
                expected >= LEAST_EXPECTED and events <= share * expected and away <= -SILENT_SIGMAS
            )
        else:
            times = SURGE_TIMES if confirmed else SURGE_TIMES_ALONE
            is_found = events >= max(LEAST_SURGE, times * expected) and away >= SURGE_SIGMAS
        if is_found:
            back = _hours_of(one, hours, kind)
            whole = (one.expected(back) or 0.0) * level
            return VolumeFinding(kind, name, one.sum_of(back), whole, until - back * HOUR)
    return None


def _level(one: _Series, everything: _Series | None, hours: int, kind: Kind) -> tuple[float, bool]:
    """How much of its usual volume the rest of the site has, as far as that excuses this name; and
    whether there is a rest that says anything."""
    if everything is None:
        return 1.0, False
    usual = (everything.expected(hours) or 0.0) - (one.expected(hours) or 0.0)
    if usual < LEAST_EXPECTED:
        return 1.0, False
    level = (everything.sum_of(hours) - one.sum_of(hours)) / usual
    return (min(level, 1.0) if kind == "silence" else max(level, 1.0)), True


def _sigmas(events: float, expected: float, stray: float) -> float:
    """How far a count is from what was expected: square roots of counts stray alike whatever the
    counts are (Anscombe)."""
    difference = 2.0 * (math.sqrt(events + 0.375) - math.sqrt(expected + 0.375))
    return difference / math.sqrt(stray * _UNCERTAIN_MEDIAN)


def _hours_of(one: _Series, hours: int, kind: Kind) -> int:
    """For how many hours it has been so, of a week at most: as long as each hour further back is
    on the same side of half, or twice, of what usually comes."""
    back = hours
    while back > 1 and not _is_odd(one, back - 1, kind):
        back -= 1
    while back < WEEK_HOURS and _is_odd(one, back, kind):
        back += 1
    return back


def _is_odd(one: _Series, ago: int, kind: Kind) -> bool:
    usual = one.expected(1, ago)
    if usual is None:
        return False
    if kind == "silence":
        return one.sum_of(1, ago) <= usual / 2
    return one.sum_of(1, ago) >= max(2 * usual, 1)


Masks = Mapping[str, Mapping[datetime, Mapping[int, int]]]
"""Events by name, by hour and by the mask of their match keys, without those from an IP address."""


def find_keys(masks: Masks, until: datetime) -> list[KeyFinding]:
    """The match keys that fell, of the hours up to ``until``; the longest fall first."""
    found = []
    for name, by_hour in masks.items():
        hours = sorted(by_hour, reverse=True)
        events = [sum(by_hour[hour].values()) for hour in hours]
        newest = _hours_with(LEAST_KEY_EVENTS, events)
        if newest is None or until - hours[newest - 1] > LONGEST_KEY_HOURS * HOUR:
            continue
        for key, bit in BIT_OF.items():
            with_key = [
                sum(number for mask, number in by_hour[hour].items() if mask & bit)
                for hour in hours
            ]
            if not _is_fall(*_parts(events, with_key, newest)):
                continue
            cut = _sharpest_cut(events, with_key, newest)
            now, carried, before, carried_before = _parts(events, with_key, cut)
            shares = 100.0 * carried_before / before, 100.0 * carried / now
            found.append(KeyFinding(name, key, *shares, since=hours[cut - 1]))
    return sorted(found, key=lambda each: each.percent - each.before_percent)


def _hours_with(least: int, events: Sequence[int]) -> int | None:
    """How many of the newest hours hold so many events; None where all do not."""
    held = 0
    for place, count in enumerate(events, 1):
        held += count
        if held >= least:
            return place
    return None


def _sharpest_cut(events: Sequence[int], with_key: Sequence[int], newest: int) -> int:
    """How many hours ago the share changed most, as far as there is a usual part left."""
    cuts = [
        cut
        for cut in range(1, len(events))
        if sum(events[cut:]) >= LEAST_KEY_EVENTS and _is_fall(*_parts(events, with_key, cut))
    ]
    return max(cuts, key=lambda cut: _contrast(*_parts(events, with_key, cut)), default=newest)


def _parts(events: Sequence[int], with_key: Sequence[int], cut: int) -> tuple[int, int, int, int]:
    return sum(events[:cut]), sum(with_key[:cut]), sum(events[cut:]), sum(with_key[cut:])


def _is_fall(now: int, carried: int, before: int, carried_before: int) -> bool:
    if before < LEAST_KEY_EVENTS:
        return False
    share, usual = carried / now, carried_before / before
    points = 100.0 * (usual - share)
    if share > KEY_SHARE * usual or points < KEY_POINTS:
        return False
    return _contrast(now, carried, before, carried_before) >= KEY_SIGMAS


def _contrast(now: int, carried: int, before: int, carried_before: int) -> float:
    """How many standard deviations the share fell by."""
    if not now or not before:
        return 0.0
    pooled = (carried + carried_before) / (now + before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / now + 1 / before))
    return (carried_before / before - carried / now) / error if error else 0.0
