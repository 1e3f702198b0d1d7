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
