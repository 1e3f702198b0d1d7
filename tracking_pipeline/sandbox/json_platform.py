"""What the stand-ins have in common whose platform takes a JSON list of events in one POST.

Every request goes the same way, and the first thing that is wrong decides the answer:

    token -> destination-wide faults -> the call (headers, path) -> the list -> each event
          -> scripts and random faults -> accepted

Where a platform takes the good events of a request and refuses the others, each part is remembered
as a request of its own, so that an event's own count stays right.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import orjson
from aiohttp import web

from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import Reach, ScriptStep

_GOOD = ScriptStep()
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wrong:
    """What is wrong with an event: the field as the platform writes it, and words for people.
    A ``warning`` refuses nothing. ``position`` is set by who looks at the list."""

    field: str
    message: str
    warning: bool = False
    position: int = -1


@dataclass(frozen=True)
class _BatchAnswer(StandInAnswer):
    """``refused``: which events are, by their positions; the others are taken."""

    refused: frozenset[int] = frozenset()


class JsonPlatform(Service, ABC):
    """One platform. A subclass says what it wants of a request and how it words its answers.

    ``takes_the_rest``: one bad event does not refuse its request. ``id_path`` leads to the id that
    scripts and memory know an event by.
    """

    most_events: ClassVar[int]
    most_bytes: ClassVar[int | None] = None
    id_path: ClassVar[tuple[str, ...]] = ("event_id",)
    takes_the_rest: ClassVar[bool] = False

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.traces = count(1)

    @abstractmethod
    def events(self, payload: Mapping[str, Any]) -> object:
        """The list of events in a body, as it stands."""

    @abstractmethod
    def wrongs(self, event: Mapping[str, Any], now: float) -> Iterator[Wrong]:
        """All that is wrong with an event at ``now`` (Unix seconds)."""

    @abstractmethod
    def accepted(self, events: Sequence[Any], wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        """The body of an acceptance; ``wrongs`` are what is refused or warned of all the same."""

    @abstractmethod
    def error(self, step: ScriptStep, wrongs: Sequence[Wrong]) -> Mapping[str, Any]:
        """The body of an error with the status of ``step``."""

    def refuse_call(self, request: web.Request, payload: Mapping[str, Any]) -> ScriptStep | None:
        """What is wrong with the call whatever its events are: a header, the path."""
        del request, payload
        return None

    def token(self, request: web.Request) -> str:
        """The token that the request carries."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme == "Bearer" else ""

    def http_status(self, step: ScriptStep, *, some_refused: bool) -> int:
        """The status of the answer; ``some_refused``: events were refused one by one."""
        del some_refused
        return step.status

    def records(self, request: web.Request, payload: Mapping[str, Any]) -> bool:
        """Whether the platform keeps what it accepts, and only judges it otherwise."""
        del request, payload
        return True

    def success_status(self) -> int:
        """The status of an acceptance."""
        return 200

    def raw_values(self, event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        """The values of an event that have to be hashes, by where they stand."""
        del event
        return iter(())

    async def post(self, request: web.Request) -> web.Response:
        """Answers one request with events."""
        self.stage.memory.check_waited(self.destination)
        body = await request.read()
        payload = json_or_none(body)
        payload = payload if isinstance(payload, dict) else {}
        listed = self.events(payload)
        events = listed if isinstance(listed, list) else []
        answer = self._answer(request, body, payload, listed)
        if self.records(request, payload):
            self._remember(answer, events)
        await self.delay(answer.step)
        status = self.http_status(answer.step, some_refused=bool(answer.refused))
        return await self.send(request, answer, status=status)

    def event_id(self, event: object) -> str:
        """The id under which scripts and memory know an event; empty for one without."""
        for name in self.id_path:
            event = event.get(name) if isinstance(event, dict) else None
        return event if isinstance(event, str) else ""

    def _answer(
        self, request: web.Request, body: bytes, payload: Mapping[str, Any], listed: object
    ) -> _BatchAnswer:
        wrong = self._wrong_token(request)
        if wrong is not None:
            return self._refusal(wrong)
        fault = self.conditions.take()
        if fault is not None:
            return self._misbehave(fault)
        wrong = self.refuse_call(request, payload) or self._wrong_list(body, listed)
        if wrong is not None or not isinstance(listed, list):
            return self._refusal(wrong or _GOOD)
        return self._judge(listed)

    def _wrong_token(self, request: web.Request) -> ScriptStep | None:
        token = self.token(request)
        if token and token in request.path_qs:
            self.stage.memory.violate("token_in_url", "the token stands in the URL")
        return None if token else ScriptStep(status=401, code=190, message="no token")

    def _wrong_list(self, body: bytes, listed: object) -> ScriptStep | None:
        if not isinstance(listed, list) or not listed:
            return ScriptStep(status=400, code=100, message="events must be a list of events")
        if len(listed) > self.most_events:
            self.stage.memory.violate("too_many_events", f"{len(listed)} events in one request")
            return ScriptStep(status=400, code=100, message="too many events")
        if self.most_bytes is not None and len(body) > self.most_bytes:
            self.stage.memory.violate("too_many_bytes", f"{len(body)} bytes in one request")
            return ScriptStep(status=413, code=100, message="the request is too large")
        return None

    def _judge(self, events: list[Any]) -> _BatchAnswer:
        wrongs = [] if self.stage.lenient else list(self._all_wrongs(events))
        refused = frozenset(each.position for each in wrongs if not each.warning)
        if refused and not self.takes_the_rest:
            return self._refusal(_bad(wrongs), wrongs)
        ids = [self.event_id(event) for event in events]
        culprits = self.stage.culprits(ids)
        # Where the others are taken, they meet what is scripted for them, and the culprits alone.
        others = [each for at, each in enumerate(ids) if at not in culprits]
        step = self.stage.fault(others if self.takes_the_rest else ids) or _GOOD
        if step.reach is Reach.EVENT or (culprits and self.takes_the_rest and step.is_good):
            scripted = [Wrong("", step.message or "Invalid event", position=at) for at in culprits]
            if not self.takes_the_rest:
                return self._refusal(step, scripted)
            wrongs += scripted
            refused |= frozenset(culprits)
            for position in culprits:
                self.stage.fault([ids[position]])
        if not step.is_good:
            return self._misbehave(step)
        if len(refused) == len(events):
            return replace(self._refusal(_bad(wrongs), wrongs), refused=refused)
        status = step.status if step.status != 200 else self.success_status()
        return _BatchAnswer(
            ScriptStep(
                status=status, retry_after=step.retry_after, delay_seconds=step.delay_seconds
            ),
            orjson.dumps(self.accepted(events, wrongs)),
            refused=refused,
        )

    def _all_wrongs(self, events: list[Any]) -> Iterator[Wrong]:
        now = self.stage.clock()
        for position, event in enumerate(events):
            if not isinstance(event, dict):
                yield Wrong("", "An event is an object", position=position)
                continue
            for place, value in self.raw_values(event):
                for each in value if isinstance(value, list) else [value]:
                    if not isinstance(each, str) or not _SHA256.fullmatch(each):
                        self.stage.memory.violate("raw_personal_data", place, self.event_id(event))
            for wrong in self.wrongs(event, now):
                yield Wrong(wrong.field, wrong.message, wrong.warning, position)

    def _refusal(self, step: ScriptStep, wrongs: Sequence[Wrong] = ()) -> _BatchAnswer:
        reason = step.message or "refused by its script"
        return _BatchAnswer(step, orjson.dumps(self.error(step, wrongs)), reason)

    def _misbehave(self, step: ScriptStep) -> _BatchAnswer:
        found = misbehaviour(step, b'{"data": ', orjson.dumps(self.error(step, ())))
        return _BatchAnswer(step, found.body, found.reason)

    def _remember(self, answer: _BatchAnswer, events: Sequence[Any]) -> None:
        ids = [self.event_id(event) for event in events]
        everybody = list(range(len(events)))
        parts: list[tuple[list[int], bool, str | None]] = [
            (everybody, answer.step.accepts, answer.reason)
        ]
        if answer.refused:
            taken = [at for at in everybody if at not in answer.refused]
            parts = [(sorted(answer.refused), False, "refused by name")]
            if taken:
                parts.append((taken, True, None))
        for positions, accepted, reason in parts:
            self.remember(
                answer,
                [ids[at] for at in positions],
                [events[at] for at in positions],
                accepted=accepted,
                reason=reason,
            )


def _bad(wrongs: Sequence[Wrong]) -> ScriptStep:
    return ScriptStep(status=400, code=100, message=wrongs[0].message)


def is_within(seconds: object, now: float, *, oldest: float, ahead: float = 300.0) -> bool:
    """Whether a time (Unix seconds) is at most so old and at most so far ahead."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return False
    return now - oldest <= seconds <= now + ahead
