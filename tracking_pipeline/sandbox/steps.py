"""What a stand-in can do with a request: the steps that scripts are written in.

A step is written as

==============================  ================================================================
`200`, `400`, `500`, `503` ...   an answer with this HTTP status
`"timeout"`                      no answer until the client goes away; nothing is accepted
`"reset"`                        the connection is reset before an answer; nothing is accepted
`"late_reset"`                   the events are accepted, then the connection is reset (in doubt)
`"html"`                         status 500 with an HTML body; nothing is accepted
`"broken_json"`                  status 200 with an unreadable body; the events are accepted
`"bad"`                          the event is refused for ever, alone or in a batch
`{...}`                          an answer in detail: any of the fields of `ScriptStep` but `kind`
==============================  ================================================================

Pure: no clock, no connection.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any, Literal, Union, get_args

Kind = Literal["answer", "timeout", "reset", "late_reset", "html", "broken_json", "bad"]
RawStep = Union[int, str, "dict[str, Any]"]

# Meta's error code for a bare HTTP status. What is not listed is 1 (unknown error).
_CODE_OF_STATUS = {400: 100, 401: 190, 403: 10, 404: 100, 413: 100, 422: 100, 429: 4, 503: 2}
_EVENT_CODES = frozenset({100, 105})
# 100/33: the object is missing or the token may not use it. It says nothing about an event.
_OBJECT_MISSING = 33
_DESTINATION_CODES = frozenset(
    {3, 4, 10, 17, 32, 102, 190, 341, 368, 613, 80000, 80003, 80004, 80014} | set(range(200, 300))
)

_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "code": (int, type(None)),
    "subcode": (int, type(None)),
    "message": (str, type(None)),
    "user_title": (str, type(None)),
    "user_message": (str, type(None)),
    "retry_after": (str, type(None)),
    "delay_seconds": (int, float),
}


class StepError(ValueError):
    """A step that no stand-in knows. The message names it and lists what there is."""


class Reach(Enum):
    """Whom a step speaks about; it decides which of several steps in one batch is acted out."""

    NOBODY = "nobody"  # a good answer
    DESTINATION = "destination"  # token, permission, rate: decided before any event is looked at
    EVENT = "event"  # this event is refused, and with it the whole batch
    REQUEST = "request"  # this one request goes wrong; the next may not


@dataclass(frozen=True)
class ScriptStep:
    """One scripted answer.

    `status` is the HTTP status; `code`, `subcode` and `message` fill Meta's error body (defaults
    follow from the status), `message` also that of a success, `user_title` and `user_message` what
    it says to people; `retry_after` is sent as the `Retry-After` header, as it stands;
    `delay_seconds` passes before the answer.
    """

    kind: Kind = "answer"
    status: int = 200
    code: int | None = None
    subcode: int | None = None
    message: str | None = None
    user_title: str | None = None
    user_message: str | None = None
    retry_after: str | None = None
    delay_seconds: float = 0.0

    @property
    def reach(self) -> Reach:
        """Whom the step speaks about."""
        if self.kind == "bad":
            return Reach.EVENT
        if self.kind != "answer":
            return Reach.REQUEST
        if self.is_good:
            return Reach.NOBODY
        if self.code in _EVENT_CODES and self.subcode != _OBJECT_MISSING:
            return Reach.EVENT
        if self.status == 429 or self.code in _DESTINATION_CODES or self.code in _EVENT_CODES:
            return Reach.DESTINATION
        return Reach.REQUEST

    @property
    def is_good(self) -> bool:
        """Whether the answer is a plain success."""
        return self.kind == "answer" and self.status < 300

    @property
    def accepts(self) -> bool:
        """Whether the destination has the events afterwards, whatever the client is told."""
        return self.is_good or self.kind in ("late_reset", "broken_json")

    @property
    def label(self) -> str:
        """A short name for the memory: the HTTP status, or what happened instead of one."""
        if self.kind in ("timeout", "reset", "late_reset"):
            return self.kind
        return str(self.status)


def parse_step(raw: RawStep) -> ScriptStep:
    """Reads one step as scripts write it.

    Raises `StepError` for a word, a field or a status that does not exist.
    """
    if isinstance(raw, bool) or not isinstance(raw, (int, str, dict)):
        raise StepError(f"a step is a status, a word or an object, not {type(raw).__name__}")
    if isinstance(raw, str):
        return _word(raw)
    if isinstance(raw, int):
        return _answer({"status": raw})
    return _answer(raw)


def write_step(step: ScriptStep) -> RawStep:
    """The shortest form that `parse_step` reads back as the same step."""
    if step.kind != "answer":
        return step.kind
    # The codes are written even when null: a missing one would be filled in from the status.
    return {
        name: value
        for name, value in asdict(step).items()
        if name in ("status", "code", "subcode") or (name != "kind" and value)
    }


def _word(word: str) -> ScriptStep:
    kinds = [kind for kind in get_args(Kind) if kind != "answer"]
    if word not in kinds:
        raise StepError(f"no step is called {word!r}; there are: {', '.join(kinds)}")
    statuses = {"bad": 400, "html": 500}
    codes = {"bad": 100, "html": 1}
    return ScriptStep(
        kind=word,  # type: ignore[arg-type]  # just checked against the words of Kind
        status=statuses.get(word, 200),
        code=codes.get(word),
    )


def _answer(wanted: dict[str, Any]) -> ScriptStep:
    known = {field.name for field in fields(ScriptStep)} - {"kind"}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise StepError(f"a step has no {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    # An error code without a status is answered with 400, as the Graph API mostly does.
    status = wanted.get("status", 400 if "code" in wanted else 200)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise StepError(f"{status!r} is no status between 200 and 599")
    for name, types in _FIELD_TYPES.items():
        if name in wanted and not isinstance(wanted[name], types):
            raise StepError(f"{name} of a step cannot be {wanted[name]!r}")
    code = wanted.get("code", _CODE_OF_STATUS.get(status, 1) if status >= 300 else None)
    subcode = wanted.get("subcode", _OBJECT_MISSING if status == 404 else None)
    return ScriptStep(**{**wanted, "status": status, "code": code, "subcode": subcode})


# Which event meets which misbehaviour: scripts, one list of steps for each event id.
#
# How one request picks its answer from the current steps of the events it carries:
#
# 1. A step about the destination (bad token, rate limit) goes first: a platform looks at the token
#    and the rate before it looks at an event.
# 2. Then a step that refuses an event (`400`, code 100, `"bad"`): the whole batch is refused, as
#    Meta does, so a bad event stays bad whoever travels with it.
# 3. Then a step about the request (`500`, `"timeout"`, `"reset"` ...): the whole request meets it.
# 4. With none of these all are accepted.
#
# Among several of one kind, the first in the order of the request is acted out.
#
# When a step is used up: a step is consumed when its event has really met it.
#
# - Acted out about the destination or the request: consumed for every event of the request whose
#   current step is the same one. Ten events with `[500, 200]` in one batch fail once, not ten
#   times.
# - A refusal is consumed only when the event stood alone: the refusal of a batch tells its sender
#   nothing about any one member, so `[400]` is refused in the batch, in every part of it, and once
#   alone. `"bad"` is never consumed.
# - A good step is consumed when the event is accepted.
# - All other steps stay.
#
# After its last step an event is good. Thread safe: a test sets scripts while the server answers.

_ORDER = (Reach.DESTINATION, Reach.EVENT, Reach.REQUEST)
Remaining = Mapping[str, Sequence[RawStep]]


class Scripts:
    """The scripts of one sandbox."""

    def __init__(self, on_change: Callable[[Remaining], None] | None = None) -> None:
        """`on_change` is told, within the lock, what remains of each script that changed."""
        self._lock = threading.Lock()
        self._steps: dict[str, deque[ScriptStep]] = {}
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

    def take(self, event_ids: Sequence[str]) -> ScriptStep | None:
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

    def _choose(self, members: Sequence[str]) -> ScriptStep:
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


def _meets(own: ScriptStep, acted: ScriptStep, *, alone: bool) -> bool:
    """Whether an event whose current step is `own` has met it when `acted` was acted out."""
    if acted.reach is Reach.EVENT:
        return alone and own.kind != "bad"
    return own == acted or (acted.accepts and own.is_good)
