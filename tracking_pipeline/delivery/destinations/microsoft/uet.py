"""Microsoft Advertising's UET Conversions API: up to 1,000 events and 1 MB a request.

https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration

Microsoft opens it account by account. Its conversion goals match the name that an event has on the
page, so names go out as they are, unless the operator has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    token_of,
)
from tracking_pipeline.delivery.destinations.microsoft.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import NotSent, Refused, Verdict
from tracking_pipeline.events.cart import read_cart
from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.standard_events import standard_event
from tracking_pipeline.http_client import Answer, DeliveryClient
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

_USER = {
    "em": "em",
    "ph": "ph",
    "external_id": "externalId",
    "client_ip_address": "clientIpAddress",
    "client_user_agent": "clientUserAgent",
    "msclkid": "msclkid",
    "uetvid": "anonymousId",
}
_LONGEST_NAME = 256


class MicrosoftUet(JsonBatches):
    """The destination ``microsoft_uet``."""

    name = "microsoft_uet"
    codes = CODES
    platform = "microsoft"
    title = "Microsoft"
    # 1 MB a request, of which the events are all but the ends.
    limits = Limits(request_events=1_000, request_bytes=999_000, in_flight=2)

    @classmethod
    def configured(
        cls, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> MicrosoftUet:
        """The UET tag that the settings name."""
        token = token_of(settings.microsoft_uet_access_token)
        return cls(
            microsoft_request(
                settings.microsoft_uet_url, settings.microsoft_uet_tag_id or "", token
            ),
            client,
            ReadingRules.configured(settings),
            secrets=(token,),
            names=settings.microsoft_uet_event_names,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        user = {theirs: keys[key] for key, theirs in _USER.items() if key in keys}
        name = self._names.of(conversion.event_name) or conversion.event_name
        event: dict[str, Any] = {
            "eventType": "pageLoad" if standard_event(name) == "PageView" else "custom",
            "eventId": conversion.event_id,
            "eventName": name[:_LONGEST_NAME],
            "eventTime": int(conversion.event_time.timestamp()),
            "adStorageConsent": self._consent(conversion),
            "userData": user,
        }
        if conversion.page_url:
            event["eventSourceUrl"] = conversion.page_url
        custom = _custom_data(conversion)
        if custom:
            event["customData"] = custom
        return event

    def _consent(self, conversion: Conversion) -> str:
        """Granted (``G``) only where somebody said so, or the site says that silence means it."""
        if self.is_limited(conversion):
            return "D"
        stated = conversion.consent.get(Purpose.AD_STORAGE)
        if stated is None:
            return "G" if self.rules.policy.consent_default == "granted" else "D"
        return "G" if stated.said in (Said.GRANTED, Said.AGREED) else "D"

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """A request without events: 401 tells of the token, 400 of the list."""
        answer = await self.post([])
        verdict = classify(answer, now, self.judge, events=0)
        if isinstance(verdict, Refused):
            return DestinationCheck(
                "ok", "Microsoft knows the token and the tag", duration_ms=answer.duration_ms
            )
        return judged(verdict, duration_ms=answer.duration_ms)


def microsoft_request(url: str, tag_id: str, token: str) -> BatchRequest:
    """Where a tag's events go. A server that reads ``continueOnValidationError`` elsewhere, or not
    at all, refuses the whole request and names the culprits, which are then left out."""
    return BatchRequest(
        f"{url}/v1/{tag_id}/events",
        bearer_headers(token),
        b'{"continueOnValidationError":true,"dataProvider":"tracking-pipeline","data":[',
    )


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    """What was bought."""
    custom: dict[str, Any] = {}
    if conversion.value is not None and conversion.currency is not None:
        custom |= {"value": conversion.value, "currency": conversion.currency}
    if conversion.order_id:
        custom["transactionId"] = conversion.order_id
    items = read_cart(conversion.reading, conversion.currency).items
    if items:
        custom["items"] = [
            {name: value for name, value in item._asdict().items() if value is not None}
            for item in items
        ]
    return custom
