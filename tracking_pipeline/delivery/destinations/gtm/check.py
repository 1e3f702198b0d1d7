"""Asks a server container whether it runs. No event is sent: the container's tags would fire.

The container answers for itself at ``/healthz``; on Cloud Run, which keeps that path to itself, at
``/healthy``. Whether a client takes what is sent to it, that does not say.
https://developers.google.com/tag-platform/tag-manager/server-side/manual-setup-guide

The Measurement Protocol has a form that only validates, ``/debug/mp/collect``, which Google's own
servers have and a container may pass on. It gets a list without events, so that nothing can come of
it wherever it is taken for the real thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

import httpx
import orjson

from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    classify_status,
    unreadable,
    without_answer,
)
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import Uniform
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer, DeliveryClient, get, post, retry_after_seconds

HEALTH_PATHS = ("/healthz", "/healthy")
VALIDATION_PATH = "/debug/mp/collect"
_CLIENT_ID = "1.1"


async def check_container(
    url: str, client: DeliveryClient, headers: Mapping[str, str], now: datetime
) -> DestinationCheck:
    """A request or two for the container's health."""
    answer = Answer()
    for path in HEALTH_PATHS:
        answer = await get(client, url + path, params={}, headers=headers)
        if answer.status != 404:
            break
    return read_health_answer(answer, now)


def read_health_answer(answer: Answer, now: datetime) -> DestinationCheck:
    """What an answer about the container's health says."""
    if answer.fault or answer.status is None:
        outcome = without_answer(answer, expected="a container's")
        return judged(Uniform(outcome), duration_ms=answer.duration_ms)
    if 200 <= answer.status < 300:
        return DestinationCheck("ok", "the container runs", duration_ms=answer.duration_ms)
    verdict = classify_status(
        answer,
        partial(unreadable, answer),
        refusal=lambda fault: fault.message,
        retry_after_seconds=retry_after_seconds(answer.headers, now),
        throttle_seconds=DEFAULT_THROTTLE_SECONDS,
    )
    found = judged(verdict, duration_ms=answer.duration_ms)
    if answer.status == 404:
        paths = " nor at ".join(HEALTH_PATHS)
        return replace(found, detail=f"no container answers at {paths}: check GTM_SERVER_URL")
    return found


async def with_validation(
    found: DestinationCheck,
    url: str,
    client: DeliveryClient,
    headers: Mapping[str, str],
    credentials: Mapping[str, str | None],
) -> DestinationCheck:
    """The check, and what the container's validation says, if it has one. The secret is in the URL
    by Google's design, so the URL is told to nobody."""
    if found.state != "ok":
        return found
    address = str(httpx.URL(url + VALIDATION_PATH, params=dict(credentials)))
    content = orjson.dumps({"client_id": _CLIENT_ID, "events": []})
    answer = await post(client, address, content=content, headers=headers)
    return read_validation(found, answer)


def read_validation(found: DestinationCheck, answer: Answer) -> DestinationCheck:
    """The check with what the answer to the validation adds. Only a refusal of the credentials is
    one: that there are no events is what else it may find."""
    if answer.status in (401, 403):
        return DestinationCheck(
            "refused",
            "the container refuses GTM_MEASUREMENT_ID or GTM_API_SECRET",
            Failure.GTM_ACCESS_DENIED,
            str(answer.status),
            answer.duration_ms,
        )
    body = answer.json()
    has_one = isinstance(body, dict) and isinstance(body.get("validationMessages"), list)
    says = "validates the Measurement Protocol" if has_one else "has no validation to ask"
    return replace(found, detail=f"{found.detail}; it {says}")
