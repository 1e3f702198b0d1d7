"""What each platform could match events on: the share of them that carry each of its keys, and the
share that carry enough. Pure.

What is enough, platforms publish (:data:`~tracking_pipeline.identity.platforms.SUFFICIENT`; Meta by
what is too little). How well they match on it, none publishes: so the share is an upper bound of
what they match, and no score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.health.emq.keys import BIT_OF, VISITOR_BIT_OF
from tracking_pipeline.health.emq.score import is_refused
from tracking_pipeline.identity.platforms import SUFFICIENT, platform_of, rules_of

KEY_BIT_OF: dict[str, int] = {**BIT_OF, **VISITOR_BIT_OF}
"""Every match key of any platform."""


@dataclass(frozen=True, slots=True)
class PlatformCoverage:
    """What one destination could match of a window's events. ``matchable_percent`` None: there were
    no events, or its platform does not say what is enough. ``percent_by_key``: the share of the
    events with each of its keys, in its own order."""

    matchable_percent: float | None = None
    percent_by_key: dict[str, float] = field(default_factory=dict)


def keys_of_destination(destination: str) -> tuple[str, ...]:
    """The match keys of a destination's platform, in its own order; none where it matches nobody
    itself."""
    platform = platform_of(destination)
    return tuple(rules_of(platform)) if platform else ()


def platform_coverage(
    counts: Mapping[str, Mapping[int, int]],
) -> dict[str, PlatformCoverage]:
    """The coverage by destination. ``counts``: events by event name and mask."""
    totals: dict[int, int] = {}
    for of_name in counts.values():
        for mask, events in of_name.items():
            totals[mask] = totals.get(mask, 0) + events
    every = sum(totals.values())
    if not every:
        return {}

    def percent(has: Callable[[int], bool]) -> float:
        return 100.0 * sum(events for mask, events in totals.items() if has(mask)) / every

    by_key = {key: percent(_having(bit)) for key, bit in KEY_BIT_OF.items()}
    found = {}
    for name in DESTINATIONS:
        enough = _enough(name)
        keys = keys_of_destination(name)
        if keys:
            found[name] = PlatformCoverage(
                percent(enough) if enough else None, {key: by_key[key] for key in keys}
            )
    return found


def _having(*wanted: int) -> Callable[[int], bool]:
    """Whether a mask has all bits of one of those that are wanted."""
    return lambda mask: any(mask & bits == bits for bits in wanted)


def _enough(destination: str) -> Callable[[int], bool] | None:
    """Whether an event with a mask has what the destination's platform asks for at least; None
    where it does not say that."""
    platform = platform_of(destination)
    if platform == "meta":
        return lambda mask: not is_refused(mask)
    ways = SUFFICIENT.get(platform or "")
    if ways is None:
        return None
    # What is counted nowhere, as a device's advertising id, nobody is known to have.
    counted = (way for way in ways if all(key in KEY_BIT_OF for key in way))
    return _having(*(sum(KEY_BIT_OF[key] for key in way) for way in counted))
