"""The likely cause of an alert, in sentences without personal data. Pure.

Likely, not certain: what changed most, and where most of it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracking_pipeline.delivery.destinations.registry import spec_of
from tracking_pipeline.delivery.engine.breaker import FAILING, REFUSING
from tracking_pipeline.delivery.failures import Failure, failure_of
from tracking_pipeline.health.emq.keys import KEY_WORDS
from tracking_pipeline.health.emq.score import EmqScore, keys_of_term
from tracking_pipeline.health.formatting import count_of
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.setting_changes import SettingChange

# A coverage moves by a few points from week to week by itself.
LEAST_FALL_PERCENT = 5.0
# Less than the last digit that is shown.
_LEAST_GAIN = 0.05
_MOST_BATCHES = 10
_CODES = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


@dataclass(frozen=True, slots=True)
class DeadLetterBatch:
    """So many events to one destination became dead letters for one and the same reason.
    ``failure`` is the public code of it, empty where it is not known."""

    destination: str
    reason: str
    events: int
    failure: str = ""


def emq_causes(
    score: EmqScore, before: EmqScore | None, weights: Mapping[str, float]
) -> tuple[str, ...]:
    """Which match key fell most against the window ``before``, by what it is worth, and which one
    would add most."""
    causes: list[str] = []
    fallen = (
        fallen_key(score.coverage_percent, before.coverage_percent, weights) if before else None
    )
    if fallen is not None and before is not None:
        was, now = before.coverage_percent[fallen], score.coverage_percent[fallen]
        causes.append(f"{_named(fallen)} fell from {was:.0f} % to {now:.0f} % of the events")
    if score.next_best_key is not None and score.next_best_gain >= _LEAST_GAIN:
        causes.append(
            f"{_named(score.next_best_key)} with every event would add {score.next_best_gain:.1f}"
        )
    return tuple(causes)


def fallen_key(
    coverage_percent: Mapping[str, float],
    before_percent: Mapping[str, float],
    weights: Mapping[str, float],
) -> str | None:
    """The match key whose coverage fell most, weighed by its term of the model; None where none
    fell by :data:`LEAST_FALL_PERCENT`, or where either window had no events."""
    falls = {
        key: weight * (before_percent[key] - coverage_percent[key])
        for term, weight in weights.items()
        for key in keys_of_term(term)
        if key in coverage_percent
        and before_percent.get(key, 0.0) - coverage_percent[key] >= LEAST_FALL_PERCENT
    }
    return max(falls, key=falls.__getitem__) if any(falls.values()) else None


def destination_causes(
    events_by_destination: Mapping[str, int], distinct_events: int | None = None
) -> tuple[str, ...]:
    """Which destination has most of the events that wait or failed; nothing where two have as many.
    ``distinct_events``: how many there are in all, where one event may be for several
    destinations."""
    most = max(events_by_destination.values(), default=0)
    worst = [name for name, events in events_by_destination.items() if events == most]
    if most <= 0 or len(worst) > 1:
        return ()
    total = sum(events_by_destination.values()) if distinct_events is None else distinct_events
    return (f"{most} of {total} events are for {worst[0]}",)


def failure_causes(events_by_code: Mapping[str, int], distinct_events: int) -> tuple[str, ...]:
    """The failure that most of the events ended in, where half of them or more did."""
    code, most = next(iter(events_by_code.items()), ("", 0))
    if not most or most < distinct_events / 2:
        return ()
    return (f"{most} of {distinct_events} failed with {plain_reason(code)}",)


def paused_causes(reason_by_destination: Mapping[str, str | None]) -> tuple[str, ...]:
    """Why each destination is paused."""
    return tuple(
        f"{name}: {plain_reason(reason)}" for name, reason in sorted(reason_by_destination.items())
    )


def pausing_failures(causes: Sequence[str]) -> set[Failure | None]:
    """The failures that these :func:`paused_causes` tell of, by their public codes; None for a
    reason that names none, as one of an earlier version."""
    return {_pausing_failure(cause) for cause in causes}


def _pausing_failure(cause: str) -> Failure | None:
    _, _, reason = cause.partition(": ")
    for word in _CODES.findall(cause):
        if (failure := failure_of(word)) is not None:
            return failure
    if FAILING.match(reason):
        return Failure.DESTINATION_FAILING
    return Failure.DESTINATION_REFUSES_EVERYTHING if REFUSING.match(reason) else None


def dead_letter_causes(batches: Sequence[DeadLetterBatch]) -> tuple[str, ...]:
    """Dead letters by destination and reason, the most first: "37 events to meta_capi: expired"."""
    ordered = sorted(batches, key=lambda each: (-each.events, each.destination, each.reason))
    told = [
        f"{count_of(each.events, 'event')} to {each.destination}: {plain_reason(each.reason)}"
        + (f" ({each.failure})" if each.failure else "")
        for each in ordered[:_MOST_BATCHES]
        if each.events > 0
    ]
    rest = sum(each.events for each in ordered[_MOST_BATCHES:])
    return (*told, f"{count_of(rest, 'event')} for other reasons") if rest else tuple(told)


def outlived_words(events: int, destination: str) -> str:
    """What a longer horizon of retries would have done for these dead letters of a destination."""
    setting = spec_of(destination).variable("retry_horizon_hours")
    return (
        f"{destination} took events again within a day after {count_of(events, 'event')} had spent "
        f"all retries: a longer {setting} would have kept them waiting"
    )


def _named(key: str) -> str:
    return f"{KEY_WORDS[key]} ({', '.join(keys_of_term(key))})"


def setting_causes(changes: Sequence[SettingChange]) -> list[str]:
    """The settings that were changed, each with the time at which a check saw it."""
    return [f"{each.name} was changed at {each.changed_at:%Y-%m-%d %H:%M} UTC" for each in changes]


def bearing_on(changes: Sequence[SettingChange], destination: str) -> list[SettingChange]:
    """Those of the changes that bear on a destination: its own settings, and the release."""
    own = spec_of(destination).variable("")
    return [each for each in changes if each.name == "VERSION" or each.name.startswith(own)]


# A segment that half of the change is from explains it; one that is most of the site anyway does
# not, so its share of the change must exceed that of its usual volume by so much.
_LEAST_SHARE = 0.5
_LEAST_EXCESS = 0.2
_MOST_SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the site that a change is from: ``kind`` as in "page path". ``share``: of the whole
    change, ``usual_share``: of what usually comes."""

    kind: str
    value: str
    share: float
    usual_share: float

    @property
    def words(self) -> str:
        return f"{100 * min(self.share, 1.0):.0f} % of it from the {self.kind} {self.value}"


def contributing_segments(
    before: Mapping[tuple[str, str], float],
    now: Mapping[tuple[str, str], float],
    *,
    surge: bool = False,
) -> list[Segment]:
    """The segments, by kind and value, that a fall (``surge``: a rise) from ``before`` to ``now``
    is from, those that it hit most beyond their usual share first. None where all fell alike."""
    found: list[Segment] = []
    for kind in {segment[0] for segment in (*before, *now)}:
        usual = {value: number for (of, value), number in before.items() if of == kind}
        present = {value: number for (of, value), number in now.items() if of == kind}
        sign = -1 if surge else 1
        change = sign * (sum(usual.values()) - sum(present.values()))
        if change <= 0:
            continue
        for value in {*usual, *present}:
            share = sign * (usual.get(value, 0) - present.get(value, 0)) / change
            of_usual = usual.get(value, 0) / sum(usual.values()) if usual else 0.0
            if share >= _LEAST_SHARE and share - of_usual >= _LEAST_EXCESS:
                found.append(Segment(kind, value, share, of_usual))
    found.sort(key=lambda each: (each.usual_share - each.share, each.kind, each.value))
    return found[:_MOST_SEGMENTS]
