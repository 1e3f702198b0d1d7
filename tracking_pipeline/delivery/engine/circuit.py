"""Whether a destination may be sent to just now, as one run sees it, and the record of it for all.

After a throttle or a pause nothing more is sent in the run. What is decided is written to
``tracking_destination_state``, where every other worker, the sensor and ``status`` see it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeGuard
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.breaker import (
    FAILING,
    LEAST_REQUESTS,
    MOST_REFUSED_ALONE,
    MOST_SUSPECTED_ALONE,
    RUNS_APART_SECONDS,
    WINDOW_SECONDS,
    away_reason,
    failing_reason,
    is_away,
    opens,
    pause_message,
    refuses_all,
    refusing_reason,
)
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Outcome,
    Paused,
    PerEvent,
    Refused,
    Retry,
    Suspected,
    Throttled,
    Uniform,
    Verdict,
    is_failure,
)
from tracking_pipeline.delivery.failures import Failure, failure_of
from tracking_pipeline.store.database import AsyncPool, record_if_possible
from tracking_pipeline.store.destination_state import (
    close_breaker,
    count_failed_run,
    count_refused_event,
    count_requests,
    forget_failed_runs,
    forget_refusals,
    has_other_events,
    hold_destination,
    open_breaker,
    read_destination_state,
    take_probe,
)

COUNT_EVERY_SECONDS = 0.5


class Circuit:
    """The circuit of one destination in one run.

    ``state`` is ``ok``, ``probing``, ``throttled`` or ``paused``; ``detail`` says why, for people,
    and ``failure`` is the one that paused it.
    """

    def __init__(self, pool: AsyncPool, destination: DestinationName) -> None:
        self._pool = pool
        self._destination = destination
        self.state = "ok"
        self.detail = ""
        self.failure: Failure | None = None
        self._requests = 0
        self._failures = 0
        self._counted_at = float("-inf")
        self._answered = False
        self._accepted = False
        self._failed_runs = False
        self._several_failed = False
        self._refusals = False
        self._refused_alone = 0
        self._suspected_alone = 0
        self._refusal = ""

    @property
    def lets_through(self) -> bool:
        return self.state in ("ok", "probing")

    async def begin_run(self, *, asked_by_operator: bool) -> None:
        """Reads the shared state. A throttle is never overridden; on a pause this worker becomes
        the prober when the time has come, or an operator asked.
        """
        async with self._pool.connection() as connection:
            shared = await read_destination_state(connection, self._destination)
            self._failed_runs = shared.has_failed_runs
            self._refusals = shared.has_refused_events
            if shared.throttled_seconds > 0:
                self.state = "throttled"
                self.detail = f"asked to wait {shared.throttled_seconds:.0f} s more"
            elif shared.state != "closed":
                probing = await take_probe(connection, self._destination, forced=asked_by_operator)
                self.state = "probing" if probing else "paused"
                self.detail = shared.reason or ""
                self.failure = failure_of(shared.failure_code)

    async def refresh(self) -> None:
        """Stops this run too, if another worker was told to wait or found the destination closed
        meanwhile. Raises psycopg.OperationalError."""
        async with self._pool.connection() as connection:
            shared = await read_destination_state(connection, self._destination)
        if self.state == "ok" and shared.throttled_seconds > 0:
            self.state = "throttled"
            self.detail = f"asked to wait {shared.throttled_seconds:.0f} s more"
        elif self.state == "ok" and shared.state != "closed":
            self.state, self.detail = "paused", shared.reason or ""
            self.failure = failure_of(shared.failure_code)

    async def record_result(
        self,
        verdict: Verdict,
        *,
        events: int,
        event_id: UUID | None = None,
        others_accepted: bool = False,
    ) -> None:
        """Takes notice of what a request of so many events came to; ``event_id`` is the only one's,
        where there is one. Any answer about the events themselves, even a refusal, proves that a
        paused destination lets events in again; a fault proves nothing, and the very refusal for
        which it was paused proves the contrary. A passing fault of a part of a batch is not the
        destination's where ``others_accepted`` is true.
        """
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        if isinstance(outcome, Delivered) and self._is_undoubted():
            self._requests += 1
        elif isinstance(outcome, Throttled):
            await self.throttle(outcome.wait_seconds, outcome.fault.message)
        elif isinstance(outcome, Paused):
            fault = outcome.fault
            reason = ": ".join(filter(None, (fault.code, fault.message)))
            await self._pause(reason, fault.failure)
        elif self.state == "probing" and (
            is_failure(outcome) or self._is_refused_as_before(verdict)
        ):
            await self._pause(self.detail, self.failure)
        elif self.state == "probing":
            await self._reopen()
        else:
            await self._count(failed=is_failure(outcome) and not others_accepted)
            await self._count_without_success(verdict, event_id if events == 1 else None)
        if self.state == "ok" and self._refuses_everything(verdict, events):
            reason = refusing_reason(self._refusal)
            await self._pause(reason, Failure.DESTINATION_REFUSES_EVERYTHING)

    def _is_undoubted(self) -> bool:
        """Whether one more delivery tells nothing new: as a rule, and once for each event."""
        return (
            self.state == "ok"
            and self._accepted
            and self._answered
            and not (self._failures or self._failed_runs or self._refusals)
        )

    def suspected(self, verdict: Verdict, *, events: int) -> Verdict:
        """The verdict; or, of an uncertain fault of the call while this run had others accepted,
        that it is suspected to be an event's."""
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        if isinstance(outcome, Delivered) or isinstance(verdict, PerEvent):
            self._suspected_alone = 0
        if not isinstance(outcome, Paused) or outcome.certain:
            return verdict
        if self.state != "ok" or not self._accepted:
            return verdict
        if events == 1:
            self._suspected_alone += 1
        too_often = self._suspected_alone > MOST_SUSPECTED_ALONE
        return verdict if too_often else Suspected(outcome)

    def _is_refused_as_before(self, verdict: Verdict) -> bool:
        return isinstance(verdict, Refused) and self.detail == refusing_reason(_words(verdict))

    def _refuses_everything(self, verdict: Verdict, events: int) -> bool:
        """Whether event after event was refused alone, for one reason, and none was accepted."""
        if isinstance(verdict, Refused):
            if events == 1:
                reason = _words(verdict)
                self._refused_alone = self._refused_alone + 1 if reason == self._refusal else 1
                self._refusal = reason
        elif not isinstance(verdict, Uniform) or isinstance(verdict.outcome, Delivered):
            self._accepted = True
        return not self._accepted and self._refused_alone >= MOST_REFUSED_ALONE

    async def _count(self, *, failed: bool) -> None:
        """Counts a request. The counts are shared twice a second while requests fail, or as soon as
        they could decide by themselves."""
        self._requests += 1
        self._failures += failed
        due = time.monotonic() - self._counted_at >= COUNT_EVERY_SECONDS
        if due or self._requests >= LEAST_REQUESTS:
            await self.share_counts()

    async def share_counts(self) -> None:
        """Adds this run's requests to the window that all workers share, and opens the breaker when
        too many of its requests failed."""
        requests, failures = self._requests, self._failures
        if not failures:
            return
        self._requests = self._failures = 0
        self._counted_at = time.monotonic()
        counted: list[tuple[int, int]] = []

        async def count(connection: psycopg.AsyncConnection[TupleRow]) -> None:
            counted.append(
                await count_requests(
                    connection,
                    self._destination,
                    requests=requests,
                    failures=failures,
                    window_seconds=WINDOW_SECONDS,
                )
            )

        await self._record(count)
        if counted and opens(*counted[0]) and self.state == "ok":
            await self._pause(failing_reason(*counted[0]), Failure.DESTINATION_FAILING)

    async def _count_without_success(self, verdict: Verdict, event_id: UUID | None) -> None:
        """What happens over several runs in which nothing succeeds: kept for all of them."""
        if isinstance(verdict, Suspected):
            return
        outcomes = _outcomes(verdict)
        if outcomes and all(is_failure(each) for each in outcomes):
            if not self._answered and not self._several_failed:
                await self._count_failed_run(event_id)
            return
        self._answered = True
        if self._failed_runs:
            self._failed_runs = False
            await self._record(lambda each: forget_failed_runs(each, self._destination))
        if any(isinstance(each, Delivered) for each in outcomes):
            self._accepted = True
            if self._refusals:
                self._refusals = False
                await self._record(lambda each: forget_refusals(each, self._destination))
        elif _is_refused_unnamed(verdict) and event_id is not None and not self._accepted:
            await self._count_refused(_words(verdict), event_id)

    async def _count_failed_run(self, event_id: UUID | None) -> None:
        self._failed_runs = True
        counted: list[tuple[int, bool]] = []

        async def count(connection: psycopg.AsyncConnection[TupleRow]) -> None:
            counted.append(
                await count_failed_run(
                    connection,
                    self._destination,
                    event_id=event_id,
                    apart_seconds=RUNS_APART_SECONDS,
                )
            )

        await self._record(count)
        for runs, self._several_failed in counted:
            if self.state == "ok" and is_away(runs, several_events=self._several_failed):
                await self._pause(away_reason(runs), Failure.DESTINATION_FAILING)

    async def _count_refused(self, refusal: str, event_id: UUID) -> None:
        self._refusals = True
        counted: list[tuple[int, int]] = []

        async def count(connection: psycopg.AsyncConnection[TupleRow]) -> None:
            counted.append(
                await count_refused_event(
                    connection,
                    self._destination,
                    refusal=refusal,
                    event_id=event_id,
                    apart_seconds=RUNS_APART_SECONDS,
                )
            )

        await self._record(count)
        if self.state == "ok" and counted and refuses_all(*counted[0]):
            await self._pause(refusing_reason(refusal), Failure.DESTINATION_REFUSES_EVERYTHING)

    async def may_be_its_own_fault(self, verdict: Verdict, row_id: UUID) -> bool:
        """Whether a probe that failed spends a retry after all: it is the only event that waits for
        a destination whose requests fail, and nobody else can show whose fault it is."""
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        if not isinstance(outcome, Retry) or not FAILING.match(self.detail):
            return False
        async with self._pool.connection() as connection:
            return not await has_other_events(connection, self._destination, row_id)

    async def throttle(self, seconds: float, why: str) -> None:
        """Stops everybody until the wait is over."""
        if self.lets_through:
            self.state, self.detail = "throttled", f"asked to wait {seconds:.0f} s: {why}"
        await self._record(lambda each: hold_destination(each, self._destination, seconds))

    async def _pause(self, reason: str, failure: Failure | None) -> None:
        if self.state == "paused":
            return  # several requests were in flight; the first one told it all
        self.state, self.detail, self.failure = "paused", reason, failure
        message = pause_message(self._destination, reason, failure)
        code = failure.code if failure else None
        await self._record(
            lambda each: open_breaker(
                each, self._destination, reason, failure_code=code, message=message
            )
        )

    async def _reopen(self) -> None:
        self.state, self.detail, self.failure = "ok", "", None
        self._answered, self._failed_runs, self._refusals = True, False, False
        await self._record(lambda each: close_breaker(each, self._destination))

    async def _record(
        self, write: Callable[[psycopg.AsyncConnection[TupleRow]], Awaitable[object]]
    ) -> None:
        """Fails open: this run keeps to what it was told, and whoever else sends is told it by the
        destination itself. The outcomes of the request are worth more than this record."""
        await record_if_possible(self._pool, self._destination, write)


def _is_refused_unnamed(verdict: Verdict) -> TypeGuard[Refused]:
    """Whether the answer refuses without a word about single events: what it names an event for is
    no doubt that event's."""
    return isinstance(verdict, Refused) and not verdict.named


def _words(refused: Refused) -> str:
    return refused.rejected.fault.message or refused.rejected.reason


def _outcomes(verdict: Verdict) -> Sequence[Outcome]:
    """What an answer says of single events, or of all alike."""
    if isinstance(verdict, Uniform):
        return (verdict.outcome,)
    if isinstance(verdict, PerEvent):
        return verdict.outcomes
    return tuple(verdict.named.values()) if isinstance(verdict, Refused) else ()
