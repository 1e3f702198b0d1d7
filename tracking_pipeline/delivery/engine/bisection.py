"""Sends a batch until every member has an outcome, and finds the culprits of a refused one.

A request that is refused as a whole says nothing about its members. The search for the one that
spoils it goes by halves: a half that is accepted is delivered and done, and proves that the culprit
is in the other half, which then need not be sent whole. Halves that were set aside during the
search are unknown again and go together in one request. So one poison event costs its batch about
log2(batch) + 2 requests more, and everyone but the poison is delivered.

A few culprits are searched for in this way. When there turn out to be more, the rest is simply
halved: that never costs more than two requests an event.

Where an answer names members, those have their outcome by it, and the others are sent again.

A fault that looks like the call's is searched in the same way while other events are accepted:
where one half draws it and the other is accepted, it is an event's, which in the end spends a retry
of its own. Where both halves draw it, it is the call's, and no event pays for it.

A timeout or a 5xx is the destination's own trouble, and more requests would add to it. But one
event may draw it as well, so before it costs a member its last try the batch is sent in parts:
straight down to a single event first, for which an outage is asked two requests a halving. Once a
part is accepted, every part that fails is halved, until the culprits stand alone and pay. Where
none is, it is the destination, and each member spends the one try. A destination that names the
time when it wants to be asked again is not asked before.

Nothing else is bisected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    Outcome,
    Paused,
    PerEvent,
    Refused,
    Retry,
    Suspected,
    Throttled,
    Uniform,
)
from tracking_pipeline.delivery.failures import Failure

MOST_SEARCHES = 3


INTERRUPTED = Paused(
    Fault("the search for a refused event was interrupted", Failure.SEARCH_INTERRUPTED)
)
"""What the attempt of a :class:`Tried` without an outcome came to, where a request carried it."""


@dataclass(slots=True)
class Tried:
    """What became of one event of a batch.

    ``outcome`` is None when no request was allowed for it any more; ``requests`` counts those that
    carried it, ``request_id`` names the last one, ``duration_ms`` is that one's.
    """

    prepared: Prepared
    outcome: Outcome | None = None
    requests: int = 0
    request_id: UUID | None = None
    duration_ms: int | None = None


Send = Callable[[Sequence[Prepared]], Awaitable[Reply]]
MaySend = Callable[[Sequence[Prepared]], Awaitable[bool]]


IsLastTry = Callable[[Prepared, Retry], bool]


async def deliver_batch(
    batch: Sequence[Prepared],
    send: Send,
    may_send: MaySend,
    *,
    is_last_try: IsLastTry = lambda prepared, retry: False,
    send_part: Send | None = None,
) -> list[Tried]:
    """Sends the batch, in as many requests as its refusals need. The order of ``batch`` is kept.

    ``may_send`` is asked before each request, and may take its time; where it says no, the members
    keep no outcome. ``is_last_try`` says of a member whether a passing fault would be the end of
    it; then the batch is sent in parts. ``send_part`` sends those after others of the batch were
    accepted, so that their fault is known not to be the destination's; None: as the others.
    """
    search = _Search(
        [Tried(prepared) for prepared in batch], send, may_send, is_last_try, send_part or send
    )
    await search.run()
    return search.tried


@dataclass(frozen=True, slots=True)
class _Failed:
    """Members of a request that met a passing fault."""

    members: list[Tried]
    retry: Retry


class _Search:
    def __init__(
        self,
        tried: list[Tried],
        send: Send,
        may_send: MaySend,
        is_last_try: IsLastTry,
        send_part: Send,
    ) -> None:
        self.tried = tried
        self._send = send
        self._may_send = may_send
        self._is_last_try = is_last_try
        self._send_part = send_part
        self._failed: list[_Failed] = []
        self._in_parts = False
        self._accepted = False
        self._stopped_by: Outcome | None = None
        self._stopped = False
        self._suspicion: Paused | None = None

    async def run(self) -> None:
        await self._settle(self.tried)
        if self._failed:
            await self._send_in_parts()

    async def _send_in_parts(self) -> None:
        """Halves those that met a passing fault at somebody's last try, the latest first."""
        interrupted: list[_Failed] = []
        halvings = 0
        most_unaccepted = (len(self.tried) - 1).bit_length()
        while self._failed and not self._stopped:
            if not self._accepted and halvings == most_unaccepted:
                return
            self._in_parts = True
            failed = self._failed.pop()
            middle = len(failed.members) // 2
            for part in (failed.members[:middle], failed.members[middle:]):
                for member in part:
                    member.outcome = None
                await self._settle(part)
                interrupted.append(_Failed(_undecided(part), failed.retry))
            halvings += 1
        # Whoever was not asked for alone does not pay, unless nothing at all was accepted.
        for failed in (*self._failed, *interrupted) if self._stopped else ():
            for member in failed.members:
                spends = not self._accepted and self._stopped_by is None
                member.outcome = failed.retry if spends else self._stopped_by

    async def _settle(self, unknown: list[Tried]) -> None:
        self._suspicion = None
        for _ in range(MOST_SEARCHES):
            if not await self._is_refused(unknown):
                return
            if self._suspicion is not None:
                await self._find_suspect(unknown, self._suspicion)
                return
            unknown = await self._find_culprit(_undecided(unknown))
            if not unknown:
                return
        if await self._is_refused(unknown):
            await self._halve(_undecided(unknown))

    async def _find_culprit(self, suspects: list[Tried]) -> list[Tried]:
        """Searches members of a refused request for one culprit. Returns those still undecided."""
        aside: list[Tried] = []
        while len(suspects) > 1:
            middle = len(suspects) // 2
            half, rest = suspects[:middle], suspects[middle:]
            if await self._is_refused(half):
                suspects, aside = _undecided(half), rest + aside
            elif all(isinstance(member.outcome, Delivered) for member in half):
                suspects = rest
            else:
                # Found, or an answer that proves nothing about the other half.
                return rest + aside
        # Also when only this one is left: a dead letter stands on an answer of its own.
        await self._is_refused(suspects)
        return aside

    async def _find_suspect(self, suspects: list[Tried], suspicion: Paused) -> None:
        """Searches for the one member that draws a fault of the call. None pays where all do."""
        while len(suspects) > 1:
            middle = len(suspects) // 2
            halves = suspects[:middle], suspects[middle:]
            suspected = [half for half in halves if await self._is_refused(half)]
            if len(suspected) != 1:
                break
            (suspects,) = suspected
        alone = len(suspects) == 1
        for member in _undecided(suspects):
            member.outcome = Retry(suspicion.fault) if alone else suspicion

    async def _halve(self, refused: list[Tried]) -> None:
        middle = len(refused) // 2
        for half in (refused[:middle], refused[middle:]):
            if half and await self._is_refused(half):
                await self._halve(_undecided(half))

    async def _is_refused(self, members: list[Tried]) -> bool:
        """Sends the members in one request. True when it was refused and named none of them;
        without those that an answer names, the others are sent again.
        """
        while members:
            if not await self._send_once(members):
                return False
            undecided = _undecided(members)
            if len(undecided) == len(members):
                return True
            members = undecided
        return False

    async def _send_once(self, members: list[Tried]) -> bool:
        """True when the request was refused and leaves some undecided."""
        batch = [member.prepared for member in members]
        if self._stopped or not await self._may_send(batch):
            self._stopped = True
            for member in members:
                member.outcome = self._stopped_by
            return False
        send = self._send_part if self._in_parts and self._accepted else self._send
        reply = await send(batch)
        request_id = uuid4()
        for member in members:
            member.requests += 1
            member.request_id = request_id
            member.duration_ms = reply.duration_ms
        return self._judge(members, reply)

    def _judge(self, members: list[Tried], reply: Reply) -> bool:
        verdict = reply.verdict
        if isinstance(verdict, Uniform):
            for member in members:
                member.outcome = verdict.outcome
            if isinstance(verdict.outcome, (Throttled, Paused)):
                self._stopped, self._stopped_by = True, verdict.outcome
            elif isinstance(verdict.outcome, Delivered):
                self._accepted = True
            elif isinstance(verdict.outcome, Retry):
                self._keep_failed(members, verdict.outcome)
            return False
        if isinstance(verdict, Suspected):
            # In the search for a refused event, a second fault ends the search.
            if len(members) < len(self.tried) and self._suspicion is None:
                return self._judge(members, Reply(Uniform(verdict.paused), reply.duration_ms))
            self._suspicion = verdict.paused
            return True
        if isinstance(verdict, PerEvent):
            for member, outcome in zip(members, verdict.outcomes, strict=True):
                member.outcome = outcome
                self._accepted |= isinstance(outcome, Delivered)
            return False
        return self._judge_refusal(members, verdict)

    def _keep_failed(self, members: list[Tried], retry: Retry) -> None:
        """Keeps members to be sent in parts, where that may save one of them."""
        if len(members) < 2 or retry.retry_after_seconds is not None:
            return
        if self._in_parts or any(self._is_last_try(each.prepared, retry) for each in members):
            self._failed.append(_Failed(members, retry))

    def _judge_refusal(self, members: list[Tried], refused: Refused) -> bool:
        for position, outcome in refused.named.items():
            if 0 <= position < len(members):
                members[position].outcome = outcome
        undecided = _undecided(members)
        if len(members) == 1 and undecided:
            members[0].outcome = refused.rejected
            return False
        return bool(undecided)


def _undecided(members: list[Tried]) -> list[Tried]:
    return [member for member in members if member.outcome is None]
