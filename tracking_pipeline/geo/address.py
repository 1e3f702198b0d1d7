"""The IP address of a lead: read from what sites store, and hidden again.

Which text names a public address is the business of
:mod:`tracking_pipeline.identity.ip_address`, which reads the same values for the platforms.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_network,
)

from tracking_pipeline.identity import ip_address
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of

# What is kept of an address when the rest is hidden: a neighbourhood of 256, a site's /48.
_KEPT_BITS = {4: 24, 6: 48}


class RefusedAddress(Enum):
    """Why a value gives no address to look up; ``value`` is the lead's ``geo_status``."""

    PRIVATE = "private"
    """An address that is nobody's on the internet: private, loopback, reserved, multicast."""
    INVALID = "invalid"
    """No address at all, ``unknown`` included."""


def lead_address(value: object) -> str | RefusedAddress | None:
    """Gives the first public address in ``value``, in its one spelling; None for a blank value.

    ``value`` is whatever a column or a JSON document holds: text (an address with or without its
    port, or a list as in ``X-Forwarded-For``), or what psycopg makes of an ``inet``. Never raises.
    """
    if isinstance(value, (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)):
        value = str(value)
    text = text_of(value)
    if text is Refusal.EMPTY:
        return None
    if not isinstance(text, str):
        return RefusedAddress.INVALID
    address = ip_address.public_address(text)
    if isinstance(address, str):
        return address
    return RefusedAddress.PRIVATE if address is Refusal.NOT_PUBLIC_IP else RefusedAddress.INVALID


def masked_address(address: str) -> str:
    """Gives the address as messages show it, with its last part hidden: ``81.2.69.0/24``,
    ``2001:4860:4860::/48``.

    ``address`` is what :func:`lead_address` gave; raises ValueError for anything else.
    """
    version = 6 if ":" in address else 4
    return str(ip_network(f"{address}/{_KEPT_BITS[version]}", strict=False))
