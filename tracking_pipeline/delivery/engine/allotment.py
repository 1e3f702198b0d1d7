"""How a destination's limits are divided among all workers that send to it. Pure.

A destination has so many slots for requests in flight, and so many permits: each is good for one
request, then rests for a second (``RequestPace``). A worker **holds** slots and permits by a lease
on record in the database, and never uses more than it holds; all hold together no more than there
are. So the limits are kept by all workers together, whoever comes, goes or dies.

    join       nothing is held yet; what is free is taken, up to a fair part
    renew      the fair part changes with the number of workers. What is above it is not used any
               more, and given up as soon as it is not in use: a request ends, a permit has rested
    leave      the slots are free; permits that were used just now go on resting, by a short lease
    die        the lease runs out

Where there are fewer slots or permits than workers, some have nothing until it is their turn.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from tracking_pipeline.delivery.engine.destination import Limits

LEASE_SECONDS = 10.0
TURN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LimitShare:
    """Slots for requests in flight, and permits for requests a second."""

    in_flight: int
    permits: int

    def at_most(self, other: LimitShare) -> LimitShare:
        return LimitShare(min(self.in_flight, other.in_flight), min(self.permits, other.permits))

    def at_least(self, other: LimitShare) -> LimitShare:
        return LimitShare(max(self.in_flight, other.in_flight), max(self.permits, other.permits))


NOTHING = LimitShare(0, 0)


@dataclass(frozen=True, slots=True)
class Holding:
    """What a worker holds until ``expires_at``; ``joined_at`` None: it has left. In seconds."""

    joined_at: float | None
    expires_at: float
    part: LimitShare


Holdings: TypeAlias = Mapping[str, Holding]


def whole(limits: Limits) -> LimitShare:
    """All that there is of a destination."""
    return LimitShare(limits.in_flight, permits_of(limits))


def renewed(
    holdings: Holdings, worker: str, *, limits: Limits, in_use: LimitShare, now: float
) -> tuple[Holdings, LimitShare]:
    """The holdings with this worker's lease renewed, and how much it may use from now on.

    ``in_use`` is what it uses at this moment. It may use less than it holds, and then has to give
    the rest up: never more.
    """
    others = _alive(holdings, worker, now)
    ours = holdings.get(worker)
    joined_at = now if ours is None or ours.joined_at is None else ours.joined_at
    members = {name: each.joined_at for name, each in others.items() if each.joined_at is not None}
    members[worker] = joined_at
    free = _free(others, whole(limits))
    usable = _fair(sorted(members, key=lambda name: (members[name], name)), worker, limits, now)
    usable = usable.at_most(free)
    holding = Holding(joined_at, now + LEASE_SECONDS, usable.at_least(in_use))
    return {**others, worker: holding}, usable


def left(
    holdings: Holdings, worker: str, *, in_use: LimitShare, rest_seconds: float, now: float
) -> Holdings:
    """The holdings without this worker's: its permits rest for their time."""
    others = _alive(holdings, worker, now)
    if not in_use.permits:
        return others
    resting = Holding(None, now + rest_seconds, replace(in_use, in_flight=0))
    return {**others, worker: resting}


def _alive(holdings: Holdings, worker: str, now: float) -> dict[str, Holding]:
    return {
        name: each for name, each in holdings.items() if name != worker and each.expires_at > now
    }


def _free(others: Holdings, all_of_it: LimitShare) -> LimitShare:
    held = [each.part for each in others.values()]
    return LimitShare(
        all_of_it.in_flight - sum(each.in_flight for each in held),
        all_of_it.permits - sum(each.permits for each in held),
    ).at_least(NOTHING)


def _fair(members: list[str], worker: str, limits: Limits, now: float) -> LimitShare:
    all_of_it = whole(limits)
    is_paced = limits.requests_per_second is not None
    seats = min(len(members), all_of_it.in_flight, *([all_of_it.permits] if is_paced else []))
    place = members.index(worker)
    if seats < len(members):
        # Both limits go to the same workers: a slot is no use without a permit.
        place = (place + int(now // TURN_SECONDS)) % len(members)
    if place >= seats:
        return NOTHING
    return LimitShare(
        _one_of(all_of_it.in_flight, seats, place), _one_of(all_of_it.permits, seats, place)
    )


def _one_of(total: int, seats: int, place: int) -> int:
    """What the seat at this place gets, where all get as much as possible alike."""
    return total // seats + (place < total % seats)


# When a worker may begin its next request. The clock's readings are passed in.
#
# A worker has so many permits, each for one request a second. It spreads them evenly over the
# second; what it is late with, on a busy machine, it makes up for in the next moments, as far as
# permits have rested.

# The way to the destination takes now longer, now shorter. A permit that may go from one worker to
# another rests a little more than its second, so that two requests are not one too many when they
# arrive.
REST_SECONDS = 1.05
_MADE_UP_FOR_SECONDS = 0.25


def permits_of(limits: Limits) -> int:
    """How many permits a destination has: none where it has no pace, and none is needed."""
    pace = limits.requests_per_second
    return 0 if pace is None else max(1, math.floor(pace))


class RequestPace:
    """The requests that one worker has begun lately, and when it may begin the next."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.requests_per_second
        self._all = permits_of(limits)
        self._second = max(1.0, 1.0 / self._rate) if self._rate else 1.0
        self._begun: deque[float] = deque(maxlen=self._all + 1)
        self._due = -math.inf

    @property
    def rest_seconds(self) -> float:
        """How long a permit rests: a second, or the time in which one request is allowed."""
        return self._second * REST_SECONDS

    def in_use(self, now: float) -> int:
        """How many permits have not rested yet."""
        return min(sum(at > now - self.rest_seconds for at in self._begun), self._all)

    def start(self, now: float) -> None:
        """There was nothing to send before, and nothing that is late."""
        self._due = max(self._due, now)

    def begin(self, permits: int, now: float) -> None:
        """A request begins."""
        self._begun.append(now)
        self._due = max(self._due, now - _MADE_UP_FOR_SECONDS) + self._gap(permits)

    def seconds_to_wait(self, permits: int, now: float) -> float:
        """Until another request may begin; 0 or less: now."""
        if self._rate is None:
            return 0.0
        if permits == 0:
            return math.inf
        # Whoever has all permits keeps to the pace itself, and need not care whose has rested.
        has_all = permits >= self._all
        most = math.ceil(self._rate) if has_all else permits
        rest = self._second if has_all else self.rest_seconds
        rested_at = self._begun[-most] + rest if len(self._begun) >= most else -math.inf
        return max(self._due, rested_at) - now

    def _gap(self, permits: int) -> float:
        if self._rate is None:
            return 0.0
        return 1.0 / self._rate if permits >= self._all else self.rest_seconds / max(1, permits)
