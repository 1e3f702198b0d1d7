"""Who a request came from: the peer, or whom a trusted proxy says it speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import HTTPConnection

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# What a proxy adds. Where one of them stands, a loopback peer is a proxy and not the client.
_PROXY_HEADERS = (
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via"),
    *("x-real-ip", "cf-connecting-ip", "true-client-ip"),
)
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


def client_address(request: HTTPConnection, trusted: Sequence[Network]) -> str | None:
    """The address of the client in its one spelling: of ``X-Forwarded-For``, read from the right,
    the first that is not a proxy of ours (``TRUSTED_PROXIES``). What stands left of it the client
    may have written itself. None where the peer has no IP address (a Unix socket)."""
    peer = _parsed(request.client.host) if request.client else None
    if peer is None:
        return None
    address = peer
    for hop in reversed(_forwarded_for(request)):
        if not _is_in(address, trusted):
            break
        named = _parsed(hop)
        if named is None:
            break
        address = named
    return str(address)


def is_local(request: HTTPConnection, trusted: Sequence[Network]) -> bool:
    """Whether a process of this machine asks for itself: a loopback peer, no proxy in between, and
    a local name asked for, which a page of another site in this machine's browser cannot do.

    A proxy on this machine that adds no header and asks for a local name looks the same, so where
    a proxy of ours is on this machine (``TRUSTED_PROXIES``) nobody is local."""
    peer = _parsed(request.client.host) if request.client else None
    if peer is None or not peer.is_loopback or _is_in(peer, trusted):
        return False
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    return request.url.hostname in _LOCAL_NAMES


def _forwarded_for(request: HTTPConnection) -> list[str]:
    headers = request.headers.getlist("x-forwarded-for")
    return [hop for header in headers for hop in header.split(",")]


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


# Most requests come through the same few proxies, or from a visitor who sends several.
@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    """One address, also with a port or in brackets. An IPv4 address inside IPv6 is the former."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
