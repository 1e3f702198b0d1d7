"""ip-api's rules: which fields an answer has, which queries it refuses, how it counts the
requests of each source, and what becomes of those over the limit.

https://ip-api.com/docs/api:json and https://ip-api.com/docs/unban: 45 requests a minute to the
single endpoint and 15 to the batch endpoint, 429 until the window is over, a ban for those who
constantly go over. Nothing is sent while `X-Rl` is 0. A window begins with its first request.

All of it is pure but `IpApiTraffic`, which counts what one stand-in was asked.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Literal

MAX_QUERIES = 100
DEFAULT_FIELDS = 61439

_BITS = {
    "country": 1 << 0,
    "countryCode": 1 << 1,
    "region": 1 << 2,
    "regionName": 1 << 3,
    "city": 1 << 4,
    "zip": 1 << 5,
    "lat": 1 << 6,
    "lon": 1 << 7,
    "timezone": 1 << 8,
    "isp": 1 << 9,
    "org": 1 << 10,
    "as": 1 << 11,
    "reverse": 1 << 12,
    "query": 1 << 13,
    "status": 1 << 14,
    "message": 1 << 15,
    "mobile": 1 << 16,
    "proxy": 1 << 17,
    "district": 1 << 19,
    "continent": 1 << 20,
    "continentCode": 1 << 21,
    "asname": 1 << 22,
    "currency": 1 << 23,
    "hosting": 1 << 24,
    "offset": 1 << 25,
}

_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def wanted_fields(fields: object) -> frozenset[str]:
    """The fields that `fields=` names: a comma list or a sum of bits; the default set without."""
    text = str(fields).strip() if isinstance(fields, (str, int)) else ""
    if text.isdecimal():
        mask = int(text)
    elif text:
        return frozenset(name.strip() for name in text.split(",")) & _BITS.keys()
    else:
        mask = DEFAULT_FIELDS
    return frozenset(name for name, bit in _BITS.items() if mask & bit)


def only_fields(answer: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """Of an answer, the fields that are wanted."""
    return {name: value for name, value in answer.items() if name in fields}


def query_refusal(query: str) -> str | None:
    """The `message` of a query that has no place, as for every address that is not public."""
    try:
        address = ip_address(query)
    except ValueError:
        return "invalid query"
    if any(address in network for network in _PRIVATE):
        return "private range"
    if address.is_multicast or not address.is_global:
        return "reserved range"
    return None


Endpoint = Literal["batch", "json"]


@dataclass(frozen=True)
class IpApiLimits:
    """The limits of the free service. `over_before_ban` is how many requests over the limit a
    source may send in all before it is banned; ip-api does not say its own number."""

    batch_requests: int = 15
    single_requests: int = 45
    window_seconds: float = 60.0
    over_before_ban: int = 30


@dataclass(frozen=True)
class RateLeft:
    """What a source is told: `left` is `X-Rl`, `resets_in_seconds` is `X-Ttl`, in whole seconds."""

    left: int
    resets_in_seconds: int
    over: bool
    banned: bool


class IpApiTraffic:
    """The requests to one stand-in. Thread safe.

    `limits`, `in_another_order` (items of an answer in the reverse of the order asked), `left_out`
    (addresses that are missing from an answer) and `written_as` (what stands in an answer in the
    place of an address's item, JSON or not) may be set while the server answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, Endpoint], tuple[float, int]] = {}
        self._over: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self.limits = IpApiLimits()
        self.in_another_order = False
        self.left_out: frozenset[str] = frozenset()
        self.written_as: Mapping[str, bytes] = {}

    def count(self, source: str, endpoint: Endpoint, clock_seconds: float) -> RateLeft:
        """Counts one request of a source. `clock_seconds` is the time of day (Unix seconds)."""
        limits = self.limits
        allowed = limits.batch_requests if endpoint == "batch" else limits.single_requests
        with self._lock:
            ends_at, used = self._windows.get((source, endpoint), (0.0, 0))
            if clock_seconds >= ends_at:
                ends_at, used = clock_seconds + limits.window_seconds, 0
            over = used >= allowed
            self._windows[source, endpoint] = ends_at, used + (not over)
            self._over[source] += over
            return RateLeft(
                left=max(allowed - used - 1, 0),
                resets_in_seconds=int(ends_at - clock_seconds),
                over=over,
                banned=self._over[source] > limits.over_before_ban,
            )

    def note(self, addresses: Iterable[str]) -> None:
        """Remembers what was asked about."""
        with self._lock:
            self._asked.update(addresses)

    @property
    def asked(self) -> Counter[str]:
        """How often each address was asked about, in requests that were read."""
        with self._lock:
            return Counter(self._asked)
