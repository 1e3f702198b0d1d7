"""One request, and whatever came of it, as a value: an answer or a fault, never an exception.

Redirects are never followed: a request carries secrets and personal data, and another host has no
claim to them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 20.0
# Of that, what a connection may take: within it nothing has been sent, and that is worth knowing.
_CONNECTING = 0.75
# An error body is a few hundred bytes. What is larger is no answer of the API we called.
MOST_ANSWER_BYTES = 1_000_000

FaultKind = Literal["timeout", "connection", "oversized", "unsendable"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to. ``status`` is None where there was no answer; ``fault`` says why.
    ``sent`` is False where it is sure that nothing of the request has left."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: FaultKind | None = None
    duration_ms: int = 0
    sent: bool = True

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class _CookielessTransport(AiohttpTransport):
    """aiohttp's transport without its memory for cookies."""

    def get_client(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
        )
        proxy = self.proxy
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=TIMEOUT_SECONDS, sock_connect=TIMEOUT_SECONDS * _CONNECTING
            ),
            proxy=str(proxy.url) if proxy else None,
            proxy_auth=aiohttp.BasicAuth(*proxy.auth) if proxy and proxy.auth else None,
        )

    def session(self) -> aiohttp.ClientSession:
        """Aiohttp's own client, made at its first use."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        return self.client


class DeliveryClient(httpx.AsyncClient):
    """httpx's client on that transport, directly and by way of the environment's proxies."""

    def _init_transport(self, *_: Any, **settings: Any) -> httpx.AsyncBaseTransport:
        return _CookielessTransport(**settings)

    def _init_proxy_transport(
        self, proxy: httpx.Proxy, *_: Any, **settings: Any
    ) -> httpx.AsyncBaseTransport:
        return _CookielessTransport(proxy=proxy, **settings)

    def session_for(self, url: httpx.URL) -> aiohttp.ClientSession:
        """What sends a request to ``url``. ``send`` would go through authentication, redirects,
        cookies and history on the way and make two objects of each message, none of which is wanted
        here; that is two thirds of its time. It would also log the whole URL, in which some APIs
        want a secret."""
        transport = self._transport_for_url(url)
        assert isinstance(transport, _CookielessTransport)  # noqa: S101  both kinds made above are
        return transport.session()


def http_client(*, max_connections: int) -> DeliveryClient:
    """The client that all destinations share: httpx's interface on aiohttp's transport, which is
    several times faster than httpx's own at many requests in flight.

    Neither of the two keeps a cookie: those that a server container sets for one visitor would go
    with the events of the next, and its tags read the visitor's browser ids from them.
    """
    return DeliveryClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=TIMEOUT_SECONDS,
        verify=_certificates(),
        follow_redirects=False,
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        ),
    )


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust, read once: a hundred certificates take longer to read than a short run."""
    return httpx.create_ssl_context()


async def post(
    client: DeliveryClient, url: str, *, content: bytes, headers: Mapping[str, str]
) -> Answer:
    """Posts ``content`` and reads the answer, all within :data:`TIMEOUT_SECONDS`."""
    return await _exchange(client, "POST", url, content=content, headers=headers)


async def get(
    client: DeliveryClient,
    url: str,
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str],
) -> Answer:
    """Gets a resource, within the same bounds. ``params`` take the place of the query that the URL
    may have; None: it keeps its own."""
    return await _exchange(client, "GET", url, params=params, headers=headers)


async def _exchange(
    client: DeliveryClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
    params: Mapping[str, str] | None = None,
) -> Answer:
    started = time.monotonic()

    def elapsed() -> int:
        return round((time.monotonic() - started) * 1000)

    try:
        address, target = _parsed(url) if params is None else _parse(url, params)
        for hook in client.event_hooks["request"]:
            await hook(httpx.Request(method, address, headers=headers, content=content))
        async with client.session_for(address).request(
            method,
            target,
            headers=headers,
            data=content,
            allow_redirects=False,
        ) as response:
            body = bytearray()
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > MOST_ANSWER_BYTES:
                    return Answer(response.status, fault="oversized", duration_ms=elapsed())
            return Answer(response.status, response.headers, bytes(body), None, elapsed())
    except (asyncio.TimeoutError, TimeoutError) as error:
        sent = not isinstance(error, aiohttp.ConnectionTimeoutError)
        return Answer(fault="timeout", duration_ms=elapsed(), sent=sent)
    except (
        aiohttp.ClientConnectionError,
        aiohttp.ClientPayloadError,
        aiohttp.ClientResponseError,
        OSError,
    ) as error:
        # Cut off, or what came is no HTTP.
        sent = not isinstance(error, aiohttp.ClientConnectorError)
        return Answer(fault="connection", duration_ms=elapsed(), sent=sent)
    except Exception as error:  # whatever it is: no event is to blame, and no run ends by it
        log.warning("a request could not be made: %s", type(error).__name__)
        return Answer(fault="unsendable", duration_ms=elapsed(), sent=False)


def _parse(url: str, params: Mapping[str, str] | None = None) -> tuple[httpx.URL, str]:
    """An address as httpx wants it and as aiohttp does."""
    address = httpx.URL(url) if params is None else httpx.URL(url, params=params)
    return address, str(address)


# A run sends thousands of requests to a handful of addresses.
_parsed = lru_cache(maxsize=64)(_parse)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The ``Retry-After`` of an answer (seconds or a date, RFC 9110 10.2.3); None for nonsense.

    A date is compared with the answer's own ``Date`` where it has one, since both come from one
    clock.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal() and value.isascii():
        return float(value[:12])
    try:
        until = parsedate_to_datetime(value)
        sent = parsedate_to_datetime(headers["date"]) if "date" in headers else now
        seconds = (_aware(until) - _aware(sent)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(seconds, 0.0)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
