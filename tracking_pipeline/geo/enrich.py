"""One enrichment run: gives leads without a place one. The service that the job, the command and
the endpoint call.

Leads are walked newest first, a thousand at a time. Each batch is locked for some milliseconds,
while all that is known without the network is looked up and written; leads whose address has to be
asked about online are leased and unlocked first. So the site can write its leads all the time, any
number of workers may run at once, and a worker that dies loses nothing: its leads come back when
the lease ends.

Failure policy: a look-up that fails never fails the run. The lead notes why, and when it is asked
again. A run fails only when the database stays away.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

import anyio
import psycopg
from psycopg.rows import TupleRow

from tracking_pipeline.geo.lead_decision import (
    LeadQuestion,
    found_by_address,
    found_without_look_up,
    question,
)
from tracking_pipeline.geo.lookup import LEASE_SECONDS, AddressLookUp, AtHand
from tracking_pipeline.geo.online import BUSY_SECONDS, SecondsLeft
from tracking_pipeline.geo.provider import GeoProviders, Provider
from tracking_pipeline.geo.saving import Saved, lease, note_some_corrections, save
from tracking_pipeline.http_client import DeliveryClient, http_client
from tracking_pipeline.store.database import (
    AsyncPool,
    DatabaseError,
    connection_pool,
    through_outages,
)
from tracking_pipeline.store.lead_places import FoundPlace
from tracking_pipeline.store.leads import (
    BEGINNING,
    UNDATED,
    LeadsWanted,
    Position,
    UnplacedLead,
    claim_leads,
    read_leads,
)

StoppedReason: TypeAlias = Literal["done", "limit", "time_budget", "sources_busy"]


@dataclass(frozen=True, slots=True)
class EnrichTotals:
    """One enrichment run, in leads. ``examined`` = enriched + skipped.

    ``enriched`` leads got at least one field; ``by_source`` tells from where, by the first field.
    Of the skipped, ``complete`` ones had their place from a person, ``without_address`` ones had
    nothing to look up, ``waiting`` ones wait for a source or for another worker's answer, with
    nothing spent. ``by_status`` counts what was noted as ``geo_status``. ``refused`` places were
    not taken by the site's table. ``corrected`` leads were changed by a person after an earlier
    run. ``asked_online`` counts addresses. ``missing`` tells for each provider that could not serve
    what to set.
    """

    examined: int = 0
    enriched: int = 0
    complete: int = 0
    without_address: int = 0
    waiting: int = 0
    refused: int = 0
    corrected: int = 0
    asked_online: int = 0
    by_source: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stopped_reason: StoppedReason = "done"
    dry_run: bool = False

    @property
    def skipped(self) -> int:
        return self.examined - self.enriched

    def as_json(self) -> dict[str, Any]:
        """The command line's answer."""
        return {
            "success": True,
            **asdict(self),
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
        }


def kind_of(source: str) -> str:
    """``mmdb`` of ``mmdb dbip-city-lite 2026-11``: what stays the same from month to month."""
    return source.partition(" ")[0]


class EnrichTally:
    """The running count of one run."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.by_source: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()

    def count(
        self,
        found: Iterable[FoundPlace],
        sources: Mapping[UUID, str | None],
        refused: Iterable[UUID] = (),
    ) -> None:
        """Counts findings that were saved. ``sources`` is the ``geo_source`` of each lead now: one
        that the finding does not name shows that the site was faster."""
        turned_down = set(refused)
        for each in found:
            source = sources.get(each.id)
            if each.id in turned_down:
                self.numbers["refused"] += 1
                self.by_status["error"] += 1
                continue
            if source is not None and source in each.sources:
                self.numbers["enriched"] += 1
                self.by_source[kind_of(source)] += 1
            if each.status is None:
                self.numbers["waiting"] += 1
            else:
                self.by_status[each.status] += 1

    def totals(
        self,
        *,
        seconds: float,
        stopped_reason: StoppedReason,
        missing: Mapping[str, str],
        dry_run: bool,
    ) -> EnrichTotals:
        return EnrichTotals(
            **self.numbers,
            by_source=dict(self.by_source),
            by_status=dict(self.by_status),
            missing=dict(missing),
            seconds=seconds,
            stopped_reason=stopped_reason,
            dry_run=dry_run,
        )


TIME_BUDGET_SECONDS = 240
BATCH_LEADS = 1_000
PROGRESS_EVERY_SECONDS = 5.0
# By then the worker that is asking has recorded what it heard.
IN_LINE_SECONDS = 30.0
_BATCHES_UNDER_WAY = 2
_POOL_SIZE = 4
_MOST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class EnrichRequest:
    """What to enrich: up to ``limit`` leads (0: all that are due); ``recheck_failed`` takes those
    too that were looked up in vain before, or found in part. ``providers`` names those that may be
    asked, in the order of the setting all the same; empty: all. ``default_country`` is that of
    leads which name none."""

    limit: int = 0
    dry_run: bool = False
    recheck_failed: bool = False
    providers: tuple[str, ...] = ()
    time_budget_seconds: float = TIME_BUDGET_SECONDS
    default_country: str = "US"


class MakeProviders(Protocol):
    """Makes the providers on a run's own HTTP client, pool and clock."""

    def __call__(
        self, client: DeliveryClient, pool: AsyncPool, *, seconds_left: SecondsLeft
    ) -> GeoProviders: ...


Progress = Callable[[EnrichTotals], None]


async def enrich_leads(
    url: str,
    make_providers: MakeProviders,
    request: EnrichRequest,
    *,
    progress: Progress = lambda totals: None,
) -> EnrichTotals:
    """One enrichment run on the database at ``url``. ``progress`` is called every few seconds.

    Raises :class:`DatabaseError` when the database cannot be reached or stays away.
    """
    try:
        async with (
            connection_pool(url, size=_POOL_SIZE) as pool,
            http_client(max_connections=_MOST_CONNECTIONS) as client,
        ):
            return await _EnrichRun(pool, client, make_providers, request, progress).go()
    except psycopg.Error as error:
        # The error may quote a row, so only its code is kept.
        raise DatabaseError(
            f"the database failed during the run (SQLSTATE {error.sqlstate or 'none'}): what was"
            " found is kept, the other leads are taken again"
        ) from None


@dataclass(slots=True)
class _SortedBatch:
    """A batch of leads by what is known of their addresses.

    ``found`` can be saved; ``asked`` wait for the answer about an address that this worker has
    taken, ``in_line`` for another worker's; ``left`` stay as they are for a later run.
    """

    found: list[FoundPlace] = field(default_factory=list)
    asked: list[LeadQuestion] = field(default_factory=list)
    in_line: list[LeadQuestion] = field(default_factory=list)
    left: list[LeadQuestion] = field(default_factory=list)


@dataclass(slots=True)
class _Stretch:
    """Where a batch began and how many leads it could take, once it was read: what is read again
    after an outage."""

    after: Position | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class _Settled:
    """A batch, after everything at hand was saved."""

    leads: Sequence[UnplacedLead]
    questions: Sequence[LeadQuestion]
    hand: AtHand
    sorted: _SortedBatch
    saved: Saved


class _EnrichRun:
    def __init__(
        self,
        pool: AsyncPool,
        client: DeliveryClient,
        make_providers: MakeProviders,
        request: EnrichRequest,
        progress: Progress,
    ) -> None:
        self._pool = pool
        self._request = request
        self._progress = progress
        self._started = self._reported = self._leased = time.monotonic()
        self._providers = make_providers(client, pool, seconds_left=self._seconds_to_ask)
        self._look_up = AddressLookUp(
            pool,
            [each for each in self._providers.serving if self._may_serve(each)],
            again=request.recheck_failed,
            online=not request.dry_run,
        )
        self._tally = EnrichTally()
        # What the batches under way share: where the next one begins, how many leads were taken,
        # and why there is no next one.
        self._turn = anyio.Lock()
        self._position = BEGINNING
        self._taken = 0
        self._stopped: StoppedReason | None = None
        self._error: psycopg.Error | None = None

    def _may_serve(self, provider: Provider) -> bool:
        return not self._request.providers or provider.name in self._request.providers

    async def go(self) -> EnrichTotals:
        """Walks over the leads until there are no more, or something stops it."""
        await self._look_up.leave_out_refused_files()
        if not self._request.dry_run:
            await self._note_corrections()
        self._stopped = self._why_stop()
        async with anyio.create_task_group() as walks:
            # One alone asks online: the leases of a second batch would run out meanwhile.
            for _ in range(1 if self._look_up.has_online else _BATCHES_UNDER_WAY):
                walks.start_soon(self._walk)
        if self._error is not None:
            raise self._error
        assert self._stopped is not None  # noqa: S101  a walk ends for a reason
        is_cut_short = self._stopped == "done" and self._look_up.is_spent
        return self._totals("sources_busy" if is_cut_short else self._stopped)

    async def _walk(self) -> None:
        """Settles one batch after the other until there are no more, or something stops the run."""
        try:
            while self._stopped is None and self._error is None:
                settled = await through_outages(partial(self._settle_at_hand, _Stretch()))
                self._count(settled)
                if settled.sorted.asked:
                    await self._settle_online(settled)
                self._stopped = self._stopped or self._why_stop()
                self._report()
        except psycopg.Error as error:
            # The other batch may end as it would have; a task group would take it down.
            self._error = error

    async def _note_corrections(self) -> None:
        passed_over: set[UUID] = set()

        async def note() -> tuple[int, frozenset[UUID]]:
            async with self._pool.connection() as connection:
                return await note_some_corrections(connection, BATCH_LEADS, passed_over)

        while not self._time_is_up():
            noted, refused = await through_outages(note)
            self._tally.numbers["corrected"] += noted
            passed_over |= refused
            if not noted:
                return

    async def _settle_at_hand(self, stretch: _Stretch) -> _Settled:
        """Everything about the next batch that needs no network, in one short transaction."""
        async with self._pool.connection() as connection:
            if self._request.dry_run:
                return await self._look_at(connection, await self._read(connection, stretch))
            async with connection.transaction():
                leads = await self._read(connection, stretch)
                settled = await self._look_at(connection, leads)
                for questions, seconds in (
                    (settled.sorted.asked, LEASE_SECONDS),
                    (settled.sorted.in_line, IN_LINE_SECONDS),
                ):
                    await lease(connection, _ids(questions), seconds)
                return settled

    async def _read(
        self, connection: psycopg.AsyncConnection[TupleRow], stretch: _Stretch
    ) -> Sequence[UnplacedLead]:
        """The leads of the stretch; of a new one, the next that there are."""
        read = read_leads if self._request.dry_run else claim_leads
        if stretch.after is not None:
            return await read(connection, self._wanted(), stretch.after, stretch.limit)
        async with self._turn:
            if self._stopped is not None:
                return []
            after, limit = self._position, self._batch_limit()
            leads = await read(connection, self._wanted(), after, limit)
            stretch.after, stretch.limit = after, limit
            self._taken += len(leads)
            self._stopped = self._why_stop() if self._walk_on(leads, limit) else "done"
            return leads

    async def _look_at(
        self, connection: psycopg.AsyncConnection[TupleRow], leads: Sequence[UnplacedLead]
    ) -> _Settled:
        self._leased = time.monotonic()
        questions = [question(lead, self._request.default_country) for lead in leads]
        addresses = {each.address for each in questions if isinstance(each.address, str)}
        hand = await self._look_up.at_hand(connection, sorted(addresses))
        batch = _sort_batch(questions, hand)
        if self._request.dry_run:
            saved = Saved({each.id: next(iter(each.sources), None) for each in batch.found})
        else:
            saved = await save(connection, batch.found)
        return _Settled(leads, questions, hand, batch, saved)

    async def _settle_online(self, settled: _Settled) -> None:
        """Asks about the addresses that were taken; leads that could not be asked about are due
        again at once."""
        findings = await self._look_up.ask_online(settled.hand.taken)
        found: list[FoundPlace] = []
        unasked: list[LeadQuestion] = []
        for each in settled.sorted.asked:
            assert isinstance(each.address, str)  # noqa: S101
            finding = findings[each.address]
            if finding.status is None:
                unasked.append(each)
            else:
                local = settled.hand.local.finding(each.address, 0)
                found.append(found_by_address(each, finding.or_else(local)))

        async def save_all() -> Saved:
            async with self._pool.connection() as connection:
                await lease(connection, _ids(unasked), 0)
                return await save(connection, found)

        saved = await through_outages(save_all)
        self._tally.count(found, saved.sources, saved.refused)
        self._tally.numbers["waiting"] += len(unasked)
        self._tally.numbers["asked_online"] += sum(
            finding.status is not None for finding in findings.values()
        )

    def _count(self, settled: _Settled) -> None:
        batch, numbers = settled.sorted, self._tally.numbers
        numbers["examined"] += len(settled.leads)
        numbers["waiting"] += len(batch.left) + len(batch.in_line)
        for each in settled.questions:
            numbers["complete"] += each.lead.is_complete
            numbers["without_address"] += not each.is_complete and each.address is None
        self._tally.count(batch.found, settled.saved.sources, settled.saved.refused)

    def _walk_on(self, leads: Sequence[UnplacedLead], limit: int) -> bool:
        """Moves behind these leads; False at the end of the walk."""
        if len(leads) == limit:
            self._position = leads[-1].position
            return True
        if self._position.created_at is None:
            return False
        self._position = UNDATED
        return True

    def _wanted(self) -> LeadsWanted:
        return LeadsWanted(
            failed=self._request.recheck_failed,
            never_seen=not self._look_up.has_any,
            never_located=self._look_up.is_of_countries,
        )

    def _batch_limit(self) -> int:
        if not self._request.limit:
            return BATCH_LEADS
        return min(BATCH_LEADS, self._request.limit - self._taken)

    def _why_stop(self) -> StoppedReason | None:
        if self._time_is_up():
            return "time_budget"
        if 0 < self._request.limit <= self._taken:
            return "limit"
        if self._look_up.is_spent and not self._look_up.has_local:
            return "sources_busy"
        return None

    def _seconds_left(self) -> float:
        return self._request.time_budget_seconds - (time.monotonic() - self._started)

    def _time_is_up(self) -> bool:
        return self._seconds_left() <= 0

    def _seconds_to_ask(self) -> float:
        """How long the online sources may go on about the present batch: its leases must outlast
        the last request."""
        lease_left = LEASE_SECONDS - (time.monotonic() - self._leased)
        return min(self._seconds_left(), lease_left - BUSY_SECONDS)

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= PROGRESS_EVERY_SECONDS:
            self._reported = now
            self._progress(self._totals("done"))

    def _totals(self, reason: StoppedReason) -> EnrichTotals:
        return self._tally.totals(
            seconds=time.monotonic() - self._started,
            stopped_reason=reason,
            missing={**self._providers.missing, **self._look_up.refused_files()},
            dry_run=self._request.dry_run,
        )


def _ids(questions: Sequence[LeadQuestion]) -> list[UUID]:
    return [each.lead.id for each in questions]


def _sort_batch(questions: Sequence[LeadQuestion], hand: AtHand) -> _SortedBatch:
    """Puts each lead where it belongs. Pure."""
    batch = _SortedBatch()
    for each in questions:
        address = each.address
        if not isinstance(address, str):
            batch.found.append(found_without_look_up(each))
        elif address in hand.taken:
            batch.asked.append(each)
        elif address in hand.in_line:
            batch.in_line.append(each)
        elif address in hand.left:
            batch.left.append(each)
        else:
            finding = hand.finding(address, each.lead.attempts)
            batch.found.append(found_by_address(each, finding))
    return batch
