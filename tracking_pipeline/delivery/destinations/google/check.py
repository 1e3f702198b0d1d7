"""Asks Google whether events would get in, and how long an access token lasts.

The request has one made-up event and ``validateOnly``: Google looks at the token, the accounts, the
conversion action and the event, and keeps nothing.
https://developers.google.com/data-manager/api/reference/rest/v1/events/ingest

How long a token lasts is asked for only of one from the settings, which nobody renews. The token is
in a header, as Google's own libraries send it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.google.answers import classify
from tracking_pipeline.delivery.destinations.google.credentials import SCOPE, bearer
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.http_client import Answer, DeliveryClient, post

DATA_MANAGER_URL = "https://datamanager.googleapis.com"
_TOKENINFO_URL = "https://oauth2.googleapis.com/tokeninfo"
_TRANSACTION_ID = "tracking-pipeline-test"


def made_up_event(now: datetime) -> bytes:
    """An event of nobody."""
    nobody = sha256(b"nobody@example.com").hexdigest()
    return orjson.dumps(
        {
            "destinationReferences": ["d1"],
            "transactionId": _TRANSACTION_ID,
            "eventTimestamp": now.astimezone(timezone.utc).isoformat(timespec="seconds"),
            "eventSource": "WEB",
            "userData": {"userIdentifiers": [{"emailAddress": nobody}]},
        }
    )


def read_validation(
    answer: Answer, now: datetime, *, secrets: Sequence[str] = ()
) -> DestinationCheck:
    """What the answer to a request with ``validateOnly`` says. One that found nothing wrong is an
    object without an error, and need not have the id that an ingested request gets."""
    body = answer.json()
    if answer.status == 200 and isinstance(body, dict) and "error" not in body:
        return DestinationCheck(
            "ok", "Google took the account and the action", duration_ms=answer.duration_ms
        )
    return judged(classify(answer, now, events=1, secrets=secrets), duration_ms=answer.duration_ms)


def tokeninfo_url(data_manager_url: str) -> str:
    """Where a token is asked about: at Google, if that is whom the events go to. Whoever stands in
    for it has tokens of its own."""
    if data_manager_url == DATA_MANAGER_URL:
        return _TOKENINFO_URL
    return f"{data_manager_url}/tokeninfo"


async def with_token_end(
    found: DestinationCheck, client: DeliveryClient, url: str, token: str, now: datetime
) -> DestinationCheck:
    """The check, and what Google says at ``url`` of an access token from the settings."""
    headers = {**bearer(token), "content-type": "application/x-www-form-urlencoded"}
    answer = await post(client, url, content=b"", headers=headers)
    return read_tokeninfo(found, answer, now)


def read_tokeninfo(found: DestinationCheck, answer: Answer, now: datetime) -> DestinationCheck:
    """The check with what the answer about the token adds; it may add nothing."""
    body = answer.json()
    if answer.fault or answer.status is None or answer.status >= 500:
        return replace(found, all_endings=False)
    if not isinstance(body, dict):
        return found
    seconds = _seconds(body.get("expires_in"))
    if seconds is not None:
        found = replace(found, endings={"GOOGLE_ACCESS_TOKEN": now + timedelta(seconds=seconds)})
    scopes = body.get("scope")
    if found.state == "ok" and isinstance(scopes, str) and SCOPE not in scopes.split():
        detail = f"GOOGLE_ACCESS_TOKEN lacks the scope {SCOPE}"
        return replace(found, detail=f"{found.detail}; {detail}")
    return found


def _seconds(value: Any) -> float | None:
    """A number of seconds, or its text, as both versions of the service write it."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return float(value)
    return float(value) if isinstance(value, int) and 0 <= value < 10**9 else None
