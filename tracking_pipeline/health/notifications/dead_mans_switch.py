"""Tells a service elsewhere that a health check came: when no ping comes, it alerts.

It is the only part that speaks up when this machine is gone. What healthchecks.io, Cronitor, Better
Stack and Uptime Kuma give as the address of a check is such a URL: a GET of it is the ping.
"""

from __future__ import annotations

import asyncio
import logging

from pydantic import SecretStr

from tracking_pipeline.http_client import get, http_client

log = logging.getLogger(__name__)


def ping(url: SecretStr) -> bool:
    """Asks the URL once; whether it answered with a 2xx. Fails open: a switch that cannot be
    reached alerts by itself, and the check it was about is recorded already. The URL is the secret
    by which the service knows who pings: nothing of it is logged."""
    return asyncio.run(_ping(url.get_secret_value()))


async def _ping(url: str) -> bool:
    async with http_client(max_connections=1) as client:
        answer = await get(client, url, headers={})
    reached = answer.status is not None and 200 <= answer.status < 300
    if not reached:
        log.warning(
            "DEAD_MANS_SWITCH_URL did not take the ping of this check (%s)",
            answer.fault or f"status {answer.status}",
        )
    return reached
