"""Snapchat's Conversions API, version 3.

https://developers.snap.com/api/marketing-api/Conversions-API/UsingTheAPI
https://developers.snap.com/api/marketing-api/Conversions-API/Parameters

Snapchat has names for a few events and five for whatever else (``CUSTOM_EVENT_1`` to ``5``), of
which only the site knows what they stand for: another event needs a line in
``SNAPCHAT_EVENT_NAMES``. Its pages show the token in the URL, where proxies and logs keep it; it
goes in a header, unless ``SNAPCHAT_TOKEN_IN_URL`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    custom_data,
    token_of,
)
from tracking_pipeline.delivery.destinations.snapchat.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Verdict, reject, withhold
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, DeliveryClient, post
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

# As Snapchat's own tag for server containers has them (its generate_lead is a SIGN_UP).
_STANDARD_NAMES = {
    "AddPaymentInfo": "ADD_BILLING",
    "AddToCart": "ADD_CART",
    "AddToWishlist": "ADD_TO_WISHLIST",
    "CompleteRegistration": "SIGN_UP",
    "InitiateCheckout": "START_CHECKOUT",
    "Lead": "SIGN_UP",
    "PageView": "PAGE_VIEW",
    "Purchase": "PURCHASE",
    "Search": "SEARCH",
    "StartTrial": "START_TRIAL",
    "Subscribe": "SUBSCRIBE",
    "ViewContent": "VIEW_CONTENT",
}
OWN_NAMES = frozenset(
    (
        *_STANDARD_NAMES.values(),
        *(f"CUSTOM_EVENT_{number}" for number in range(1, 6)),
        *"SAVE LIST_VIEW SHARE LOGIN RATE RESERVE AD_CLICK AD_VIEW INVITE SPENT_CREDITS".split(),
        *"ACHIEVEMENT_UNLOCKED LEVEL_COMPLETE COMPLETE_TUTORIAL APP_INSTALL APP_OPEN".split(),
    )
)
EVENT_NAMES = _STANDARD_NAMES | {name: name for name in OWN_NAMES}

_HASHED = "fn ln ge db ct st zp country external_id".split()
_LISTS = ("em", "ph")
_PLAIN = {
    "client_ip_address": "client_ip_address",
    "client_user_agent": "client_user_agent",
    "sccid": "sc_click_id",
    "scid": "sc_cookie1",
}
TEST_EVENT = "tracking_pipeline_test"


class SnapchatCapi(JsonBatches):
    """The destination ``snapchat_capi``."""

    name = "snapchat_capi"
    codes = CODES
    event_names = EVENT_NAMES
    platform = "snapchat"
    title = "Snapchat"
    limits = Limits(request_events=2_000, request_bytes=4_000_000, in_flight=2)

    def __init__(
        self,
        request: BatchRequest,
        client: DeliveryClient,
        rules: ReadingRules,
        *,
        secrets: tuple[str, ...],
        max_age: timedelta | None = None,
        names: Mapping[str, str] | None = None,
        limited_option: str | None = None,
    ) -> None:
        """``limited_option``: what goes into ``data_processing_options`` of somebody whose data may
        serve for counting only; None: such an event is withheld."""
        super().__init__(request, client, rules, secrets=secrets, max_age=max_age, names=names)
        self._limited_option = limited_option

    @classmethod
    def configured(
        cls, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> SnapchatCapi:
        """The pixel that the settings name."""
        token = token_of(settings.snapchat_access_token)
        return cls(
            snapchat_request(
                settings.snapchat_url,
                settings.snapchat_pixel_id or "",
                token,
                token_in_url=settings.snapchat_token_in_url,
                test_event_code=settings.snapchat_test_event_code,
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(token,),
            max_age=timedelta(days=settings.snapchat_max_age_days),
            names=settings.snapchat_event_names,
            limited_option=settings.snapchat_limited_data_option,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        name = self._names.of(conversion.event_name)
        if name is None:
            return reject(
                "no event of Snapchat's: give it a name in SNAPCHAT_EVENT_NAMES",
                Failure.EVENT_NAME_REFUSED,
            )
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        is_limited = self.is_limited(conversion)
        if is_limited and self._limited_option is None:
            return withhold("limited data use", Failure.CONSENT_DENIED)
        page = conversion.page_url or self.rules.site_url
        source = _action_source(conversion, keys)
        if source == "WEB" and page is None:
            return reject("missing event_source_url", Failure.EVENT_FIELD_MISSING)
        user_data: dict[str, Any] = {
            key: value if isinstance(value, list) else [value]
            for key in _LISTS
            if (value := keys.get(key)) is not None
        }
        user_data |= {key: keys[key] for key in _HASHED if key in keys}
        user_data |= {theirs: keys[key] for key, theirs in _PLAIN.items() if key in keys}
        event: dict[str, Any] = {
            "event_name": name,
            "event_time": int(conversion.event_time.timestamp()),
            "event_id": conversion.event_id,
            "action_source": source,
            "user_data": user_data,
        }
        if page is not None:
            event["event_source_url"] = page
        if custom := custom_data(conversion):
            event["custom_data"] = custom
        if is_limited:
            event["data_processing_options"] = [self._limited_option]
        return event

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """An event of nobody to where Snapchat validates events and records none."""
        address, question, query = self.request.url.partition("?")
        request = replace(self.request, url=f"{address}/validate{question}{query}")
        answer = await post(
            self.client,
            request.url,
            content=request.body([orjson.dumps(_test_event(now))]),
            headers=request.headers,
        )
        found = judged(classify(answer, now, self.judge), duration_ms=answer.duration_ms)
        return replace(found, detail=found.detail or "Snapchat took the test event")


def snapchat_request(
    url: str,
    pixel_id: str,
    token: str,
    *,
    token_in_url: bool = False,
    test_event_code: str | None = None,
) -> BatchRequest:
    """Where a pixel's events go. With a test code they are shown in Snapchat's Events Manager."""
    address = f"{url}/v3/{pixel_id}/events"
    headers = bearer_headers(token)
    if token_in_url:
        address = f"{address}?access_token={quote(token, safe='')}"
        del headers["authorization"]
    tail = b"]}"
    if test_event_code:
        tail = b'],"test_event_code":' + orjson.dumps(test_event_code) + b"}"
    return BatchRequest(address, headers, tail=tail)


def _action_source(conversion: Conversion, keys: Mapping[str, Any]) -> str:
    stated = conversion.action_source
    if stated == "app":
        return "MOBILE_APP"
    # What nobody says is a website's, and of which no page is known, need not be one's.
    is_web = stated == "website" or (
        stated is None and "client_user_agent" in keys and conversion.page_url is not None
    )
    return "WEB" if is_web else "OFFLINE"


def _test_event(now: datetime) -> dict[str, Any]:
    return {
        "event_name": "CUSTOM_EVENT_1",
        "event_time": int(now.timestamp()),
        "event_id": f"{TEST_EVENT}-{uuid4()}",
        "action_source": "OFFLINE",
        "user_data": {"em": [sha256(TEST_EVENT.encode()).hexdigest()]},
    }
