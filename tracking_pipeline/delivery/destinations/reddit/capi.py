"""Reddit's Conversions API, version 3.

https://ads-api.reddit.com/docs/v3/operations/Post%20Conversion%20Events

The names are those of version 3; several public connectors still send those of version 2, which it
does not read. The conversion token goes in a header.

Reddit promises to know a conversion again between its pixel and a server, and nothing between two
requests of a server: what is sent twice may count twice. So timeouts are dear here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    token_of,
)
from tracking_pipeline.delivery.destinations.reddit.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Refused, Verdict
from tracking_pipeline.events.cart import read_cart
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, DeliveryClient
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

EVENT_NAMES = {
    "AddToCart": "ADD_TO_CART",
    "AddToWishlist": "ADD_TO_WISHLIST",
    "CompleteRegistration": "SIGN_UP",
    "Lead": "LEAD",
    "PageView": "PAGE_VISIT",
    "Purchase": "PURCHASE",
    "Search": "SEARCH",
    "ViewContent": "VIEW_CONTENT",
}
TRACKING_TYPES = frozenset(EVENT_NAMES.values())
_SOURCES = {"website": "WEBSITE", "app": "APP", "physical_store": "PHYSICAL_STORE"}
_USER = {
    "em": "email",
    "ph": "phone_number",
    "external_id": "external_id",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
    "rdt_uuid": "uuid",
}
_LONGEST_NAME = 64


class RedditCapi(JsonBatches):
    """The destination ``reddit_capi``."""

    name = "reddit_capi"
    codes = CODES
    event_names = EVENT_NAMES
    platform = "reddit"
    title = "Reddit"
    # A hundred at once: what a lost answer leaves in doubt is one request.
    limits = Limits(request_events=100, request_bytes=2_000_000, in_flight=2)

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> RedditCapi:
        """The pixel that the settings name."""
        token = token_of(settings.reddit_access_token)
        return cls(
            reddit_request(
                settings.reddit_url,
                settings.reddit_pixel_id or "",
                token,
                test_id=settings.reddit_test_id,
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(token,),
            names=settings.reddit_event_names,
            resends=settings.reddit_resend_in_doubt,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        user: dict[str, Any] = {ours: keys[key] for key, ours in _USER.items() if key in keys}
        if self.is_limited(conversion):
            user["data_processing_options"] = {"modes": ["LDU"]}
        event: dict[str, Any] = {
            "event_at": int(conversion.event_time.timestamp()) * 1000,
            "action_source": self._source(conversion, keys),
            "type": self._type(conversion.event_name),
            "user": user,
            "metadata": _metadata(conversion),
        }
        if "rdt_cid" in keys:
            event["click_id"] = keys["rdt_cid"]
        if conversion.page_url:
            event["event_source_url"] = conversion.page_url
        return event

    def _source(self, conversion: Conversion, keys: Mapping[str, Any]) -> str:
        stated = conversion.action_source or ("website" if "client_user_agent" in keys else "")
        return _SOURCES.get(stated, "OTHER")

    def _type(self, name: str) -> dict[str, str]:
        found = self._names.of(name)
        if found in TRACKING_TYPES:
            return {"tracking_type": found}
        return {"tracking_type": "CUSTOM", "custom_event_name": (found or name)[:_LONGEST_NAME]}

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """A request without events: Reddit looks at the token and the pixel before the list, and
        its refusal of the list says that those are right."""
        answer = await self.post([])
        verdict = classify(answer, now, self.judge)
        if isinstance(verdict, Refused):
            return DestinationCheck(
                "ok", "Reddit knows the token and the pixel", duration_ms=answer.duration_ms
            )
        return judged(verdict, duration_ms=answer.duration_ms)


def reddit_request(
    url: str, pixel_id: str, token: str, *, test_id: str | None = None
) -> BatchRequest:
    """Where a pixel's events go. With a ``test_id`` they are shown in Reddit's Events Manager."""
    marked = b'"test_id":' + orjson.dumps(test_id) + b"," if test_id else b""
    return BatchRequest(
        f"{url}/api/v3/pixels/{pixel_id}/conversion_events",
        bearer_headers(token),
        b'{"data":{' + marked + b'"events":[',
        b"]}}",
    )


def _metadata(conversion: Conversion) -> dict[str, Any]:
    """What was bought. ``conversion_id`` is what the pixel sends as well."""
    metadata: dict[str, Any] = {"conversion_id": conversion.event_id}
    if conversion.value is not None and conversion.currency is not None:
        metadata |= {"value": conversion.value, "currency": conversion.currency}
    items = read_cart(conversion.reading, conversion.currency).items
    if items:
        metadata["item_count"] = sum(item.quantity or 1 for item in items)
        metadata["products"] = [{"id": item.id} for item in items]
    return metadata
