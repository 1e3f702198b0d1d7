"""In which order events go back, so that most of what they are worth arrives in time. Pure.

At the pace of a replay each destination's events have places, one after another, and two limits:

    accepted until      the destination takes no older event
    recognised until    a copy that comes later is no longer seen to be one, and may count twice

What cannot be accepted any more is lost, so that limit comes first: of all orders, the one that is
chosen has the highest worth arrive while it is accepted, and the most events with that. Where these
are the same, it is the best of those that were tried by what arrives while it is recognised. So it
is never worse than the oldest first. Within what arrives in time, whatever is due first goes first.
What does not arrive in time goes last, the highest worth first, and nothing is left out.

That is the scheduling of unit tasks with deadlines, for which taking the tasks by their worth, each
into the last place that is still free, is known to be optimal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One event that is to be sent. ``worth`` is 0 where nobody knows. ``accepted_until`` and
    ``recognised_until`` are seconds after the start; infinite: there is no such limit."""

    worth: float = 0.0
    accepted_until: float = math.inf
    recognised_until: float = math.inf


def in_order(tasks: Sequence[Task], first_seconds: float, seconds_apart: float) -> list[int]:
    """The places in ``tasks`` (the oldest first) of those that go first, second and so on. The
    first one goes ``first_seconds`` after the start."""
    last = len(tasks) - 1

    def place(until: float) -> int:
        """The last place from which an event arrives until then; below 0: none."""
        places = (until - first_seconds) / seconds_apart
        return last if places >= last else max(math.floor(places), -1)

    accepted = [place(task.accepted_until) for task in tasks]
    recognised = [
        min(place(task.recognised_until), until)
        for task, until in zip(tasks, accepted, strict=True)
    ]
    orders = (
        _by_deadlines(tasks, (recognised, accepted)),
        _by_deadlines(tasks, (accepted,)),
        list(range(len(tasks))),
    )
    return max(
        orders, key=lambda order: (_met(tasks, order, accepted), _met(tasks, order, recognised))
    )


def arriving(
    tasks: Sequence[Task], order: Sequence[int], first_seconds: float, seconds_apart: float
) -> list[int]:
    """Those that arrive while they are accepted, when they go in this order."""
    return [
        each
        for place, each in enumerate(order)
        if first_seconds + place * seconds_apart <= tasks[each].accepted_until
    ]


def _by_deadlines(tasks: Sequence[Task], deadlines: Sequence[Sequence[int]]) -> list[int]:
    """The order in which most worth meets the first of these deadlines, and of what does not, most
    the next one."""
    by_worth = sorted(range(len(tasks)), key=lambda each: -tasks[each].worth)
    free = list(range(len(tasks) + 1))  # the last free place up to each, counted from 1; 0: none
    due: dict[int, int] = {}
    for deadline in deadlines:
        for each in by_worth:
            if each not in due and (place := _last_free(free, deadline[each] + 1)):
                free[place] = place - 1
                due[each] = deadline[each]
    return sorted(due, key=lambda each: (due[each], each)) + [
        each for each in by_worth if each not in due
    ]


def _last_free(free: list[int], place: int) -> int:
    while free[place] != place:
        free[place] = free[free[place]]
        place = free[place]
    return place


def _met(
    tasks: Sequence[Task], order: Sequence[int], deadlines: Sequence[int]
) -> tuple[float, int]:
    """The worth that meets its deadline in this order, and of how many."""
    met = [each for place, each in enumerate(order) if place <= deadlines[each]]
    return math.fsum(tasks[each].worth for each in met), len(met)
