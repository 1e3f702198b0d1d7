"""Where the stand-ins of a running sandbox are found."""

from __future__ import annotations

from typing import Protocol


class SandboxAddresses(Protocol):
    """The base URLs to put in the place of the platforms' own."""

    def address_of(self, destination: str) -> str: ...


class GeoAddresses(Protocol):
    """The base URLs to put in the place of the geo services' own."""

    @property
    def ip_api_url(self) -> str: ...
