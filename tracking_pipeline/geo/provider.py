"""What every source of places offers: a set of addresses in, one answer for each out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Protocol

from tracking_pipeline.geo.place import Place


@dataclass(frozen=True, slots=True)
class Located:
    """The source knows a place. ``hosting`` is True for the address of a proxy or a data centre:
    the place is then the machine's, hardly the person's."""

    place: Place
    hosting: bool = False


# ip-api; ipinfo; MaxMind's traits: https://dev.maxmind.com/geoip/docs/web-services/responses
_NO_HOME = (
    *("hosting", "proxy", "vpn", "tor", "relay", "is_hosting", "is_anonymous"),
    *("is_hosting_provider", "is_anonymous_proxy", "is_anonymous_vpn", "is_public_proxy"),
    *("is_residential_proxy", "is_tor_exit_node"),
)


def is_no_home(record: Mapping[str, object]) -> bool:
    """Whether a source says of an address that its place is no person's: a data centre, a proxy, a
    VPN, a relay. Said in the record itself, in ``privacy`` (ipinfo) or in ``traits`` (MaxMind); as
    a boolean, in some files as text."""
    parts = (record, record.get("privacy"), record.get("traits"))
    return any(
        part.get(flag) in (True, "true")
        for part in parts
        if isinstance(part, Mapping)
        for flag in _NO_HOME
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
        :func:`~tracking_pipeline.geo.address.public_address` gave; none for those that it was not
        asked about after all. The answers are of the time that ``source`` then names."""


@dataclass(frozen=True, slots=True)
class GeoProviders:
    """``serving`` is in the order in which they are asked; ``missing`` says for each provider that
    is skipped what to set."""

    serving: tuple[Provider, ...]
    missing: Mapping[str, str]
