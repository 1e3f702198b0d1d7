"""Puts dead letters back into the queue: the service that the job, the command and the API call.

    count by destination and reason
    dry run:   forecast each event, change nothing
    else:      a few canaries of each larger group, at once, through the normal drain
               the groups whose canaries were not refused again, the oldest events first, each
               destination's spread evenly over the coming minutes

A replay sends nothing itself but the canaries: it makes rows ``pending`` with a time, and the
retry runs do the rest, under every limit they keep. So it may be killed at any point and run again:
what is back is no dead letter any more, and is not found again.

Events that the same destination has from another row are left alone and counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.engine.events import event_of
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
    Group,
    Match,
    count_groups,
    pick_canaries,
    stream_matches,
)
from tracking_pipeline.store.destination_state import read_destination_state
from tracking_pipeline.store.replays import (
    Replay,
    read_dead_letters,
    read_live_rate,
    replay,
)

# The stream of matches keeps one connection; the pages are written through another.
_POOL_SIZE = 3


async def replay_dead_letters(
    url: str,
    make_destinations: MakeDestinations,
    request: ReplayRequest,
    *,
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
                pool, request, groups, started_at, chosen_rate(request.events_per_minute, live_rate)
            )
            if request.dry_run:
                await work.foresee({each.name: each for each in make_destinations(client, pool)})
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


class Pace:
    """Gives each destination's events their moments, evenly."""

    def __init__(self, events_per_minute: float) -> None:
        self._seconds_apart = 60.0 / events_per_minute
        self._given: Counter[str] = Counter()

    def next_seconds(self, destination: str) -> float:
        """The moment of the destination's next event, in seconds after the start."""
        seconds = self._given[destination] * self._seconds_apart
        self._given[destination] += 1
        return seconds

    @property
    def minutes(self) -> float:
        """How long it takes until the last event of all destinations is due."""
        most = max(self._given.values(), default=0)
        return max(most - 1, 0) * self._seconds_apart / 60


class _Replay:
    def __init__(
        self,
        pool: AsyncPool,
        request: ReplayRequest,
        groups: Sequence[Group],
        started_at: datetime,
        events_per_minute: float,
    ) -> None:
        self._pool = pool
        self._request = request
        self._groups = groups
        self._started_at = started_at
        self._rate = events_per_minute
        self._pace = Pace(events_per_minute)
        self._numbers: dict[tuple[str, str], Counter[str]] = {}
        self._canaries: tuple[CanaryTotals, ...] = ()
        self._repairs: Counter[tuple[int, str]] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._withheld: Counter[tuple[str, str]] = Counter()

    async def foresee(self, destinations: Mapping[str, Destination | NotConfigured]) -> None:
        """Counts what would become of every match, and changes nothing."""
        held = await self._held_destinations()
        async with self._pool.connection() as streaming:
            matches = stream_matches(streaming, self._request.letters, started_at=self._started_at)
            async with aclosing(matches):
                async for page in matches:
                    async with self._pool.connection() as connection:
                        rows = await read_dead_letters(
                            connection, [match.id for match in page], lock=False
                        )
                    for match in page:
                        if match.id in rows:
                            destination = destinations.get(match.destination)
                            is_held = match.destination in held
                            found = self._foresee_one(rows[match.id], match, destination, is_held)
                            self._count_forecast(match, found)

    def _foresee_one(
        self,
        row: Mapping[str, Any],
        match: Match,
        destination: Destination | NotConfigured | None,
        is_held: bool,
    ) -> Forecast:
        repaired = self._repair(row)
        moment = self._started_at + timedelta(seconds=self._pace.next_seconds(match.destination))
        payload = repaired.payload or row["payload"]
        event = event_of({**row, "payload": payload, "now": moment})
        return forecast(event, destination, is_held=is_held)

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
        async with self._pool.connection() as streaming:
            matches = stream_matches(streaming, self._request.letters, started_at=self._started_at)
            async with aclosing(matches):
                async for page in matches:
                    go: list[Match] = []
                    for match in page:
                        if (match.destination, match.reason) in held_back:
                            self._count(match, "held_back")
                        else:
                            go.append(match)
                    moments = {each.id: self._pace.next_seconds(each.destination) for each in go}
                    await self._put_back(go, moments)

    async def _put_back(
        self, matches: Sequence[Match], moments: Mapping[UUID, float | None]
    ) -> set[UUID]:
        async with self._pool.connection() as connection, connection.transaction():
            if self._request.rules:
                rows = await read_dead_letters(connection, list(moments), lock=True)
                payloads = {key: self._repair(row).payload for key, row in rows.items()}
            else:
                payloads = dict.fromkeys(moments)
            back = await replay(
                connection,
                [Replay(key, moments[key], payload) for key, payload in payloads.items()],
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
            events_per_minute=self._rate,
            minutes=self._pace.minutes,
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
