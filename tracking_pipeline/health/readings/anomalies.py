"""Which event names and destinations fell silent or surged, and of which a share fell: of the
events that carry a match key, or that say this or that of consent. Pure.

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

Destinations. What was handed over to one is compared likewise, scaled by what came of the names
that go there: a destination has no finding of its own for a name that fell silent, or for a whole
site that did. What was handed over and failed is told of by other alerts. Where all destinations
went silent at once, that is one finding.

Shares. The events of the last hours, 50 at least, within a day, are compared with the week before
them: a share fell when it is at most half of what it was, 20 points lower, and 6 standard
deviations away. When is where the two parts differ most. Match keys that were looked up by IP
address come later than their event, and are left out. Of what was said of consent each answer has a
share, and a name is told of once, with the answer that fell most; names of which the same answer
fell at about the same time are one finding.

How often this is wrong: benchmarks/README.md, "Silence and surge".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, variance
from typing import Literal, TypeVar

from tracking_pipeline.delivery.destinations.registry import spec_of
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
KINDS: tuple[Kind, ...] = ("silence", "surge")
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
class DestinationFinding:
    """As :class:`VolumeFinding`, of what was handed over; ``destination`` None: to all of them."""

    kind: Kind
    destination: str | None
    events: int
    expected: float
    since: datetime

    @property
    def words(self) -> str:
        who = spec_of(self.destination).title if self.destination else "all destinations"
        return (
            f"{who}: {self.events:,} conversions handed over since {self.since:%Y-%m-%d %H:%M} UTC,"
            f" where {self.expected:,.0f} usually are"
        )


@dataclass(frozen=True, slots=True)
class Fall:
    """A share of events that fell at ``since``, in percent."""

    before_percent: float
    percent: float
    since: datetime

    @property
    def words(self) -> str:
        return (
            f"fell from {self.before_percent:.0f} % to {self.percent:.0f} % "
            f"at {self.since:%Y-%m-%d %H:%M} UTC"
        )


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """A match key that the events of one name no longer carry."""

    name: str
    key: str
    fall: Fall

    @property
    def since(self) -> datetime:
        return self.fall.since

    @property
    def words(self) -> str:
        return f"{KEY_WORDS[self.key]} {self.fall.words} on {self.name}"


@dataclass(frozen=True, slots=True)
class ConsentFinding:
    """An answer (``granted``, ``refused``, ``unknown``) that the events of these ``names`` hardly
    bring any more; the fall is that of the first one."""

    names: tuple[str, ...]
    answer: str
    fall: Fall

    @property
    def since(self) -> datetime:
        return self.fall.since

    @property
    def words(self) -> str:
        others = len(self.names) - 1
        on = self.names[0] if not others else f"{self.names[0]} and {others} more"
        return f"consent {self.answer} {self.fall.words} on {on}"


def find_volume(hourly: Hourly, until: datetime) -> list[VolumeFinding]:
    """The names whose volume is not what it usually is, of the hours up to ``until``; the ones
    with most events missing, or too many, first. All silent at once are one finding."""
    watched = sorted(hourly, key=lambda name: -sum(hourly[name]))[:MOST_NAMES]
    series = {name: _Series(hourly[name]) for name in watched}
    if not series:
        return []
    everything = _total(list(hourly.values()))
    silent = _odd(everything, _Rest(None, None), "silence")
    if silent is not None:
        return [_volume("silence", None, silent, until)]
    found = [
        _volume(kind, name, odd, until)
        for name, one in series.items()
        for kind in KINDS
        if (odd := _odd(one, _Rest(everything, one), kind)) is not None
    ]
    return sorted(found, key=lambda each: -abs(each.expected - each.events))


def _volume(kind: Kind, name: str | None, odd: _Odd, until: datetime) -> VolumeFinding:
    return VolumeFinding(kind, name, odd.events, odd.expected, until - odd.hours * HOUR)


def find_destinations(
    handed_over: Mapping[str, Hourly], hourly: Hourly, until: datetime
) -> list[DestinationFinding]:
    """The destinations to which hardly anything is handed over any more, or far too much, beside
    what came: ``handed_over`` by destination and name, ``hourly`` is what came by name."""
    watched = sorted(hourly, key=lambda name: -sum(hourly[name]))[:MOST_NAMES]
    found = []
    for destination, by_name in handed_over.items():
        names = [name for name in watched if any(by_name.get(name, ()))]
        if not names:
            continue
        one = _total([by_name[name] for name in names])
        came = _total([hourly[name] for name in names])
        for kind in KINDS:
            odd = _odd(one, _Rest(came, None), kind)
            if odd is not None:
                since = until - odd.hours * HOUR
                found.append(DestinationFinding(kind, destination, odd.events, odd.expected, since))
    for kind in KINDS:
        alike = [each for each in found if each.kind == kind]
        if len(alike) > 1 and len(alike) == len(handed_over):
            whole = DestinationFinding(
                kind,
                None,
                sum(each.events for each in alike),
                sum(each.expected for each in alike),
                min(each.since for each in alike),
            )
            found = [each for each in found if each.kind != kind] + [whole]
    return sorted(found, key=lambda each: -abs(each.expected - each.events))


def _total(series: Sequence[Sequence[int]]) -> _Series:
    return _Series([sum(hour) for hour in zip(*series, strict=True)])


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


@dataclass(frozen=True, slots=True)
class _Rest:
    """What one series is scaled by: ``everything`` but for ``itself``; None: nothing is known, or
    it is no part of everything."""

    everything: _Series | None
    itself: _Series | None

    def level(self, hours: int, kind: Kind) -> tuple[float, bool]:
        """How much of its usual volume the rest has, as far as that excuses the one; and whether
        there is a rest that says anything."""
        if self.everything is None:
            return 1.0, False
        usual = self.everything.expected(hours) or 0.0
        came = self.everything.sum_of(hours)
        if self.itself is not None:
            usual -= self.itself.expected(hours) or 0.0
            came -= self.itself.sum_of(hours)
        if usual < LEAST_EXPECTED:
            return 1.0, False
        return (min(came / usual, 1.0) if kind == "silence" else max(came / usual, 1.0)), True


@dataclass(frozen=True, slots=True)
class _Odd:
    """A series has been odd for so many ``hours``."""

    hours: int
    events: int
    expected: float


def _odd(one: _Series, rest: _Rest, kind: Kind) -> _Odd | None:
    for hours in WINDOW_HOURS:
        events, expected = one.sum_of(hours), one.expected(hours)
        if not expected:
            continue
        level, confirmed = rest.level(hours, kind)
        expected *= level
        if kind == "silence":
            share = SILENT_SHARE if confirmed else SILENT_SHARE_ALONE
            is_odd, sigmas = (
                expected >= LEAST_EXPECTED and events <= share * expected,
                SILENT_SIGMAS,
            )
        else:
            times = SURGE_TIMES if confirmed else SURGE_TIMES_ALONE
            is_odd, sigmas = events >= max(LEAST_SURGE, times * expected), SURGE_SIGMAS
        # How far counts stray is looked up only for what is odd: it costs most.
        if is_odd and abs(_sigmas(events, expected, one.stray(hours))) >= sigmas:
            back = _hours_of(one, hours, kind)
            return _Odd(back, one.sum_of(back), (one.expected(back) or 0.0) * level)
    return None


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
    found = [
        KeyFinding(name, key, fall)
        for name, by_hour in masks.items()
        for key, bit in BIT_OF.items()
        if (fall := _find_fall(by_hour, _masks_with(bit, by_hour), until))
    ]
    return sorted(found, key=lambda each: each.fall.percent - each.fall.before_percent)


def _masks_with(bit: int, by_hour: Mapping[datetime, Mapping[int, int]]) -> set[int]:
    return {mask for of_hour in by_hour.values() for mask in of_hour if mask & bit}


Said = Mapping[str, Mapping[datetime, Mapping[str, int]]]
"""Events by name, by hour and by what was said of consent."""
ANSWERS = ("granted", "refused", "unknown")


def find_consent(said: Said, until: datetime) -> list[ConsentFinding]:
    """The answers that events hardly bring any more, of the hours up to ``until``; those of most
    names first."""
    found: list[ConsentFinding] = []
    for name, by_hour in sorted(said.items()):
        falls = [
            (fall.percent - fall.before_percent, answer, fall)
            for answer in ANSWERS
            if (fall := _find_fall(by_hour, {answer}, until))
        ]
        if not falls:
            continue
        _, answer, fall = min(falls, key=lambda each: each[:2])
        for place, other in enumerate(found):
            if other.answer == answer and abs(other.since - fall.since) <= HOUR:
                found[place] = ConsentFinding((*other.names, name), answer, other.fall)
                break
        else:
            found.append(ConsentFinding((name,), answer, fall))
    return sorted(found, key=lambda each: (-len(each.names), each.fall.percent))


_Class = TypeVar("_Class")


def _find_fall(
    by_hour: Mapping[datetime, Mapping[_Class, int]],
    carried_classes: Collection[_Class],
    until: datetime,
) -> Fall | None:
    """The fall of the share of events of these classes; None where there is none."""
    hours = sorted(by_hour, reverse=True)
    events = [sum(by_hour[hour].values()) for hour in hours]
    newest = _hours_with(LEAST_KEY_EVENTS, events)
    if newest is None or until - hours[newest - 1] > LONGEST_KEY_HOURS * HOUR:
        return None
    carried = [
        sum(number for each, number in by_hour[hour].items() if each in carried_classes)
        for hour in hours
    ]
    if not _is_fall(*_parts(events, carried, newest)):
        return None
    cut = _sharpest_cut(events, carried, newest)
    now, carried_now, before, carried_before = _parts(events, carried, cut)
    return Fall(100.0 * carried_before / before, 100.0 * carried_now / now, hours[cut - 1])


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
