"""OpenAI's Conversions API, for its ads in ChatGPT.

https://developers.openai.com/ads/conversions-api
https://developers.openai.com/ads/supported-events

Phones are not sent: the pixel's page asks not to, and this one names no field for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    token_of,
)
from tracking_pipeline.delivery.destinations.openai.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Verdict, reject
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.cart import read_cart
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.money import minor_units
from tracking_pipeline.http_client import Answer, DeliveryClient, post
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

CUSTOM = "custom"
EVENT_NAMES = {
    "AddToCart": "items_added",
    "CompleteRegistration": "registration_completed",
    "InitiateCheckout": "checkout_started",
    "Lead": "lead_created",
    "PageView": "page_viewed",
    "Purchase": "order_created",
    "Schedule": "appointment_scheduled",
    "StartTrial": "trial_started",
    "Subscribe": "subscription_created",
    "ViewContent": "contents_viewed",
}
# The shape of an event's data follows from its name.
_SHAPES = {
    **dict.fromkeys(
        ("checkout_started", "contents_viewed", "items_added", "order_created", "page_viewed"),
        "contents",
    ),
    **dict.fromkeys(
        ("appointment_scheduled", "lead_created", "registration_completed"), "customer_action"
    ),
    **dict.fromkeys(("subscription_created", "trial_started"), "plan_enrollment"),
    CUSTOM: CUSTOM,
}
_SOURCES = {
    "website": "web",
    "app": "mobile_app",
    "physical_store": "physical_store",
    "phone_call": "phone_call",
    "email": "email",
}
_USER = {
    "em": "email_sha256",
    "external_id": "external_id_sha256",
    "country": "country",
    "ct": "city",
    "zp": "zip_code",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
}
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]+")
_LONGEST_NAME = 64


class OpenAiAds(JsonBatches):
    """The destination ``openai_ads``."""

    name = "openai_ads"
    codes = CODES
    event_names = EVENT_NAMES
    platform = "openai"
    title = "OpenAI"
    limits = Limits(request_events=1_000, request_bytes=2_000_000, in_flight=2)

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> OpenAiAds:
        """The pixel that the settings name."""
        key = token_of(settings.openai_ads_api_key)
        return cls(
            openai_request(
                settings.openai_ads_url,
                settings.openai_ads_pixel_id or "",
                key,
                validate_only=settings.openai_ads_validate_only,
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(key,),
            names=settings.openai_ads_event_names,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        page = conversion.page_url or self.rules.site_url
        stated = conversion.action_source or ("website" if "client_user_agent" in keys else "")
        source = _SOURCES.get(stated, "other")
        if source == "web" and page is None:
            return reject("missing source_url", Failure.EVENT_FIELD_MISSING)
        name = self._names.of(conversion.event_name) or conversion.event_name
        kind = name if name in _SHAPES else CUSTOM
        event: dict[str, Any] = {
            "id": conversion.event_id,
            "type": kind,
            "timestamp_ms": int(conversion.event_time.timestamp()) * 1000,
            "action_source": source,
            "data": {"type": _SHAPES[kind], **_bought(conversion, _SHAPES[kind])},
        }
        if kind == CUSTOM:
            custom = _NOT_IN_A_NAME.sub("_", name.lower()).strip("_")
            event["custom_event_name"] = custom[:_LONGEST_NAME] or CUSTOM
        if page is not None:
            event["source_url"] = page
        if "oppref" in keys:
            event["oppref"] = keys["oppref"]
        if self.is_limited(conversion):
            event["opt_out"] = True
        user = {theirs: keys[key] for key, theirs in _USER.items() if key in keys}
        if user:
            event["user"] = user
        return event

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """An event of nobody, to be judged and not saved."""
        request = _judging(self.request)
        answer = await post(
            self.client,
            request.url,
            content=request.body([orjson.dumps(_test_event(now))]),
            headers=request.headers,
        )
        found = judged(classify(answer, now, self.judge), duration_ms=answer.duration_ms)
        return replace(found, detail=found.detail or "OpenAI took the test event")


def openai_request(
    url: str, pixel_id: str, key: str, *, validate_only: bool = False
) -> BatchRequest:
    """Where a pixel's events go. With ``validate_only`` they are judged and not saved."""
    request = BatchRequest(f"{url}/v1/events?pid={pixel_id}", bearer_headers(key), b'{"events":[')
    return _judging(request) if validate_only else request


def _judging(request: BatchRequest) -> BatchRequest:
    return replace(request, head=b'{"validate_only":true,"events":[')


def _bought(conversion: Conversion, shape: str) -> dict[str, Any]:
    """What it was worth, in the currency's smallest unit, and what was in the cart."""
    data: dict[str, Any] = {}
    currency = conversion.currency
    if conversion.value is not None and currency is not None:
        data |= {"amount": minor_units(conversion.value, currency), "currency": currency}
    items = read_cart(conversion.reading, currency).items if shape == "contents" else ()
    if items:
        data["contents"] = [
            {
                "id": item.id,
                "content_type": "product",
                **({} if item.quantity is None else {"quantity": item.quantity}),
                **(
                    {}
                    if item.price is None or currency is None
                    else {"amount": minor_units(item.price, currency), "currency": currency}
                ),
            }
            for item in items
        ]
    return data


def _test_event(now: datetime) -> dict[str, Any]:
    return {
        "id": f"tracking_pipeline_test-{uuid4()}",
        "type": CUSTOM,
        "custom_event_name": "tracking_pipeline_test",
        "timestamp_ms": int(now.timestamp()) * 1000,
        "action_source": "other",
        "data": {"type": CUSTOM},
    }
