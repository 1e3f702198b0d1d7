"""Which public address a text names: one address, or a list as proxies write it.

Which addresses are public is settled by the tables below and not by `ipaddress.is_global`, which
answers differently from one Python version to the next and calls multicast global. Addresses and
user agents are sent as they are, never hashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from tracking_pipeline.identity.refusal import Refusal

# Nobody sits at these: private use, link-local, carriers' NAT, documentation, benchmarks,
# protocols, multicast, reserved. https://www.iana.org/assignments/iana-ipv4-special-registry,
# /iana-ipv6-special-registry and /multicast-addresses; 192.88.99.0/24 by RFC 7526.
_SPECIAL_V4 = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_SPECIAL_V6 = tuple(
    ip_network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# All that IANA has given out for hosts: https://www.iana.org/assignments/ipv6-address-space.
_UNICAST_V6 = IPv6Network("2000::/3")
# The prefix under which a translator shows an IPv4 host to IPv6-only servers (RFC 6052, RFC 7755).
_NAT64 = IPv6Network("64:ff9b::/96")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_FOUR_OCTETS = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
# How what lies in a special block begins, in its one spelling.
_BEGINS_SPECIAL = (
    r"(?:(?:0|10|127|22[4-9]|2[345]\d|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|169\.254"
    r"|172\.(?:1[6-9]|2\d|3[01])|192\.(?:0\.[02]|88\.99|168)|198\.(?:1[89]|51\.100)|203\.0\.113)\.)"
)
# Most addresses are these: a single one, in its one spelling, special or not.
_AT_A_GLANCE = re.compile(rf"(?=({_BEGINS_SPECIAL})?){_FOUR_OCTETS}", re.ASCII).fullmatch

_SEPARATOR = re.compile("[,;]")
# RFC 7239: `for=` names the client, `by=`, `host=` and `proto=` do not; a port may be a word.
_PARAMETER = re.compile(r"([A-Za-z]+)\s*=\s*(.*)")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::\w+)?")
_V4_WITH_PORT = re.compile(r"([\d.]+):\w+")
# How PostgreSQL writes an `inet` as text: with the length of its prefix.
_WITH_PREFIX = re.compile(r"[\d.]+/\d{1,2}|[^/]*:[^/]*/\d{1,3}", re.ASCII)
# A list as JSON text, whose strings are quoted; a bracketed address is not.
_JSON_LIST = re.compile(r"""\s*\[\s*(["'].*["'])\s*\]\s*""", re.DOTALL)
# Meta's parameter builder may hang 8 (formerly 2) characters on an address; its suffixes begin
# with a letter.
_SUFFIXED = re.compile(r"(.+)(\.[A-Za-z][A-Za-z0-9_-]{7}|\.[A-Za-z][A-Za-z0-9_-])")


def public_address(text: str, *, keep_suffix: bool = False) -> str | Refusal:
    """Gives the first public address of a text, in its one spelling.

    An address may come with quotes, brackets, a port, a zone or `for=`, and among others, as in
    `X-Forwarded-For` and `Forwarded`; what is no address is passed over. IPv4 inside IPv6 (mapped,
    6to4, NAT64) comes out as IPv4. `keep_suffix` leaves the parameter builder's suffix on it.

    The first of a list is what the visitor's side claims: only the site's own proxy can vouch for
    it, so a site does better to record one address than a list.
    """
    usual = usual_address(text)
    if usual is not None:
        return usual
    refusal = Refusal.INVALID_IP
    for part in _parts(text):
        address, suffix = _parse(part)
        if address is None:
            continue
        if _is_public(address):
            return f"{address}{suffix if keep_suffix else ''}"
        refusal = Refusal.NOT_PUBLIC_IP
    return refusal


def usual_address(text: str) -> str | Refusal | None:
    """What :func:`public_address` gives for a single IPv4 address in its one spelling; None for any
    other text."""
    found = _AT_A_GLANCE(text)
    if found is None:
        return None
    return text if found[1] is None else Refusal.NOT_PUBLIC_IP


def _parts(text: str) -> Iterator[str]:
    """Gives what may be an address each. White space separates too, but not around a parameter's
    `=`: who is named by `by = 8.8.8.8` is not the client."""
    json_list = _JSON_LIST.fullmatch(text)
    for part in _SEPARATOR.split(json_list.group(1) if json_list else text):
        yield from (part,) if "=" in part else part.split()


def _parse(part: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    text = part.strip(" \t\"'")
    parameter = _PARAMETER.fullmatch(text)
    if parameter:
        if parameter.group(1).lower() != "for":
            return None, ""
        text = parameter.group(2).strip("\"'")
    suffix = ""
    bare = _BRACKETED.fullmatch(text) or _V4_WITH_PORT.fullmatch(text)
    if bare:
        text = bare.group(1)
    elif _WITH_PREFIX.fullmatch(text):
        text = _host(text)
    else:
        suffixed = _SUFFIXED.fullmatch(text)
        if suffixed:
            text, suffix = suffixed.groups()
    try:
        # A zone (fe80::1%eth0) belongs to the machine that wrote it.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None, ""
    return _unwrapped(address), suffix


def _host(text: str) -> str:
    """Gives the address of an `inet` with a prefix; a network is nobody's, and stays as it is."""
    try:
        interface = ip_interface(text)
    except ValueError:
        return text
    whole = interface.network.num_addresses == 1
    return str(interface.ip) if whole or interface.ip != interface.network[0] else text


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Gives the IPv4 address that an IPv6 address holds, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_V4)
    return address in _UNICAST_V6 and not any(address in block for block in _SPECIAL_V6)


def ip_address_for_meta(text: str, country: str) -> str | Refusal:
    """Gives the first public address of a text: one address, or an X-Forwarded-For list."""
    return public_address(text, keep_suffix=True)


def ip_address_for_google(text: str, country: str) -> str | Refusal:
    """Gives the first public address, without the suffix of Meta's parameter builder."""
    return public_address(text)


def user_agent(text: str, country: str) -> str | Refusal:
    """Gives the user agent as it is. `country` plays no part."""
    return text
