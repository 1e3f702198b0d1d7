"""Which fields an answer of ip-api has, and which queries it refuses.

https://ip-api.com/docs/api:json. Pure.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

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


def masked(answer: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """Of an answer, the fields that are wanted."""
    return {name: value for name, value in answer.items() if name in fields}


def refusal(query: str) -> str | None:
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
