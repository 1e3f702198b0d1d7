"""Where the stand-ins for geo services say that an address is: the same place each time, and made
up. The places are those of the sample people.

Of a good many addresses, one in eight is known by its country only and one in sixteen belongs to a
data centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address

from tracking_pipeline.sandbox.sample_people import MARKETS, SamplePlace


@dataclass(frozen=True)
class Country:
    """What a geo service says of a country beside its code."""

    name: str
    continent: str
    continent_code: str
    timezone: str
    currency: str
    latitude: float
    longitude: float


COUNTRIES = {
    "US": Country("United States", "North America", "NA", "America/New_York", "USD", 37.75, -97.82),
    "CA": Country("Canada", "North America", "NA", "America/Toronto", "CAD", 43.63, -79.37),
    "GB": Country("United Kingdom", "Europe", "EU", "Europe/London", "GBP", 51.5, -0.12),
    "DE": Country("Germany", "Europe", "EU", "Europe/Berlin", "EUR", 51.3, 9.49),
    "FR": Country("France", "Europe", "EU", "Europe/Paris", "EUR", 48.86, 2.34),
    "SE": Country("Sweden", "Europe", "EU", "Europe/Stockholm", "SEK", 59.32, 18.06),
    "AU": Country("Australia", "Oceania", "OC", "Australia/Sydney", "AUD", -33.49, 143.21),
}

REGION_CODES = {
    "Florida": "FL",
    "New York": "NY",
    "Texas": "TX",
    "North Carolina": "NC",
    "California": "CA",
    "Massachusetts": "MA",
    "Ontario": "ON",
    "Québec": "QC",
    "England": "ENG",
    "Wales": "WLS",
    "Bayern": "BY",
    "Nordrhein-Westfalen": "NW",
    "Île-de-France": "IDF",
    "Skåne län": "M",
    "New South Wales": "NSW",
}

_WEIGHTS = tuple(market.weight for market in MARKETS)


@dataclass(frozen=True)
class KnownPlace:
    """What is known of an address: `place` is None where only the country is."""

    country: str
    place: SamplePlace | None
    hosting: bool


def known_place(address: str) -> KnownPlace:
    """What is known of a public address, in whichever spelling. Raises `ValueError` for no
    address."""
    lots = blake2b(ip_address(address).packed, digest_size=4).digest()
    share = lots[0] * sum(_WEIGHTS) // 256
    market = next(
        market for number, market in enumerate(MARKETS) if share < sum(_WEIGHTS[: number + 1])
    )
    place = market.places[lots[1] % len(market.places)]
    return KnownPlace(market.country, place if lots[2] % 8 else None, hosting=lots[3] % 16 == 0)
