"""What all online sources of places share: when one may be asked, and what a request came to.

Who asks is one of several workers behind one address, so the database says whether it may
(:mod:`tracking_pipeline.store.geo_providers`). A window that is used up is waited for while the run
has the time; a source that is held is not: the next source is there, or the next run.

Failure policy: a request that comes to nothing is ``AskLater`` for each of its addresses, and the
source is left alone for a while. What was not asked because of that is not in the answers, and has
spent nothing. An answer that cannot be read as a whole may be one address's doing: its batch is
asked about again in halves, until that address stands alone; several such answers on end are the
source's own trouble.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import anyio
import orjson
import psycopg
from psycopg.rows import TupleRow

from tracking_pipeline import http_client as http
from tracking_pipeline.geo.provider import Answer, AskLater
from tracking_pipeline.store.database import AsyncPool, record_if_possible, through_outages
from tracking_pipeline.store.geo_providers import (
    RequestWindow,
    Wait,
    hold_provider,
    read_wait,
    record_answer,
    record_failure,
    reserve_request,
)

# How long a source that gave no answer is left alone: a restart of a minute costs a minute, an
# outage of a day a request each half hour.
FIRST_HOLD_SECONDS = 60.0
LONGEST_HOLD_SECONDS = 30 * 60.0

# A worker that dies with a request on its way leaves the source busy for that long.
BUSY_SECONDS = http.TIMEOUT_SECONDS + 5
LOOK_AGAIN_SECONDS = 0.1
# The search for one address meets three on end at most, for three in different quarters seven.
MOST_UNREADABLE_ON_END = 8

SecondsLeft = Callable[[], float]
"""How much of its time the run has left, in seconds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests are left, for so many seconds; None for what the source did not say."""

    requests_left: int | None = None
    resets_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """An answer that could be read, with what it says of each address."""

    answers: Mapping[str, Answer]
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True)
class UnreadableAnswer:
    """An answer that came, and of which nothing can be read."""

    reason: str
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True)
class ProviderThrottled:
    """The source asks to be left alone for that long."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The request came to nothing. ``reason`` is a short text without address and secret."""

    reason: str


Verdict = Understood | UnreadableAnswer | ProviderThrottled | Failed


@dataclass(frozen=True, slots=True)
class Question:
    """One request of a source: where it goes, what is in it, and how its answer is read."""

    url: str
    content: bytes
    headers: Mapping[str, str]
    read: Callable[[http.Answer], Verdict]


def unusable(answer: http.Answer) -> Failed | UnreadableAnswer | None:
    """Why there is nothing to read in an answer; None for a plain 200."""
    if answer.status == 200 and answer.fault == "oversized":
        return UnreadableAnswer("the answer is too long")
    if answer.status is None or answer.fault is not None:
        return Failed(f"no answer ({answer.fault})")
    return None if answer.status == 200 else Failed(f"HTTP {answer.status}")


def document_of(answer: http.Answer) -> Any:
    """The body as JSON; None where it is none.

    Halves of surrogate pairs (which RFC 8259 8.2 lets pass), ``NaN`` and bytes that are no UTF-8
    spoil the one text or number in which they stand, and not the places of a hundred addresses. As
    no :func:`~tracking_pipeline.identity.text.text_of` has such a text, it is never taken for one.
    """
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        pass
    try:
        # A float takes any number of digits.
        return json.loads(answer.body.decode("utf-8", "surrogateescape"), parse_int=float)
    except (ValueError, RecursionError):
        return None


class OnlineSource:
    """One online source as one run sees it. ``window`` is None where it does not count requests."""

    def __init__(
        self,
        provider: str,
        client: http.DeliveryClient,
        pool: AsyncPool,
        *,
        window: RequestWindow | None,
        seconds_left: SecondsLeft,
    ) -> None:
        self._provider = provider
        self._client = client
        self._pool = pool
        self._window = window
        self._seconds_left = seconds_left
        self._unreadable_on_end = 0

    async def locate(
        self,
        addresses: Sequence[str],
        batch_size: int,
        question: Callable[[Sequence[str]], Question],
    ) -> dict[str, Answer]:
        """Asks about each distinct address, ``batch_size`` a request, until the source may not be
        asked any more: once, but for the batches whose answers cannot be read.

        Raises psycopg.OperationalError when the database stays away.
        """
        found: dict[str, Answer] = {}
        for batch in _batches(addresses, batch_size):
            parts = deque([batch])
            while parts:
                if not await self._may_ask():
                    return found
                part = parts.popleft()
                verdict = await self._ask(question(part))
                found.update(_answers(verdict, part))
                if isinstance(verdict, UnreadableAnswer) and len(part) > 1:
                    middle = len(part) // 2
                    parts += (part[:middle], part[middle:])
        return found

    async def _ask(self, question: Question) -> Verdict:
        answer = await http.post(
            self._client, question.url, content=question.content, headers=question.headers
        )
        verdict = self._with_those_before(question.read(answer))
        if not isinstance(verdict, Understood):
            log.warning("%s: %s", self._provider, verdict.reason)
        if isinstance(verdict, ProviderThrottled):
            await self._record_throttle(verdict)
        elif isinstance(verdict, Failed):
            await self._record_failure(verdict.reason)
        else:
            await self._record_answer(verdict.allowance, readable=isinstance(verdict, Understood))
        return verdict

    def _with_those_before(self, verdict: Verdict) -> Verdict:
        """The verdict itself, or that the source fails: it has said nothing readable for long."""
        if not isinstance(verdict, UnreadableAnswer):
            self._unreadable_on_end = 0
            return verdict
        self._unreadable_on_end += 1
        if self._unreadable_on_end < MOST_UNREADABLE_ON_END:
            return verdict
        return Failed(verdict.reason)

    async def _may_ask(self) -> bool:
        while self._seconds_left() > 0:
            wait = await through_outages(self._take_turn)
            if wait is None:
                return True
            pause = min(wait.seconds, LOOK_AGAIN_SECONDS) if wait.state == "busy" else wait.seconds
            if wait.state == "held" or pause > self._seconds_left():
                why = wait.reason or wait.state
                log.info("%s is not asked for %.0f s: %s", self._provider, wait.seconds, why)
                return False
            await anyio.sleep(pause)
        return False

    async def _take_turn(self) -> Wait | None:
        async with self._pool.connection() as connection:
            if self._window is None:
                return await read_wait(connection, self._provider)
            return await reserve_request(
                connection, self._provider, self._window, busy_seconds=BUSY_SECONDS
            )

    async def _record_answer(self, allowance: Allowance, *, readable: bool) -> None:
        await self._record(
            lambda connection: record_answer(
                connection,
                self._provider,
                requests_left=allowance.requests_left,
                resets_in_seconds=allowance.resets_in_seconds,
                readable=readable,
            )
        )

    async def _record_throttle(self, throttled: ProviderThrottled) -> None:
        await self._record(
            lambda connection: hold_provider(
                connection, self._provider, seconds=throttled.seconds, reason=throttled.reason
            )
        )

    async def _record_failure(self, reason: str) -> None:
        await self._record(
            lambda connection: record_failure(
                connection,
                self._provider,
                reason,
                first_seconds=FIRST_HOLD_SECONDS,
                longest_seconds=LONGEST_HOLD_SECONDS,
            )
        )

    async def _record(
        self, write: Callable[[psycopg.AsyncConnection[TupleRow]], Awaitable[object]]
    ) -> None:
        """Fails open: the places are worth more than this record. The reservation runs out by
        itself, and whoever asks next is told the same by the source."""
        await record_if_possible(self._pool, self._provider, write)


def _batches(addresses: Sequence[str], size: int) -> Iterator[list[str]]:
    distinct = iter(dict.fromkeys(addresses))
    while batch := list(islice(distinct, size)):
        yield batch


def _answers(verdict: Verdict, batch: Sequence[str]) -> Mapping[str, Answer]:
    if isinstance(verdict, Understood):
        return verdict.answers
    seconds = verdict.seconds if isinstance(verdict, ProviderThrottled) else None
    return dict.fromkeys(batch, AskLater(verdict.reason, seconds))
