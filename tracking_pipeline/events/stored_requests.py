"""Calls that were stored whole: the address of an API is no page, its headers are no visitor's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# Of a request that was stored whole, where its body may stand.
BODIES = frozenset(
    "body data json payload content requestbody postdata rawbody events event record form".split()
)
REQUEST_URLS = frozenset(("url", "uri", "endpoint", "baseURL", "href"))
_API = re.compile(
    r"https?://(?:(?:graph|api|apis|hooks?|webhooks?|datamanager|googleads|business-api|functions|"
    r"capi|tr|events?|ingest|collector|collect|track|gtm|sgtm|ss|server)[\w-]*\.[^/?#]+"
    r"|[^/?#]*(?:googleapis|google-analytics|supabase|run\.app|cloudfunctions|amazonaws)[^/?#]*)"
    r"|https?://[^/?#]+/(?:v\d+(?:\.\d+)?|api|functions/v\d|rest/v\d|mp/collect|g/collect|webhooks?"
    r"|graphql|collect)(?:[/?#]|$)",
    re.IGNORECASE,
)
_API_SURE = re.compile(
    r"https?://(?:(?:graph|api|apis|hooks|datamanager|googleads|business-api|functions)\.[^/?#]+"
    r"|[^/?#]*(?:googleapis|google-analytics\.com|supabase\.co|cloudfunctions\.net)[^/?#]*)"
    r"|https?://[^/?#]+/(?:v\d+(?:\.\d+)?|api|functions/v\d|rest/v\d|mp/collect|g/collect)"
    r"(?:[/?#]|$)",
    re.IGNORECASE,
)
REQUEST_WORDS = frozenset(("method", "headers", "data", "body", "json", "payload"))


def is_api_address(url: str) -> bool:
    """Tells the address of an API, which is no page that anybody visited."""
    return _is_known_api(url) if len(url) < _LONGEST_KNOWN and "?" not in url else _is_api(url)


def _is_api(url: str) -> bool:
    return _API_SURE.match(url.strip()) is not None


# The pages of a site come again and again; what visitors add to them is not kept.
_LONGEST_KNOWN = 120
_is_known_api = lru_cache(maxsize=4096)(_is_api)


def is_request(mapping: Mapping[Any, Any]) -> bool:
    """Tells a request that was sent to an API: its address, headers and parameters are its own."""
    return any(
        isinstance(url := mapping.get(name), str) and _API.match(url.strip()) is not None
        for name in REQUEST_URLS
    )
