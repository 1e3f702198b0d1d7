"""One request, and whatever came of it, as a value: an answer or a fault, never an exception.

Redirects are never followed: a request carries secrets and personal data, and another host has no
claim to them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal

import aiohttp
import anyio
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

TIMEOUT_SECONDS = 20.0
# An error body is a few hundred bytes. What is larger is no answer of the API we called.
MOST_ANSWER_BYTES = 1_000_000

FaultKind = Literal["timeout", "connection", "oversized"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to. ``status`` is None where there was no answer; ``fault`` says why."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: FaultKind | None = None
    duration_ms: int = 0

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


def http_client(*, max_connections: int) -> httpx.AsyncClient:
    """The client that all destinations share: httpx's interface on aiohttp's transport, which is
    several times faster than httpx's own at many requests in flight.

    Neither of the two keeps cookies: one visitor's, set by a server container's answer, would go
    with the events of the next. Proxies and certificates are those of the environment.
    """
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections
    )

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=max_connections,
            keepalive_timeout=limits.keepalive_expiry,
            ssl=httpx.create_ssl_context(),
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=True
        )

    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits, client=session),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
    )


async def post(
    client: httpx.AsyncClient, url: str, *, content: bytes, headers: Mapping[str, str]
) -> Answer:
    """Posts ``content`` and reads the answer, all within :data:`TIMEOUT_SECONDS`."""
    return await _exchange(client, "POST", url, content=content, headers=headers)


async def get(
    client: httpx.AsyncClient, url: str, *, params: Mapping[str, str], headers: Mapping[str, str]
) -> Answer:
    """Gets a resource, within the same bounds."""
    return await _exchange(client, "GET", url, params=params, headers=headers)


async def _exchange(
    client: httpx.AsyncClient,
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
        with anyio.fail_after(TIMEOUT_SECONDS):
            request = client.build_request(
                method, url, content=content, params=params, headers=headers
            )
            response = await client.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MOST_ANSWER_BYTES:
                        return Answer(
                            response.status_code, fault="oversized", duration_ms=elapsed()
                        )
            finally:
                await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body), None, elapsed())
    except (TimeoutError, httpx.TimeoutException):
        return Answer(fault="timeout", duration_ms=elapsed())
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError):
        return Answer(fault="connection", duration_ms=elapsed())


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
