"""IP address and user agent of the visitor: sent as they are, never hashed."""

from __future__ import annotations

from tracking_pipeline.identity.ip_address import public_address
from tracking_pipeline.identity.refusal import Refusal


def ip_address_for_meta(text: str, country: str) -> str | Refusal:
    """Give the first public address of a text: one address, or an X-Forwarded-For list."""
    return public_address(text, keep_suffix=True)


def ip_address_for_google(text: str, country: str) -> str | Refusal:
    """Give the first public address, without the suffix of Meta's parameter builder."""
    return public_address(text)


def user_agent(text: str, country: str) -> str | Refusal:
    """Give the user agent as it is. `country` plays no part."""
    return text
