"""Which event meets which misbehaviour: scripts, one list of steps for each event id.

How one request picks its answer from the current steps of the events it carries:

1. A step about the destination (bad token, rate limit) goes first: a platform looks at the token
   and the rate before it looks at an event.
2. Then a step that refuses an event (`400`, code 100, `"bad"`): the whole batch is refused, as Meta
   does, so a bad event stays bad whoever travels with it.
3. Then a step about the request (`500`, `"timeout"`, `"reset"` ...): the whole request meets it.
4. With none of these all are accepted.

Among several of one kind, the first in the order of the request is acted out.

When a step is used up: a step is consumed when its event has really met it.

- Acted out about the destination or the request: consumed for every event of the request whose
  current step is the same one. Ten events with `[500, 200]` in one batch fail once, not ten times.
- A refusal is consumed only when the event stood alone: the refusal of a batch tells its sender
  nothing about any one member, so `[400]` is refused in the batch, in every part of it, and once
  alone. `"bad"` is never consumed.
- A good step is consumed when the event is accepted.
- All other steps stay.

After its last step an event is good. Thread safe: a test sets scripts while the server answers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from tracking_pipeline.sandbox.steps import RawStep, Reach, Step, parse_step, write_step

_ORDER = (Reach.DESTINATION, Reach.EVENT, Reach.REQUEST)
Remaining = Mapping[str, Sequence[RawStep]]


class Scripts:
    """The scripts of one sandbox."""

    def __init__(self, on_change: Callable[[Remaining], None] | None = None) -> None:
        """`on_change` is told, within the lock, what remains of each script that changed."""
        self._lock = threading.Lock()
        self._steps: dict[str, deque[Step]] = {}
        self._on_change = on_change

    def set(self, event_id: str, steps: Iterable[RawStep]) -> None:
        """Gives one event its script, in place of the one it had.

        Raises `StepError` for a step that does not exist.
        """
        self.update({event_id: list(steps)})

    def update(self, scripts: Remaining) -> None:
        """Gives many events their scripts, all or none.

        Raises `StepError` for a step that does not exist.
        """
        parsed = {
            event_id: deque(parse_step(step) for step in steps)
            for event_id, steps in scripts.items()
        }
        with self._lock:
            self._steps.update(parsed)
            self._changed(parsed)

    def restore(self, remaining: Remaining) -> None:
        """Takes over what remained in an earlier process, without telling `on_change` again."""
        with self._lock:
            for event_id, steps in remaining.items():
                self._steps.pop(event_id, None)
                if steps:
                    self._steps[event_id] = deque(parse_step(step) for step in steps)

    def remaining(self, event_id: str) -> list[RawStep]:
        """The steps that the event has not met yet."""
        with self._lock:
            return [write_step(step) for step in self._steps.get(event_id, ())]

    def take(self, event_ids: Sequence[str]) -> Step | None:
        """Chooses what a request with these events meets, and uses up the steps that it meets.

        `None` means that no script has a say. A good step is returned when one carries a delay.
        """
        with self._lock:
            members = [event_id for event_id in event_ids if self._steps.get(event_id)]
            if not members:
                return None
            step = self._choose(members)
            met = [
                event_id
                for event_id in dict.fromkeys(members)
                if _meets(self._steps[event_id][0], step, alone=len(event_ids) == 1)
            ]
            for event_id in met:
                self._steps[event_id].popleft()
            self._changed(met)
            return step

    def _choose(self, members: Sequence[str]) -> Step:
        current = [self._steps[event_id][0] for event_id in members]
        for reach in _ORDER:
            for step in current:
                if step.reach is reach:
                    return step
        return max(current, key=lambda step: step.delay_seconds)

    def _changed(self, event_ids: Iterable[str]) -> None:
        remaining = {
            event_id: [write_step(step) for step in self._steps[event_id]] for event_id in event_ids
        }
        for event_id, steps in remaining.items():
            if not steps:
                del self._steps[event_id]
        if remaining and self._on_change is not None:
            self._on_change(remaining)


def _meets(own: Step, acted: Step, *, alone: bool) -> bool:
    """Whether an event whose current step is `own` has met it when `acted` was acted out."""
    if acted.reach is Reach.EVENT:
        return alone and own.kind != "bad"
    return own == acted or (acted.accepts and own.is_good)
