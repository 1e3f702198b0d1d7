"""What each event of the soak meets, and the state that it must end in. Pure but for its dice.

A platform refuses, fails or loses a whole request, so an event in a batch also meets what is
scripted for its neighbours. Two things keep the end of each certain all the same. Only the
exhausted ones have few tries; nobody else's can be used up by a neighbour. And what is scripted for
an exhausted event never ends, so that no try of its own can succeed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.sandbox.steps import RawStep

_PASSING: Sequence[RawStep] = (500, 503, 408, "reset", "html")
_THROTTLE: RawStep = {"status": 429, "retry_after": "1"}
_WITHOUT_END = 200
_MANY_TRIES = 10_000
# Of each 1,000 events. In a batch one fault is everybody's, so there are fewer of them.
_SHARES_IN_BATCHES = {"passing": 4, "in_doubt": 2, "refused": 3, "exhausted": 2, "hopeless": 5}
_SHARES_ALONE = {"passing": 60, "in_doubt": 20, "refused": 20, "exhausted": 10, "hopeless": 10}
_SHARES_OF_LEDGER = {"present": 20, "hopeless": 10}
# Each of these stops its destination for a while, so their number does not grow with the queue.
_MOST_STOPPING = 2


@dataclass(frozen=True)
class Planned:
    """One failed event, its script, and its end. ``reason`` is how the dead letter's begins."""

    event_id: UUID
    destination: DestinationName
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    script: tuple[RawStep, ...] = ()
    max_retries: int = _MANY_TRIES
    status: str = "resolved"
    reason: str | None = None


def plan(
    events: int, seed: int, now: datetime, destinations: Sequence[DestinationName] = DESTINATIONS
) -> list[Planned]:
    """So many events in turn over the destinations, the same ones for the same seed.

    Every kind occurs at least once where there are 40 events or more.
    """
    dice = random.Random(seed)
    planned = []
    for position, destination in enumerate(destinations):
        count = len(range(position, events, len(destinations)))
        kinds = _kinds(destination, count)
        dice.shuffle(kinds)
        planned += [_planned(destination, kind, dice, now) for kind in kinds]
    return planned


def _kinds(destination: DestinationName, count: int) -> list[str]:
    shares = {
        "supabase": _SHARES_OF_LEDGER,
        "gtm_server": _SHARES_ALONE,
    }.get(destination, _SHARES_IN_BATCHES)
    kinds = [kind for kind, share in shares.items() for _ in range(max(count * share // 1_000, 1))]
    if destination != "supabase":
        kinds += ["throttled", "paused"] * _MOST_STOPPING
    return [*kinds, *["good"] * (count - len(kinds))][:count]


def _planned(
    destination: DestinationName, kind: str, dice: random.Random, now: datetime
) -> Planned:
    event_id = UUID(int=dice.getrandbits(128), version=4)
    payload: dict[str, Any] = {
        "event_name": "Lead",
        "event_time": (now - timedelta(minutes=dice.randrange(1, 600))).isoformat(),
        "page_url": "https://shop.example/thanks",
        "email": f"person.{dice.randrange(10**9)}@example.com",
        "phone": f"+1 212 {dice.randrange(200, 999)} {dice.randrange(10**4):04}",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "client_ip_address": "8.8.8.8",
    }
    if kind == "passing":
        script = tuple(dice.choice(_PASSING) for _ in range(dice.randrange(1, 3)))
        return Planned(event_id, destination, kind, payload, script)
    if kind == "in_doubt":
        script = (dice.choice(("late_reset", "broken_json")),)
        return Planned(event_id, destination, kind, payload, script)
    if kind == "refused":
        return Planned(
            event_id, destination, kind, payload, ("bad",), status="dead_letter", reason="refused"
        )
    if kind == "exhausted":
        return Planned(
            event_id,
            destination,
            kind,
            payload,
            (503,) * _WITHOUT_END,
            max_retries=2,
            status="dead_letter",
            reason="max_retries",
        )
    if kind == "hopeless":
        payload["event_time"] = "the day before yesterday"
        return Planned(
            event_id,
            destination,
            kind,
            payload,
            status="dead_letter",
            reason="unreadable event_time",
        )
    stopping: dict[str, tuple[RawStep, ...]] = {"throttled": (_THROTTLE,), "paused": (401,)}
    return Planned(event_id, destination, kind, payload, stopping.get(kind, ()))
