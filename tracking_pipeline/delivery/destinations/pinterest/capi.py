"""Pinterest's API for Conversions, version 5.

https://developers.pinterest.com/docs/api/v5/events-create
pinterest/api-description, v5/openapi.yaml

Amounts are texts. What arrives more than an hour after it happened is counted as an offline
conversion and is not told from the tag's (https://docs.tealium.com/server-side-connectors/
pinterest-conversions/): its retries come soon after each other, and an event that is late says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    custom_data,
    token_of,
)
from tracking_pipeline.delivery.destinations.pinterest.answers import CODES, classify
from tracking_pipeline.delivery.destinations.pinterest.quality import ask_quality
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Verdict
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, DeliveryClient, post
from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

CUSTOM = "custom"
_STANDARD_NAMES = {
    "AddPaymentInfo": "add_payment_info",
    "AddToCart": "add_to_cart",
    "AddToWishlist": "add_to_wishlist",
    "CompleteRegistration": "signup",
    "InitiateCheckout": "initiate_checkout",
    "Lead": "lead",
    "PageView": "page_visit",
    "Purchase": "checkout",
    "Search": "search",
    "Subscribe": "subscribe",
    "ViewContent": "view_content",
}
OWN_NAMES = frozenset(
    ("app_install", CUSTOM, "view_category", "watch_video", *_STANDARD_NAMES.values())
)
EVENT_NAMES = _STANDARD_NAMES | {name: name for name in OWN_NAMES}

# Counted as offline, whatever its action_source says, when it comes later than this.
ON_TIME = timedelta(hours=1)
_HASHED = "em ph fn ln ge db ct st zp country external_id".split()
_PLAIN = {
    "client_ip_address": "client_ip_address",
    "client_user_agent": "client_user_agent",
    "epik": "click_id",
}
_ADVERTISING_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_ADVERTISING_ID = "00000000-0000-0000-0000-000000000000"
_APPLE = re.compile(r"iphone|ipad|ios|cfnetwork|darwin", re.IGNORECASE)
_ANDROID = re.compile(r"android|okhttp|dalvik", re.IGNORECASE)
TEST_EVENT = "tracking_pipeline_test"


class PinterestCapi(JsonBatches):
    """The destination ``pinterest_capi``."""

    name = "pinterest_capi"
    codes = CODES
    event_names = EVENT_NAMES
    platform = "pinterest"
    title = "Pinterest"
    limits = Limits(
        request_events=1_000,
        request_bytes=4_000_000,
        in_flight=4,
        retry_base_seconds=60.0,
        # Five such retries are over in half an hour, and an outage may not be.
        retry_horizon=timedelta(hours=6),
    )

    def __init__(
        self,
        request: BatchRequest,
        client: DeliveryClient,
        rules: ReadingRules,
        *,
        secrets: tuple[str, ...],
        max_age: timedelta | None = None,
        names: Mapping[str, str] | None = None,
        ads_token: str | None = None,
    ) -> None:
        """``ads_token``: with it a check tells the quality that Pinterest reports."""
        super().__init__(request, client, rules, secrets=secrets, max_age=max_age, names=names)
        self._ads_token = ads_token

    @classmethod
    def configured(
        cls, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> PinterestCapi:
        """The ad account that the settings name."""
        token, ads_token = token_of(settings.pinterest_access_token), settings.pinterest_ads_token
        return cls(
            pinterest_request(
                settings.pinterest_url,
                settings.pinterest_ad_account_id or "",
                token,
                test=settings.pinterest_test_mode,
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(token,),
            max_age=timedelta(days=settings.pinterest_max_age_days),
            names=settings.pinterest_event_names,
            ads_token=ads_token.get_secret_value() if ads_token else None,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        user_data = _user_data(conversion, keys)
        nobody = self.unidentified(user_data)
        if nobody:
            return nobody
        source = _action_source(conversion, keys)
        if source != "offline" and conversion.reading.row.now - conversion.event_time > ON_TIME:
            dropped.append(("event_time", "over an hour old: counted as offline"))
        event: dict[str, Any] = {
            "event_name": self._names.of(conversion.event_name) or CUSTOM,
            "action_source": source,
            "event_time": int(conversion.event_time.timestamp()),
            "event_id": conversion.event_id,
            "user_data": user_data,
        }
        if conversion.page_url:
            event["event_source_url"] = conversion.page_url
        custom = custom_data(conversion, "{:.12g}".format)
        if self.is_limited(conversion):
            custom["opt_out_type"] = "LDP"
        if custom:
            event["custom_data"] = custom
        return event

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """An event of nobody, in Pinterest's test mode: it is judged like any other and not
        recorded. Then what Pinterest says of the quality of those that are, if it may be asked."""
        request = self.request
        address = request.url.partition("?")[0]
        answer = await post(
            self.client,
            f"{address}?test=true",
            content=request.body([orjson.dumps(_test_event(now))]),
            headers=request.headers,
        )
        found = judged(classify(answer, now, self.judge), duration_ms=answer.duration_ms)
        details = [found.detail or "Pinterest took the test event"]
        if self._ads_token:
            account = address.removesuffix("/events")
            details.append(await ask_quality(self.client, account, self._ads_token))
        return replace(found, detail="; ".join(details))


def pinterest_request(
    url: str, ad_account_id: str, token: str, *, test: bool = False
) -> BatchRequest:
    """Where an ad account's events go. With ``test`` they are judged and not recorded."""
    query = "?test=true" if test else ""
    return BatchRequest(
        f"{url}/v5/ad_accounts/{ad_account_id}/events{query}", bearer_headers(token)
    )


def _user_data(conversion: Conversion, keys: Mapping[str, Any]) -> dict[str, Any]:
    user_data: dict[str, Any] = {
        key: value if isinstance(value, list) else [value]
        for key in _HASHED
        if (value := keys.get(key)) is not None
    }
    user_data |= {theirs: keys[key] for key, theirs in _PLAIN.items() if key in keys}
    device = conversion.reading.platform_ids.get("madid")
    text = device.value.strip().lower() if device and isinstance(device.value, str) else ""
    if _ADVERTISING_ID.fullmatch(text) and text != _NO_ADVERTISING_ID:
        user_data["hashed_maids"] = [sha256_hex(text)]
    return user_data


def _action_source(conversion: Conversion, keys: Mapping[str, Any]) -> str:
    """``web`` for what a browser did, ``offline`` for what no browser and no app is known of."""
    stated = conversion.action_source
    agent = keys.get("client_user_agent", "")
    if stated == "app":
        for pattern, source in ((_APPLE, "app_ios"), (_ANDROID, "app_android")):
            if pattern.search(agent):
                return source
    if stated in ("website", "app"):
        return "web"
    return "web" if stated is None and agent else "offline"


def _test_event(now: datetime) -> dict[str, Any]:
    return {
        "event_name": CUSTOM,
        "action_source": "web",
        "event_time": int(now.timestamp()),
        "event_id": f"{TEST_EVENT}-{uuid4()}",
        "user_data": {"em": [sha256(TEST_EVENT.encode()).hexdigest()]},
    }
