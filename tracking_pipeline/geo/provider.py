"""What every source of places offers, a set of addresses in, one answer for each out; and how they
are asked one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from tracking_pipeline.geo.place import Place
from tracking_pipeline.store.ip_locations import KnownAddress


@dataclass(frozen=True, slots=True)
class Located:
    """The source knows a place. ``hosting`` is True for the address of a proxy or a data centre:
    the place is then the machine's, hardly the person's."""

    place: Place
    hosting: bool = False


# ip-api; ipinfo; MaxMind's traits: https://dev.maxmind.com/geoip/docs/web-services/responses
_NO_HOME = frozenset(
    "hosting proxy vpn tor relay is_hosting is_anonymous is_hosting_provider is_anonymous_proxy"
    " is_anonymous_vpn is_public_proxy is_residential_proxy is_tor_exit_node".split()
)


def is_no_home(record: Mapping[str, object]) -> bool:
    """Whether a source says of an address that its place is no person's: a data centre, a proxy, a
    VPN, a relay. Said in the record itself, in ``privacy`` (ipinfo) or in ``traits`` (MaxMind); as
    a boolean, in some files as text."""
    parts = (record, record.get("privacy"), record.get("traits"))
    return any(
        part[flag] in (True, "true")
        for part in parts
        if isinstance(part, dict) and not _NO_HOME.isdisjoint(part)
        for flag in part.keys() & _NO_HOME
    )


class _Certainty(Enum):
    NOWHERE = "nowhere"


Nowhere = Literal[_Certainty.NOWHERE]
"""The type of :data:`NOWHERE`."""

NOWHERE: Final = _Certainty.NOWHERE
"""This source has no place for the address and will have none tomorrow; another source may."""


@dataclass(frozen=True, slots=True)
class AskLater:
    """The source could not say. ``reason`` is a short text without an address in it;
    ``after_seconds`` is the wait that the source itself named, None where it named none."""

    reason: str
    after_seconds: float | None = None


Answer = Located | Nowhere | AskLater


class Provider(Protocol):
    """A source of places. It never raises for what the outside world does: that is ``AskLater``."""

    @property
    def name(self) -> str:
        """As in ``GEO_PROVIDERS``: ``mmdb``, ``ip_api`` or ``ipinfo``."""

    @property
    def source(self) -> str:
        """What goes into ``geo_source`` beside a place, with its date:
        ``mmdb dbip-city-lite 2026-11``, ``ip_api 2026-11-24``."""

    async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
        """Gives an answer for each of ``addresses``, which are what
        :func:`~tracking_pipeline.geo.address.lead_address` gave; none for those that it was not
        asked about after all. The answers are of the time that ``source`` then names."""


@dataclass(frozen=True, slots=True)
class GeoProviders:
    """``serving`` is in the order in which they are asked; ``missing`` says for each provider that
    is skipped what to set."""

    serving: tuple[Provider, ...]
    missing: Mapping[str, str]


# Asks the sources of places about addresses, one after the other: the next for what is not found.
#
# An address is found when a source knows its city. What is less (a country, a state) is kept in
# case nobody knows more: a place is one source's, never put together from several, because two
# sources agree on a city hardly more often than not.

AddressStatus: TypeAlias = Literal["ok", "no_data", "rate_limited", "error"]
NO_PLACE = Place()

# How long an address is left alone after no source gave an answer.
FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=2)
MOST_LOOK_UPS_AGAIN = 5


class AddressFinding(NamedTuple):
    """What came of one address.

    ``status`` None: no source could be asked, and nothing is spent. ``wait_seconds`` is the time
    until it is asked about again after ``attempts`` look-ups in vain; None: never.
    """

    status: AddressStatus | None
    place: Place = NO_PLACE
    source: str | None = None
    hosting: bool = False
    attempts: int = 0
    wait_seconds: float | None = None

    @classmethod
    def of_known(cls, known: KnownAddress) -> AddressFinding:
        """What is on record. A record without a status is another worker's question."""
        return cls(
            status=known.status,  # type: ignore[arg-type]  # the table's own check
            place=Place(known.city, known.state, known.state_code, known.zip, known.country),
            source=known.source,
            hosting=known.hosting,
            attempts=known.attempts,
            wait_seconds=known.wait_seconds,
        )

    def or_else(self, lesser: AddressFinding) -> AddressFinding:
        """This finding, with the lesser place of another source where it has none."""
        if self.place != NO_PLACE or lesser.place == NO_PLACE:
            return self
        return self._replace(
            status="ok" if self.status == "no_data" else self.status,
            place=lesser.place,
            source=lesser.source,
            hosting=self.hosting or lesser.hosting,
        )


@dataclass(slots=True)
class _SaidOfAddress:
    """What the sources have said about one address so far."""

    place: Place = NO_PLACE
    source: str | None = None
    hosting: bool = False
    later: AskLater | None = None
    answered: bool = False
    passed_over: bool = False


class Inquiry:
    """One question to several sources, about a set of addresses."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._heard = {address: _SaidOfAddress() for address in addresses}

    async def ask(self, providers: Sequence[Provider]) -> None:
        """Asks the providers in their order, each about what those before did not find."""
        for provider in providers:
            if not (still_open := self.not_found()):
                return
            answers = await provider.locate(still_open)
            for address in still_open:
                self._hear(address, answers, provider)

    def not_found(self) -> list[str]:
        """The addresses whose city nobody knew yet."""
        return [address for address, heard in self._heard.items() if not heard.place.city]

    def of_hosting(self) -> dict[str, AddressFinding]:
        """What was found about the addresses of data centres and proxies."""
        return {
            address: AddressFinding("ok", heard.place, heard.source, hosting=True)
            for address, heard in self._heard.items()
            if heard.hosting and heard.place.city
        }

    def unanswered(self) -> frozenset[str]:
        """The addresses about which no source has said anything yet."""
        return frozenset(address for address, heard in self._heard.items() if not heard.answered)

    def finding(self, address: str, attempts: int) -> AddressFinding:
        """What came of the address, which was asked about in vain ``attempts`` times before."""
        heard = self._heard[address]
        found = AddressFinding("ok", heard.place, heard.source, heard.hosting)
        if heard.place.city:
            return found
        if not heard.answered:
            return AddressFinding(None)
        if heard.later or heard.passed_over:
            wait = _wait_seconds(heard.later, attempts + 1)
            return found._replace(
                status=_why(heard.later), attempts=attempts + 1, wait_seconds=wait
            )
        return found if heard.place != NO_PLACE else AddressFinding("no_data")

    def _hear(self, address: str, answers: Mapping[str, Answer], provider: Provider) -> None:
        heard = self._heard[address]
        answer = answers.get(address)
        if answer is None:
            heard.passed_over = True
            return
        heard.answered = True
        if isinstance(answer, AskLater):
            heard.later = heard.later or answer
        elif isinstance(answer, Located):
            # It is said of the address, whoever knows more of the place.
            heard.hosting = heard.hosting or answer.hosting
            if _tells_more(answer.place, heard.place):
                heard.place, heard.source = answer.place, provider.source


def next_ask(attempts: int) -> timedelta | None:
    """The wait before an address is looked up again after ``attempts`` look-ups that failed: 5, 10,
    20, 40 and 80 minutes, never over two hours; ``None`` where it is given up.

    Raises ``ValueError`` where no look-up has failed yet.
    """
    if attempts < 1:
        raise ValueError("an address that was never looked up has nothing to wait for")
    if attempts > MOST_LOOK_UPS_AGAIN:
        return None
    return min(FIRST_WAIT * (1 << (attempts - 1)), LONGEST_WAIT)


def _why(later: AskLater | None) -> AddressStatus:
    """A source that named a wait has a limit, as has one that was passed over; all else failed."""
    return "error" if later and later.after_seconds is None else "rate_limited"


def _wait_seconds(later: AskLater | None, attempts: int) -> float | None:
    """The wait after so many look-ups in vain, and never less than a source asked for."""
    wait = next_ask(attempts)
    named = (later.after_seconds if later else None) or 0.0
    return None if wait is None else max(wait.total_seconds(), named)


def _tells_more(place: Place, than: Place) -> bool:
    return _precision(place) > _precision(than)


def _precision(place: Place) -> int:
    for precision, part in ((3, place.city), (2, place.state), (1, place.country)):
        if part:
            return precision
    return 0
