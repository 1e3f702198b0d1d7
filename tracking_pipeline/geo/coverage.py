"""Which share of the new leads has a place, and how much of that is enrichment's doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import psycopg

from tracking_pipeline.geo.address import RefusedAddress, lead_address, masked_address
from tracking_pipeline.store.geo_coverage import (
    StoredAddress,
    count_by_source,
    count_coverage,
    count_stored_addresses,
)
from tracking_pipeline.store.ip_locations import find_hosting_addresses

WINDOW_DAYS = 7


@dataclass(frozen=True, slots=True)
class GeoCoverage:
    """The leads of the last days. A share is in percent, None where there are no leads.

    ``before_*`` is what people said themselves, ``with_*`` what is there now. ``complete_percent``
    of the leads have a whole place: city, state and zip. ``by_source`` counts
    leads by where their place comes from: ``user``, ``session`` or a provider. ``waiting`` leads
    were not looked up to an end yet, ``waiting_for_hours`` of them for more than an hour.
    """

    leads: int
    complete_percent: float | None
    with_city_percent: float | None
    with_state_percent: float | None
    with_zip_percent: float | None
    before_city_percent: float | None
    before_state_percent: float | None
    before_zip_percent: float | None
    by_source: Mapping[str, int]
    waiting: int
    waiting_for_hours: int


def read_geo_coverage(
    connection: psycopg.Connection[Any], window_days: int = WINDOW_DAYS
) -> GeoCoverage:
    """Reads the coverage of the leads that came in the last ``window_days`` days."""
    counts = count_coverage(connection, window_days)

    def percent(part: int) -> float | None:
        return 100.0 * part / counts.leads if counts.leads else None

    return GeoCoverage(
        leads=counts.leads,
        complete_percent=percent(counts.with_whole_place),
        with_city_percent=percent(counts.with_city),
        with_state_percent=percent(counts.with_state),
        with_zip_percent=percent(counts.with_zip),
        before_city_percent=percent(counts.said_city),
        before_state_percent=percent(counts.said_state),
        before_zip_percent=percent(counts.said_zip),
        by_source=count_by_source(connection, window_days),
        waiting=counts.open,
        waiting_for_hours=counts.open_for_hours,
    )


# Addresses that are hardly visitors': a site that stores its own server's address with its leads.
#
# Every lead then gets the place of a data centre. It shows in two ways: few addresses stand behind
# many leads, or addresses belong to data centres and proxies (which online sources and some local
# files know).

NEWEST_LEADS = 10_000
# An office or a carrier's gateway puts dozens of people behind one address, but never a fifth of
# all leads; and a fifth of nineteen leads is a family.
MANY_LEADS = 20
MANY_PERCENT = 20.0
# Behind several servers each has its share. A twentieth of all leads is still far above the largest
# office or university, once it is a hundred leads of one week ...
VERY_MANY_LEADS = 100
VERY_MANY_PERCENT = 5.0
# ... and ten addresses hold over half of them only where the visitors' own are not stored. Of fewer
# than a hundred leads a handful of households may.
COMMONEST = 10
MOST_PERCENT = 50.0
# People do come through a VPN: a few percent, not a third.
MANY_HOSTING_PERCENT = 30.0
# Below that, no address to look up is the rule: nothing can be enriched.
FEW_WITH_ADDRESS_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """An address behind many leads. ``masked`` hides its last part, or says ``private``."""

    masked: str
    leads: int
    percent: float


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What the addresses of the newest leads look like. Percentages are None without leads to take
    them of: ``with_address_percent`` is of all leads, the others of those with an address."""

    leads: int
    with_address: int
    with_address_percent: float | None
    shared: tuple[SharedAddress, ...]
    hosting_percent: float | None
    private_percent: float | None

    @property
    def few_have_an_address(self) -> bool:
        """Whether next to nothing can be looked up."""
        share = self.with_address_percent
        return share is not None and share < FEW_WITH_ADDRESS_PERCENT

    @property
    def looks_like_a_server(self) -> bool:
        """Whether the site seems to store its own server's address, or its load balancer's."""
        return bool(self.shared) or (
            self.with_address >= MANY_LEADS and (self.hosting_percent or 0.0) > MANY_HOSTING_PERCENT
        )


def read_suspicion(connection: psycopg.Connection[Any]) -> Suspicion:
    """Looks at the addresses of the newest leads of the last days."""
    stored = count_stored_addresses(connection, WINDOW_DAYS, NEWEST_LEADS)
    addresses = {address for each in stored if (address := _address(each.address))}
    return judge_addresses(stored, find_hosting_addresses(connection, addresses))


def judge_addresses(stored: Iterable[StoredAddress], hosting: Set[str]) -> Suspicion:
    """Judges addresses by how many leads they stand behind. ``hosting`` are those that are known as
    a data centre's or a proxy's. Pure."""
    counts: Counter[str] = Counter()
    leads = private = 0
    for each in stored:
        leads += each.leads
        address = lead_address(each.address)
        if address is RefusedAddress.PRIVATE:
            private += each.leads
        elif isinstance(address, str):
            counts[address] += each.leads
    with_address = sum(counts.values()) + private

    def percent(part: int, whole: int) -> float | None:
        return 100.0 * part / whole if whole else None

    # All private addresses are one: none of them is a visitor's.
    groups = [(masked_address(address), count) for address, count in counts.most_common(COMMONEST)]
    groups = sorted([("private", private), *groups], key=lambda group: -group[1])[:COMMONEST]
    few_hold_most = with_address >= VERY_MANY_LEADS and (
        100.0 * sum(count for _, count in groups) > MOST_PERCENT * with_address
    )
    shared = tuple(
        SharedAddress(name, count, 100.0 * count / with_address)
        for name, count in groups
        if _is_behind_many(count, with_address, few_hold_most=few_hold_most)
    )
    return Suspicion(
        leads=leads,
        with_address=with_address,
        with_address_percent=percent(with_address, leads),
        shared=shared,
        hosting_percent=percent(sum(counts[address] for address in hosting), with_address),
        private_percent=percent(private, with_address),
    )


def _is_behind_many(count: int, leads: int, *, few_hold_most: bool) -> bool:
    if count >= MANY_LEADS and 100.0 * count >= MANY_PERCENT * leads:
        return True
    # Where the commonest hold most, at least one of them holds so much.
    return (few_hold_most or count >= VERY_MANY_LEADS) and (
        100.0 * count >= VERY_MANY_PERCENT * leads
    )


def _address(stored: str | None) -> str | None:
    address = lead_address(stored)
    return address if isinstance(address, str) else None
