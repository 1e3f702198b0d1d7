"""IP address and user agent of the visitor: sent as they are, never hashed."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tracking_pipeline.identity.refusal import Refusal

_BRACKETED = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?")
_V4_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d+")
# Meta's parameter builder may hang 8 (formerly 2) characters on an address; its suffixes begin
# with a letter.
_SUFFIXED = re.compile(r"(.+)(\.[A-Za-z][A-Za-z0-9_-]{7}|\.[A-Za-z][A-Za-z0-9_-])")
# Global by the standard library, and nobody's address all the same.
_NOBODYS = tuple(
    ip_network(block)
    for block in ("192.88.99.0/24", "fec0::/10", "64:ff9b::/96", "3fff::/20", "5f00::/16")
)


# An IPv4 address in its one spelling, in the blocks of which all is public: not those that begin
# with the number of a block with a special purpose
# (https://www.iana.org/assignments/iana-ipv4-special-registry).
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PUBLIC_V4 = re.compile(
    rf"(?!(?:0|10|100|127|169|172|192|198|203|22[4-9]|2[345]\d)\.){_OCTET}(?:\.{_OCTET}){{3}}",
    re.ASCII,
)


def ip_address_for_meta(text: str, country: str) -> str | Refusal:
    """Give the first public address of a text: one address, or an X-Forwarded-For list."""
    return _first_public(text, keep_suffix=True)


def ip_address_for_google(text: str, country: str) -> str | Refusal:
    """Give the first public address, without the suffix of Meta's parameter builder."""
    return _first_public(text, keep_suffix=False)


def user_agent(text: str, country: str) -> str | Refusal:
    """Give the user agent as it is. `country` plays no part."""
    return text


def _first_public(text: str, *, keep_suffix: bool) -> str | Refusal:
    if _PUBLIC_V4.fullmatch(text):
        return text
    refusal = Refusal.INVALID_IP
    for part in text.split(","):
        address, suffix = _parse(part.strip())
        if address is None:
            continue
        if _is_public(address):
            return f"{address}{suffix if keep_suffix else ''}"
        refusal = Refusal.NOT_PUBLIC_IP
    return refusal


def _parse(text: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    suffix = ""
    text = text.strip('"').removeprefix("for=").strip('"')
    match = _BRACKETED.fullmatch(text) or _V4_WITH_PORT.fullmatch(text)
    if match:
        text = match.group(1)
    else:
        suffixed = _SUFFIXED.fullmatch(text)
        if suffixed:
            text, suffix = suffixed.groups()
    try:
        # A zone (fe80::1%eth0) belongs to the machine that wrote it.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None, ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped, suffix
    return address, suffix


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in block for block in _NOBODYS)
    )
