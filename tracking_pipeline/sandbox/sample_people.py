"""The tables that sample rows are made from. Nobody in them exists and nothing in them is private.

Names stand in several scripts because leads do. Telephone numbers are from ranges that the
regulators keep for fiction: 555-01xx in North America (NANPA), 020 7946 0xxx (Ofcom), 0491 570 xxx
(ACMA), 0171 39200xx (Bundesnetzagentur), 01 99 00 xx xx (Arcep), 070-174 06 xx (PTS). Addresses of
the internet are those of public resolvers and DNS root servers, so that a geo database knows them
and no person is behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address


@dataclass(frozen=True)
class SamplePerson:
    """A name as people write it, and what it becomes in an e-mail address."""

    first_name: str
    last_name: str
    mailbox: str


@dataclass(frozen=True)
class SamplePlace:
    """A city with its state (full name) and one of its postal codes."""

    city: str
    state: str
    zip: str


@dataclass(frozen=True)
class Market:
    """A country with its places and its fictional telephone numbers.

    `phone` is a template for two digits `nn`; `weight` is the market's share of the leads.
    """

    country: str
    weight: int
    phones: tuple[str, ...]
    places: tuple[SamplePlace, ...]


PEOPLE = (
    SamplePerson("Emily", "Carter", "emily.carter"),
    SamplePerson("Michael", "O'Brien", "m.obrien"),
    SamplePerson("José", "Núñez", "jose.nunez"),
    SamplePerson("Aaliyah", "Johnson-Reyes", "aaliyah.jr"),
    SamplePerson("Jürgen", "Groß", "juergen.gross"),
    SamplePerson("Zoé", "Lefèvre", "zoe.lefevre"),
    SamplePerson("Łukasz", "Wójcik", "lukasz.wojcik"),
    SamplePerson("İbrahim", "Yılmaz", "ibrahim.yilmaz"),
    SamplePerson("João", "Gonçalves", "joao.goncalves"),
    SamplePerson("Νίκος", "Παπαδόπουλος", "nikos.pap"),
    SamplePerson("Анна", "Иванова", "anna.ivanova"),
    SamplePerson("Олександр", "Шевченко", "o.shevchenko"),
    SamplePerson("花子", "佐藤", "hanako.sato"),
    SamplePerson("伟", "王", "wei.wang"),
    SamplePerson("민준", "김", "minjun.kim"),
    SamplePerson("محمد", "العلي", "m.alali"),
    SamplePerson("נועה", "לוי", "noa.levi"),
    SamplePerson("प्रिया", "शर्मा", "priya.sharma"),
    SamplePerson("Nguyễn", "Thị Hương", "huong.nguyen"),
    SamplePerson("Siân", "d'Arcy", "sian.darcy"),
)

MARKETS = (
    Market(
        "US",
        72,
        ("(305) 555-01nn", "813-555-01nn", "+1 212 555 01nn", "512.555.01nn", "141555501nn"),
        (
            SamplePlace("Miami", "Florida", "33130"),
            SamplePlace("Tampa", "Florida", "33602-5839"),
            SamplePlace("St. Petersburg", "Florida", "33701"),
            SamplePlace("New York", "New York", "10013"),
            SamplePlace("Austin", "Texas", "78701"),
            SamplePlace("Winston-Salem", "North Carolina", "27101"),
            SamplePlace("San Francisco", "California", "94103"),
            SamplePlace("Boston", "Massachusetts", "02108"),
        ),
    ),
    Market(
        "CA",
        8,
        ("+1 416 555 01nn", "(604) 555-01nn"),
        (
            SamplePlace("Toronto", "Ontario", "M5V 2T6"),
            SamplePlace("Montréal", "Québec", "H2Y 1C6"),
        ),
    ),
    Market(
        "GB",
        8,
        ("+44 20 7946 00nn", "+44 (0)20 7946 01nn"),
        (SamplePlace("London", "England", "SW1A 1AA"), SamplePlace("Cardiff", "Wales", "CF10 1EP")),
    ),
    Market(
        "DE",
        5,
        ("+49 171 39200nn",),
        (
            SamplePlace("München", "Bayern", "80331"),
            SamplePlace("Köln", "Nordrhein-Westfalen", "50667"),
        ),
    ),
    Market("FR", 3, ("+33 1 99 00 12 nn",), (SamplePlace("Paris", "Île-de-France", "75004"),)),
    Market("SE", 2, ("+46 70 174 06 nn",), (SamplePlace("Malmö", "Skåne län", "211 20"),)),
    Market("AU", 2, ("+61 491 570 156",), (SamplePlace("Sydney", "New South Wales", "2000"),)),
)

EMAIL_DOMAINS = ("example.com", "example.org", "example.net")

PUBLIC_ADDRESSES = (
    "8.8.8.8",
    "8.8.4.4",
    "1.1.1.1",
    "1.0.0.1",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.222.222",
    "208.67.220.220",
    "64.6.64.6",
    "4.2.2.1",
    "76.76.2.0",
    "94.140.14.14",
    "185.228.168.9",
    "84.200.69.80",
    "77.88.8.8",
    "114.114.114.114",
    "223.5.5.5",
    "168.126.63.1",
    "198.41.0.4",
    "199.9.14.201",
    "192.33.4.12",
    "193.0.14.129",
    "202.12.27.33",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2620:fe::fe",
    "2001:500:2f::f",
)

USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
)


# Where the stand-ins for geo services say that an address is: the same place each time, and made
# up. The places are those of the sample people.
#
# Of a good many addresses, one in eight is known by its country only and one in sixteen belongs to
# a data centre.


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
