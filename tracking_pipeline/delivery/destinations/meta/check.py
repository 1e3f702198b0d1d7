"""Asks Meta whether events would get in, how long the token lasts and which version answers.

Without a test event code the request for events has an empty list: Meta looks at the token, then at
the dataset, then at the list, and its refusal of the list says that the other two are right. With a
code it is one marked event, which Meta shows under "Test events".

What is known of the token is asked for as a batch of one, so that the token, which the question has
for a parameter, stands in the body of a POST and not in a URL:
https://developers.facebook.com/docs/graph-api/batch-requests
https://developers.facebook.com/docs/graph-api/reference/debug_token
Meta may not tell: the token of a system user may ask about itself, others need the app's. That is
no fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson

from tracking_pipeline.delivery.destinations.meta.account import (
    MetaAccount,
    appsecret_proof,
    credentials,
)
from tracking_pipeline.delivery.destinations.meta.answers import classify
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import Refused
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer, DeliveryClient, post

# The Conversions API follows the Graph API's schedule: at least two years from a release. A version
# that has ended is no error: Meta serves the call by the oldest one left, whatever becomes of it.
# https://developers.facebook.com/docs/graph-api/changelog/versions, as of November 2026; of v26.0
# no end was announced.
_ENDS = {
    "v19.0": (2026, 5, 21),
    "v20.0": (2026, 9, 24),
    "v21.0": (2027, 1, 21),
    "v22.0": (2027, 5, 20),
    "v23.0": (2027, 10, 8),
    "v24.0": (2028, 2, 18),
    "v25.0": (2028, 7, 29),
}
_OLDEST = min(_ENDS, key=_ENDS.__getitem__)


def version_end(version: str) -> datetime | None:
    """When a version (as in ``v25.0``) ends or ended; None where that is not known. One that is
    older than the table ended with its oldest, or before."""
    ends = _ENDS.get(version)
    if ends is None and _number(version) < _number(_OLDEST):
        ends = _ENDS[_OLDEST]
    return datetime(*ends, tzinfo=timezone.utc) if ends else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))


TEST_EVENT_NAME = "tracking_pipeline_test"
_JSON = {"content-type": "application/json"}
# Neither is written down for the Conversions API; both are in its answers as in those of others.
_VERSION_HEADER = "facebook-api-version"
_WARNING_HEADER = "x-ad-api-version-warning"


async def check_meta(
    account: MetaAccount, client: DeliveryClient, now: datetime
) -> DestinationCheck:
    """Two requests, which send nothing real."""
    secrets = (account.access_token, account.app_secret or "", appsecret_proof(account) or "")
    base = f"{account.url}/{account.api_version}"
    fields = credentials(account)
    events = [_test_event(now)] if account.test_event_code else []
    answer = await post(
        client,
        f"{base}/{account.dataset_id}/events",
        content=orjson.dumps({**fields, "data": events}),
        headers=_JSON,
    )
    found = read_events_answer(answer, now, tested=bool(events), secrets=secrets)
    question = f"debug_token?input_token={quote(account.access_token, safe='')}"
    fields.pop("test_event_code", None)
    batch = [{"method": "GET", "relative_url": question}]
    content = orjson.dumps({**fields, "batch": batch, "include_headers": False})
    token = read_token_answer(await post(client, f"{base}/", content=content, headers=_JSON))
    return combined(found, token, account.api_version, answer.headers, secrets=secrets)


def read_events_answer(
    answer: Answer, now: datetime, *, tested: bool, secrets: tuple[str, ...] = ()
) -> DestinationCheck:
    """What the answer to the test event says, or to the empty list where it was not ``tested``."""
    verdict = classify(answer, now, secrets=secrets)
    found = judged(verdict, duration_ms=answer.duration_ms)
    if tested:
        said = "Meta took the test event" if found.state == "ok" else found.detail
        return replace(found, detail=said)
    body = answer.json()
    took_none = answer.status == 200 and isinstance(body, dict) and body.get("events_received") == 0
    if isinstance(verdict, Refused) or took_none:
        return DestinationCheck(
            "ok", "Meta knows the token and the dataset", duration_ms=answer.duration_ms
        )
    return found


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What Meta says of a token; ``is_valid`` None: nothing. ``asked`` is False where there was no
    answer, so that there may be one next time."""

    is_valid: bool | None = None
    endings: Mapping[str, datetime] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    asked: bool = True


def read_token_answer(answer: Answer) -> TokenFacts:
    """What an answer to the batch says. A time of 0 is one that never comes."""
    if answer.fault or answer.status is None or answer.status >= 500:
        return TokenFacts(asked=False)
    entries = answer.json()
    entry = entries[0] if isinstance(entries, list) and entries else None
    body = _loads(entry.get("body")) if isinstance(entry, dict) else None
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("is_valid"), bool):
        return TokenFacts()
    endings = {
        what: at
        for what, name in (
            ("META_ACCESS_TOKEN", "expires_at"),
            ("the access to data of META_ACCESS_TOKEN", "data_access_expires_at"),
        )
        if (at := _moment(data.get(name))) is not None
    }
    scopes = data.get("scopes")
    listed = scopes if isinstance(scopes, list) else []
    names = tuple(redact(each) for each in listed if isinstance(each, str))
    return TokenFacts(data["is_valid"], endings, names)


def combined(
    found: DestinationCheck,
    token: TokenFacts,
    version: str,
    headers: Mapping[str, str],
    *,
    secrets: tuple[str, ...] = (),
) -> DestinationCheck:
    """Both answers, what the first one's ``headers`` say of the ``version``, and what ends when."""
    endings = dict(token.endings)
    ends = version_end(version)
    if ends is not None:
        endings[f"META_API_VERSION {version}"] = ends
    details = [found.detail]
    served = headers.get(_VERSION_HEADER, version)
    if served != version:
        details.append(f"Meta answered by {redact(served)}: {version} is served no more")
    if _WARNING_HEADER in headers:
        details.append(f"Meta warns: {redact(headers[_WARNING_HEADER], *secrets)}")
    if token.scopes:
        details.append(f"the token is for {', '.join(token.scopes)}")
    if token.is_valid is False and found.state == "ok":
        found = replace(found, state="refused", failure=Failure.META_TOKEN_REFUSED, code="190")
        details.insert(0, "Meta says that META_ACCESS_TOKEN is not valid any more")
    return replace(
        found,
        detail="; ".join(filter(None, details)),
        endings=endings,
        all_endings=token.asked,
    )


def _test_event(now: datetime) -> dict[str, Any]:
    """An event of nobody, by a name that no campaign counts."""
    nobody = sha256(TEST_EVENT_NAME.encode()).hexdigest()
    return {
        "event_name": TEST_EVENT_NAME,
        "event_time": int(now.timestamp()),
        "event_id": f"{TEST_EVENT_NAME}-{uuid4()}",
        "action_source": "system_generated",
        "user_data": {"external_id": [nobody]},
    }


def _moment(seconds: object) -> datetime | None:
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None


def _loads(text: object) -> Any:
    try:
        return orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None
