"""Puts dead letters back into the queue: the service that the job, the command and the API call.

    count by destination and reason
    dry run:   forecast each event, change nothing
    else:      a few canaries of each larger group, at once, through the normal drain
               the groups whose canaries were not refused again, each destination's spread evenly
               over the coming minutes, in the order in which most of what they are worth arrives
               in time (``plan.py``)

A replay sends nothing itself but the canaries: it makes rows ``pending`` with a time, and the
retry runs do the rest, under every limit they keep. So it may be killed at any point and run again:
what is back is no dead letter any more, and is not found again.

Events that the same destination has from another row are left alone and counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.engine.events import FailedEvent, event_of
from tracking_pipeline.delivery.engine.retry import (
    MakeDestinations,
    RetryRequest,
    retry_failed_events,
)
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.delivery.replay.canary import CanaryTotals, try_canaries
from tracking_pipeline.delivery.replay.forecast import Forecast, forecast
from tracking_pipeline.delivery.replay.repair import Repaired, repair
from tracking_pipeline.delivery.replay.totals import (
    GroupTotals,
    ReplayRequest,
    ReplayTotals,
    chosen_rate,
    shown_groups,
)
from tracking_pipeline.delivery.replay.turns import Planned, PlanningRule, Turns
from tracking_pipeline.http_client import http_client
from tracking_pipeline.identity import plain_reason
from tracking_pipeline.store.database import (
    ANSWER_SECONDS,
    AsyncPool,
    DatabaseError,
    connection_pool,
    read_clock,
)
from tracking_pipeline.store.dead_letters import (
    PAGE,
    Group,
    Match,
    count_groups,
    pick_canaries,
    stream_matches,
)
from tracking_pipeline.store.destination_state import read_destination_state
from tracking_pipeline.store.replays import (
    Replay,
    read_live_rate,
    read_unsettled,
    replay,
    reschedule,
)

# The stream of matches keeps one connection; the pages are written through another.
_POOL_SIZE = 3
# Of more than these the oldest are planned by themselves: so many are in memory at once.
MOST_PLANNED = 100_000


async def replay_dead_letters(
    url: str,
    make_destinations: MakeDestinations,
    request: ReplayRequest,
    *,
    planning: PlanningRule | None = None,
    run_id: str | None = None,
) -> ReplayTotals:
    """One replay on the database at ``url``. Raises :class:`DatabaseError`."""
    started = time.monotonic()

    async def send_one(destination: str, row_id: UUID) -> RetryTotals:
        names = tuple(name for name in DESTINATIONS if name == destination)
        one = RetryRequest(destinations=names, event_id=row_id)
        return await retry_failed_events(url, make_destinations, one, run_id=run_id)

    try:
        async with (
            connection_pool(url, size=_POOL_SIZE, answer_seconds=ANSWER_SECONDS) as pool,
            http_client(max_connections=1) as client,
        ):
            async with pool.connection() as connection:
                started_at = await read_clock(connection)
                groups = await count_groups(connection, request.letters)
                live_rate = await read_live_rate(connection)
            work = _Replay(
                pool,
                request,
                groups,
                started_at,
                events_per_minute=chosen_rate(request.events_per_minute, live_rate),
                destinations={each.name: each for each in make_destinations(client, pool)},
                planning=planning or PlanningRule(),
            )
            if request.dry_run:
                await work.foresee()
            else:
                canaries = await work.put_canaries_back()
                await work.put_rest_back(await try_canaries(pool, canaries, send_one))
    except psycopg.Error as error:
        # Its own words may quote a row.
        raise DatabaseError(
            f"the database failed during the replay (SQLSTATE {error.sqlstate or 'none'}): what is "
            "back in the queue stays there; run it again for the rest"
        ) from None
    return work.totals(time.monotonic() - started)


def _paged(turns: Sequence[tuple[Match, float]]) -> Iterator[Sequence[tuple[Match, float]]]:
    """The same in pages."""
    for start in range(0, len(turns), PAGE):
        yield turns[start : start + PAGE]


class _Replay:
    def __init__(
        self,
        pool: AsyncPool,
        request: ReplayRequest,
        groups: Sequence[Group],
        started_at: datetime,
        *,
        events_per_minute: float,
        destinations: Mapping[str, Destination | NotConfigured],
        planning: PlanningRule,
    ) -> None:
        self._pool = pool
        self._request = request
        self._groups = groups
        self._started_at = started_at
        self._rate = events_per_minute
        self._destinations = destinations
        self._turns = Turns(planning, events_per_minute)
        self._numbers: dict[tuple[str, str], Counter[str]] = {}
        self._canaries: tuple[CanaryTotals, ...] = ()
        self._repairs: Counter[tuple[int, str]] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._withheld: Counter[tuple[str, str]] = Counter()

    async def foresee(self) -> None:
        """Counts what would become of every match, and changes nothing."""
        held = await self._held_destinations()
        async with aclosing(self._in_turn(held_back=())) as pages:
            async for page in pages:
                rows = await self._read([match for match, _ in page])
                for match, seconds in page:
                    if match.id in rows:
                        event = self._event(rows[match.id], self._repair(rows[match.id]), seconds)
                        found = self._forecast(match, event, is_held=match.destination in held)
                        self._count_forecast(match, found)

    async def _in_turn(
        self, *, held_back: Collection[tuple[str, str]]
    ) -> AsyncGenerator[Sequence[tuple[Match, float]], None]:
        """What goes back with its moments in seconds after the start, in pages, of so many events
        as are planned together the earliest first. Groups that are held back are only counted."""
        planned: list[Planned] = []
        async with self._pool.connection() as streaming:
            matches = stream_matches(streaming, self._request.letters, started_at=self._started_at)
            async with aclosing(matches):
                async for page in matches:
                    planned += await self._to_plan(page, held_back)
                    if len(planned) >= MOST_PLANNED:
                        for turns in _paged(self._turns.give(planned)):
                            yield turns
                        planned = []
                for turns in _paged(self._turns.give(planned)):
                    yield turns

    async def _to_plan(
        self, page: Sequence[Match], held_back: Collection[tuple[str, str]]
    ) -> list[Planned]:
        go = []
        for match in page:
            if (match.destination, match.reason) in held_back:
                self._count(match, "held_back")
            else:
                go.append(match)
        rows = await self._read(go)
        planned = []
        for match in go:
            if match.id in rows:
                repaired = repair(rows[match.id]["payload"], self._request.rules)
                event = self._event(rows[match.id], repaired, 0.0)
                found = self._forecast(match, event, is_held=False)
                planned.append(self._turns.planned(match, event, found))
        return planned

    async def _read(self, matches: Sequence[Match]) -> dict[UUID, dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await read_unsettled(connection, [each.id for each in matches], lock=False)

    def _event(self, row: Mapping[str, Any], repaired: Repaired, seconds: float) -> FailedEvent:
        """The event of a row as it will be so long after the start."""
        moment = self._started_at + timedelta(seconds=seconds)
        return event_of({**row, "payload": repaired.payload or row["payload"], "now": moment})

    def _forecast(self, match: Match, event: FailedEvent, *, is_held: bool) -> Forecast:
        return forecast(event, self._destinations.get(match.destination), is_held=is_held)

    async def put_canaries_back(self) -> list[Match]:
        """Makes the canaries due at once; gives those that still were dead letters."""
        if not self._request.canaries:
            return []
        async with self._pool.connection() as connection:
            picked = await pick_canaries(
                connection, self._request.letters, each=self._request.canaries
            )
        back = await self._put_back(picked, dict.fromkeys([match.id for match in picked]))
        return [match for match in picked if match.id in back]

    async def put_rest_back(self, canaries: tuple[CanaryTotals, ...]) -> None:
        """Gives what is left its moment, but for the groups whose canaries hold them back."""
        self._canaries = canaries
        held_back = {(each.destination, each.reason) for each in canaries if each.holds_back}
        async with aclosing(self._in_turn(held_back=held_back)) as pages:
            async for page in pages:
                moments = {match.id: seconds for match, seconds in page}
                await self._put_back([match for match, _ in page], moments)

    async def _put_back(
        self, matches: Sequence[Match], moments: Mapping[UUID, float | None]
    ) -> set[UUID]:
        waiting = {match.id for match in matches if match.is_waiting}
        async with self._pool.connection() as connection, connection.transaction():
            if self._request.rules:
                rows = await read_unsettled(connection, list(moments), lock=True)
                payloads = {key: self._repair(row).payload for key, row in rows.items()}
            else:
                payloads = dict.fromkeys(moments)
            rows_back = [Replay(key, moments[key], payload) for key, payload in payloads.items()]
            back = await replay(
                connection,
                [each for each in rows_back if each.id not in waiting],
                started_at=self._started_at,
            )
            back |= await reschedule(
                connection,
                [each for each in rows_back if each.id in waiting],
                started_at=self._started_at,
            )
        for match in matches:
            if match.id in back:
                self._count(match, "replayed")
        return back

    def _repair(self, row: Mapping[str, Any]) -> Repaired:
        repaired = repair(row["payload"], self._request.rules)
        self._repairs.update(repaired.changes)
        return repaired

    async def _held_destinations(self) -> set[str]:
        """The destinations that take no events at present."""
        held = set()
        async with self._pool.connection() as connection:
            for name in {group.destination for group in self._groups}:
                state = await read_destination_state(connection, name)
                if state.state != "closed" or state.throttled_seconds > 0:
                    held.add(name)
        return held

    def _count(self, match: Match, name: str) -> None:
        group = self._numbers.setdefault((match.destination, match.reason), Counter())
        group[name] += 1

    def _count_forecast(self, match: Match, found: Forecast) -> None:
        self._count(match, found.outcome)
        if found.may_count_twice:
            self._count(match, "may_count_twice")
        if found.refusal:
            reasons = self._withheld if found.outcome == "withheld" else self._refusals
            reasons[match.destination, found.refusal] += 1

    def totals(self, seconds: float) -> ReplayTotals:
        return ReplayTotals(
            dry_run=self._request.dry_run,
            groups=shown_groups(map(self._group_totals, self._groups)),
            # Each by itself: whether a group is held back is told by its own canaries alone.
            canaries=tuple(
                replace(each, reason=plain_reason(each.reason)) for each in self._canaries
            ),
            repairs=dict(self._repairs),
            refusals=dict(self._refusals),
            withheld=dict(self._withheld),
            plans=self._turns.plans,
            events_per_minute=self._rate,
            minutes=self._turns.minutes,
            seconds=seconds,
        )

    def _group_totals(self, group: Group) -> GroupTotals:
        numbers = self._numbers.get((group.destination, group.reason), Counter())
        accounted = group.delivered + sum(
            numbers[name] for name in numbers if name != "may_count_twice"
        )
        return GroupTotals(
            destination=group.destination,
            reason=group.reason,
            # What died after the count was found by the stream all the same.
            matched=max(group.matched, accounted),
            already_delivered=group.delivered,
            gone=max(group.matched - accounted, 0),
            **numbers,
        )
