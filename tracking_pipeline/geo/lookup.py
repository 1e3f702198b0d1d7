"""Looks addresses up for one run: in a local file at once, online without holding anything.

Providers that need no network come first where ``GEO_PROVIDERS`` has them first; they answer while
the leads of a batch are locked, in milliseconds. What they do not know is taken from the record of
what online sources said, and only what nobody asked about yet is asked online, after the leads are
unlocked. What a local file says is not recorded: looking there again is cheaper than the record,
and what is not kept need not be forgotten. But for the addresses of data centres and proxies, which
the record is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import psycopg

from tracking_pipeline.geo import mmdb
from tracking_pipeline.geo.mmdb import ONLY_COUNTRIES, MmdbProvider
from tracking_pipeline.geo.provider import AddressFinding, Inquiry, Provider
from tracking_pipeline.store.database import AsyncPool, through_outages
from tracking_pipeline.store.ip_locations import (
    AddressAnswer,
    KnownAddress,
    give_addresses_back,
    read_known_addresses,
    record_addresses,
    take_addresses,
)

LOCAL_PROVIDERS = frozenset({mmdb.NAME})
# Longer than all requests about one batch; a worker that dies delays its addresses by as much.
LEASE_SECONDS = 300.0

_DAY_SECONDS = 86_400.0
# Addresses move between households and towns within weeks. What nobody knows is asked about sooner
# again, and what failed to the end is given another chance with the next lead.
_KEEP_SECONDS = {
    "ok": 30 * _DAY_SECONDS,
    "no_data": 7 * _DAY_SECONDS,
    "rate_limited": _DAY_SECONDS,
    "error": _DAY_SECONDS,
}


@dataclass(frozen=True, slots=True)
class AtHand:
    """What is known of a batch's addresses without asking online.

    ``known`` addresses are settled; ``taken`` ones are ours to ask about online, with the number of
    look-ups in vain so far; about those ``in_line`` another worker is asking; those ``left`` nobody
    can be asked about in this run. ``local`` is the inquiry at the local providers, with a finding
    for all others. ``is_of_countries``: nobody serves who knows a city.
    """

    local: Inquiry
    known: Mapping[str, AddressFinding]
    taken: Mapping[str, int]
    in_line: frozenset[str]
    left: frozenset[str]
    is_of_countries: bool = False

    def finding(self, address: str, attempts: int) -> AddressFinding:
        """What is known of an address that is not to be asked about online."""
        local = self.local.finding(address, attempts)
        known = self.known.get(address)
        finding = known.or_else(local) if known else local
        # Whoever knows countries only has not been asked for a city yet: the lead waits for one.
        return finding._replace(status=None) if self.is_of_countries else finding


class AddressLookUp:
    """The providers of one run, in their order. ``again`` asks too about what was
    asked in vain, or is known by its country alone; without ``online`` nothing is asked over the
    network, and nothing recorded.

    ``is_spent`` becomes True when the online sources left something unasked: they are not asked
    again in this run.
    """

    def __init__(
        self, pool: AsyncPool, providers: Sequence[Provider], *, again: bool, online: bool
    ) -> None:
        self._pool = pool
        self._again = again
        self._may_change_anything = online
        self._files = tuple(each for each in providers if isinstance(each, MmdbProvider))
        self._serve_by(providers)
        self._asked: set[str] = set()
        self.is_spent = False

    def _serve_by(self, providers: Sequence[Provider]) -> None:
        self._local = tuple(takewhile(lambda each: each.name in LOCAL_PROVIDERS, providers))
        self._online = tuple(providers[len(self._local) :])

    async def leave_out_refused_files(self) -> None:
        """Opens the local files; one that cannot serve counts from now on as one that is not
        there, so that its leads wait as they do without any provider."""
        for file in self._files:
            await file.locate(())
        self._serve_by(
            [
                each
                for each in (*self._local, *self._online)
                if not (isinstance(each, MmdbProvider) and each.refusal)
            ]
        )

    def refused_files(self) -> dict[str, str]:
        """For each local file that could not serve, or not everything, the reason in one line."""
        if self.is_of_countries:
            return {file.name: f"the file {ONLY_COUNTRIES}" for file in self._files}
        return {file.name: file.refusal for file in self._files if file.refusal}

    @property
    def is_of_countries(self) -> bool:
        """Whether all that serves are files that know countries only: leads get theirs, and wait
        for somebody who knows cities."""
        serving = [*self._local, *self._online]
        return bool(serving) and all(
            isinstance(each, MmdbProvider) and each.of_countries for each in serving
        )

    @property
    def has_local(self) -> bool:
        return bool(self._local)

    @property
    def has_online(self) -> bool:
        return bool(self._online)

    @property
    def has_any(self) -> bool:
        return self.has_local or self.has_online

    async def at_hand(
        self, connection: psycopg.AsyncConnection[Any], addresses: Collection[str]
    ) -> AtHand:
        """What is known without asking online; takes the other addresses, to be asked about."""
        local = Inquiry(addresses)
        await local.ask(self._local)
        if self._may_change_anything and (hosting := local.of_hosting()):
            await record_addresses(connection, [_answer(*each) for each in hosting.items()])
        unknown = local.not_found() if self._online else []
        known = await read_known_addresses(connection, unknown) if unknown else {}
        known = {
            address: record
            for address, record in known.items()
            if not self._is_asked_again(address, record)
        }
        open_ones = [address for address in unknown if address not in known]
        closed = self.is_spent or not self._may_change_anything
        taken = (
            await take_addresses(connection, open_ones, LEASE_SECONDS, again=self._again)
            if open_ones and not closed
            else {}
        )
        busy = [address for address, record in known.items() if record.status is None]
        # A file that fails during the run: nobody can say, so the leads stay as they are.
        unserved = local.unanswered() if self._local and not self._online else frozenset()
        beaten_to_it = [address for address in open_ones if address not in taken]
        return AtHand(
            local,
            known={
                address: AddressFinding.of_known(record)
                for address, record in known.items()
                if record.status is not None
            },
            taken=taken,
            in_line=frozenset(busy if closed else [*busy, *beaten_to_it]),
            left=unserved | frozenset(open_ones if closed else ()),
            is_of_countries=self.is_of_countries,
        )

    def _is_asked_again(self, address: str, record: KnownAddress) -> bool:
        """Whether this run wants to know more than is on record: once."""
        settled = record.status is not None and record.wait_seconds is None
        return self._again and settled and not record.city and address not in self._asked

    async def ask_online(self, taken: Mapping[str, int]) -> dict[str, AddressFinding]:
        """Asks about addresses that were taken, and records what came of each. Those that no source
        could be asked about have a finding without a status, and others may ask about them."""
        inquiry = Inquiry(taken)
        await inquiry.ask(self._online)
        findings = {
            address: inquiry.finding(address, attempts) for address, attempts in taken.items()
        }
        self._asked.update(taken)
        await through_outages(lambda: self._record(findings))
        if any(finding.status is None for finding in findings.values()):
            self.is_spent = True
        return findings

    async def _record(self, findings: Mapping[str, AddressFinding]) -> None:
        answers = [
            _answer(address, finding)
            for address, finding in findings.items()
            if finding.status is not None
        ]
        unasked = [address for address, finding in findings.items() if finding.status is None]
        async with self._pool.connection() as connection, connection.transaction():
            if answers:
                await record_addresses(connection, answers)
            if unasked:
                await give_addresses_back(connection, unasked)


def _answer(address: str, finding: AddressFinding) -> AddressAnswer:
    assert finding.status is not None  # noqa: S101
    # Of an answer that is asked for again, nothing is kept but when.
    place = finding.place if finding.status == "ok" else None
    return AddressAnswer(
        address,
        finding.status,
        _KEEP_SECONDS[finding.status],
        attempts=finding.attempts,
        wait_seconds=finding.wait_seconds,
        city=place.city if place else None,
        state=place.state if place else None,
        state_code=place.state_code if place else None,
        zip=place.zip if place else None,
        country=place.country if place else None,
        hosting=finding.hosting,
        source=finding.source if place else None,
    )
