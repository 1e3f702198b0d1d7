"""TikTok's Events API 2.0: up to 1,000 events a request, all of one pixel.

https://business-api.tiktok.com/portal/docs?id=1771100865818625
https://business-api.tiktok.com/portal/docs?id=1771101027431425 (parameters)

Names that TikTok does not optimise for go as they are. Places are plain but for the postal code.
How old an event may be is not written down in one way; ``TIKTOK_MAX_AGE_DAYS`` says what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import orjson

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    token_of,
)
from tracking_pipeline.delivery.destinations.tiktok.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Refused, Verdict
from tracking_pipeline.events.cart import read_cart
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.texts import impersonal_text
from tracking_pipeline.http_client import Answer, DeliveryClient
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

EventSource: TypeAlias = Literal["web", "app", "offline", "crm"]

# Those of TikTok's names that are not Meta's.
EVENT_NAMES = {"PageView": "Pageview"}
_SAME_NAMES = (
    "AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact CustomizeProduct "
    "FindLocation InitiateCheckout Lead Purchase Schedule Search StartTrial SubmitApplication "
    "Subscribe ViewContent"
)
EVENT_NAMES |= {name: name for name in _SAME_NAMES.split()}

_USER = {
    "em": "email",
    "ph": "phone",
    "external_id": "external_id",
    "fn": "first_name",
    "ln": "last_name",
    "ct": "city",
    "st": "state",
    "zp": "zip_code",
    "country": "country",
    "client_ip_address": "ip",
    "client_user_agent": "user_agent",
    "ttclid": "ttclid",
    "ttp": "ttp",
}


class TikTokEvents(JsonBatches):
    """The destination ``tiktok_events``."""

    name = "tiktok_events"
    codes = CODES
    event_names = EVENT_NAMES
    platform = "tiktok"
    title = "TikTok"
    limits = Limits(request_events=1_000, request_bytes=4_000_000, in_flight=4)

    def __init__(
        self,
        request: BatchRequest,
        client: DeliveryClient,
        rules: ReadingRules,
        *,
        secrets: tuple[str, ...],
        max_age: timedelta | None = None,
        names: Mapping[str, str] | None = None,
        tests: bool = False,
    ) -> None:
        """``tests``: events carry a test code, of which TikTok shows one a request."""
        super().__init__(request, client, rules, secrets=secrets, max_age=max_age, names=names)
        if tests:
            self.limits = Limits(request_events=1, request_bytes=4_000_000, in_flight=1)

    @classmethod
    def configured(
        cls, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> TikTokEvents:
        """The pixel that the settings name."""
        token = token_of(settings.tiktok_access_token)
        return cls(
            tiktok_request(
                settings.tiktok_url,
                settings.tiktok_pixel_code or "",
                token,
                event_source=settings.tiktok_event_source,
                test_event_code=settings.tiktok_test_event_code,
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(token,),
            max_age=timedelta(days=settings.tiktok_max_age_days),
            names=settings.tiktok_event_names,
            tests=bool(settings.tiktok_test_event_code),
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        event: dict[str, Any] = {
            "event": self._names.of(conversion.event_name) or conversion.event_name,
            "event_time": int(conversion.event_time.timestamp()),
            "event_id": conversion.event_id,
            "user": {ours: keys[key] for key, ours in _USER.items() if key in keys},
        }
        page = {"url": conversion.page_url, "referrer": conversion.referrer_url}
        event |= {
            name: {key: value for key, value in part.items() if value is not None}
            for name, part in (("page", page), ("properties", _properties(conversion)))
        }
        if self.is_limited(conversion):
            event["limited_data_use"] = True
        return event

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """A request without events: TikTok looks at the token before the list, and its refusal of
        the list says that the token is right. Of the pixel it says nothing then."""
        answer = await self.post([])
        verdict = classify(answer, now, self.judge)
        if isinstance(verdict, Refused):
            return DestinationCheck("ok", "TikTok knows the token", duration_ms=answer.duration_ms)
        return judged(verdict, duration_ms=answer.duration_ms)


def tiktok_request(
    url: str,
    pixel_code: str,
    token: str,
    *,
    event_source: EventSource = "web",
    test_event_code: str | None = None,
) -> BatchRequest:
    """Where a pixel's events go. With a test code they are shown in TikTok's Events Manager."""
    source: dict[str, str] = {"event_source": event_source, "event_source_id": pixel_code}
    if test_event_code:
        source["test_event_code"] = test_event_code
    return BatchRequest(
        f"{url}/open_api/v1.3/event/track/",
        {"content-type": "application/json", "access-token": token},
        orjson.dumps(source)[:-1] + b',"data":[',
    )


def _properties(conversion: Conversion) -> dict[str, Any]:
    """What was bought or looked for."""
    customs = conversion.reading.customs
    properties: dict[str, Any] = {"order_id": conversion.order_id}
    if conversion.value is not None and conversion.currency is not None:
        properties |= {"value": conversion.value, "currency": conversion.currency}
    if "search_string" in customs:
        properties["query"] = impersonal_text(customs["search_string"].value)
    items = read_cart(conversion.reading, conversion.currency).items
    if items:
        properties["content_type"] = "product"
        properties["contents"] = [
            {
                name: value
                for name, value in (
                    ("content_id", item.id),
                    ("quantity", item.quantity),
                    ("price", item.price),
                )
                if value is not None
            }
            for item in items
        ]
    return properties
