"""LinkedIn's Conversions API: up to 5,000 events a request, each for one conversion rule.

https://learn.microsoft.com/en-us/linkedin/marketing/integrations/ads-reporting/conversions-api

LinkedIn has no names of events: what an event is says the conversion rule that it is sent for, so
only events with a rule are sent. It has no field for how the data may be used either, so whoever
refused personalisation is not sent at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any

from tracking_pipeline.delivery.destinations.json_batches import (
    BatchRequest,
    JsonBatches,
    bearer_headers,
    token_of,
)
from tracking_pipeline.delivery.destinations.linkedin.answers import CODES, classify
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.outcomes import (
    NotSent,
    Refused,
    Verdict,
    withhold,
)
from tracking_pipeline.delivery.engine.readiness import CONSENT_DENIED
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, DeliveryClient, get
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

_RULE = "urn:lla:llaPartnerConversion:"
_LONGEST_EVENT_ID = 64
_IDS = {"em": "SHA256_EMAIL", "li_fat_id": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"}
# The days on which versions ended or will, as far as LinkedIn has told; the others live a year.
_ENDS = {"202511": (2026, 11, 16), "202608": (2027, 8, 17)}


class LinkedInCapi(JsonBatches):
    """The destination ``linkedin_capi``."""

    name = "linkedin_capi"
    codes = CODES
    platform = "linkedin"
    title = "LinkedIn"
    limits = Limits(request_events=5_000, request_bytes=4_000_000, in_flight=2)

    def __init__(
        self,
        request: BatchRequest,
        client: DeliveryClient,
        rules: ReadingRules,
        *,
        conversion_rules: Mapping[str, str],
        secrets: tuple[str, ...],
        ad_account_id: str | None = None,
        api_version: str = "",
    ) -> None:
        """``conversion_rules``: the id of the rule, or its URN, by the name of an event (``*``:
        every other one)."""
        urns = {name: _RULE + rule.removeprefix(_RULE) for name, rule in conversion_rules.items()}
        super().__init__(request, client, rules, secrets=secrets, names=urns)
        self._rules = frozenset(urns.values())
        self._ad_account_id = ad_account_id
        self._api_version = api_version

    @classmethod
    def configured(
        cls, settings: Settings, client: DeliveryClient, pool: AsyncPool
    ) -> LinkedInCapi:
        """The conversion rules that the settings name."""
        token = token_of(settings.linkedin_access_token)
        return cls(
            linkedin_request(settings.linkedin_url, token, settings.linkedin_api_version),
            client,
            ReadingRules.configured(settings),
            conversion_rules=settings.linkedin_conversion_rules,
            secrets=(token,),
            ad_account_id=settings.linkedin_ad_account_id,
            api_version=settings.linkedin_api_version,
        )

    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        if self.is_limited(conversion):
            return withhold(CONSENT_DENIED, Failure.CONSENT_DENIED)
        rule = self._names.of(conversion.event_name)
        if rule is None:
            return withhold("no conversion rule for this event", Failure.EVENT_NOT_FOR_DESTINATION)
        nobody = self.unidentified(keys)
        if nobody:
            return nobody
        element: dict[str, Any] = {
            "conversion": rule,
            "conversionHappenedAt": int(conversion.event_time.timestamp()) * 1000,
            "eventId": _event_id(conversion.event_id),
            "user": _user(keys),
        }
        if conversion.value is not None and conversion.currency is not None:
            element["conversionValue"] = {
                "currencyCode": conversion.currency,
                "amount": format(Decimal(repr(conversion.value)), "f"),
            }
        return element

    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        return classify(answer, now, self.judge, events=events)

    async def check(self, now: datetime) -> DestinationCheck:
        """Reads the conversion rules of the ad account; without LINKEDIN_AD_ACCOUNT_ID a request
        without events shows whether the token and the version are let in."""
        found = await self._check_rules(now) if self._ad_account_id else await self._check_call(now)
        ends = version_end(self._api_version)
        endings = {f"LINKEDIN_API_VERSION {self._api_version}": ends} if ends else {}
        return replace(found, endings=endings)

    async def _check_call(self, now: datetime) -> DestinationCheck:
        answer = await self.post([])
        verdict = classify(answer, now, self.judge, events=0)
        took_none = answer.status == 200 and isinstance(answer.json(), dict)
        if isinstance(verdict, Refused) or took_none:
            detail = "LinkedIn knows the token; set LINKEDIN_AD_ACCOUNT_ID to have the rules read"
            return DestinationCheck("ok", detail, duration_ms=answer.duration_ms)
        return judged(verdict, duration_ms=answer.duration_ms)

    async def _check_rules(self, now: datetime) -> DestinationCheck:
        headers = {
            name: value
            for name, value in self.request.headers.items()
            if name not in ("content-type", "x-restli-method")
        }
        account = f"urn:li:sponsoredAccount:{self._ad_account_id}"
        answer = await get(
            self.client,
            self.request.url.replace("/conversionEvents", "/conversions"),
            params={"q": "account", "account": account, "count": "100"},
            headers=headers,
        )
        body = answer.json()
        elements = body.get("elements") if isinstance(body, dict) else None
        if answer.status != 200 or not isinstance(elements, list):
            return judged(self.judge_read(answer, now), duration_ms=answer.duration_ms)
        enabled = {
            _RULE + str(each.get("id"))
            for each in elements
            if isinstance(each, dict) and each.get("enabled", True)
        }
        missing = sorted(rule.removeprefix(_RULE) for rule in self._rules - enabled)
        # A full page may have a next one.
        if missing and len(elements) < 100:
            return DestinationCheck(
                "refused",
                f"the ad account has no enabled conversion rule {', '.join(missing)}",
                Failure.LINKEDIN_CALL_REFUSED,
                duration_ms=answer.duration_ms,
            )
        return DestinationCheck(
            "ok", "LinkedIn knows the conversion rules", duration_ms=answer.duration_ms
        )

    def judge_read(self, answer: Answer, now: datetime) -> Verdict:
        """What an answer that has no list of conversion rules comes to."""
        return classify(answer, now, self.judge, events=-1)


def linkedin_request(url: str, token: str, api_version: str) -> BatchRequest:
    """Where all events go: which account they are of says their conversion rule."""
    return BatchRequest(
        f"{url}/rest/conversionEvents",
        {
            **bearer_headers(token),
            "linkedin-version": api_version,
            "x-restli-protocol-version": "2.0.0",
            "x-restli-method": "BATCH_CREATE",
        },
        b'{"elements":[',
    )


def version_end(version: str) -> datetime | None:
    """When a version (as in ``202608``) ends or ended; a year after it came out, where LinkedIn has
    not told the day."""
    if not version:
        return None
    end = _ENDS.get(version) or (int(version[:4]) + 1, int(version[4:]), 15)
    return datetime(*end, tzinfo=timezone.utc)


def _user(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Who it was. A name goes whole or not at all."""
    ids = [{"idType": kind, "idValue": keys[key]} for key, kind in _IDS.items() if key in keys]
    user: dict[str, Any] = {"userIds": ids}
    if "fn" in keys and "ln" in keys:
        user["userInfo"] = {"firstName": keys["fn"], "lastName": keys["ln"]}
        if "country" in keys:
            user["userInfo"]["countryCode"] = keys["country"]
    if "external_id" in keys:
        user["externalIds"] = [keys["external_id"]]
    return user


def _event_id(event_id: str) -> str:
    """The event's id. One that LinkedIn finds too long, which no tag can have sent it either, is
    known by its hash, so that two requests for it are one event."""
    if len(event_id) <= _LONGEST_EVENT_ID:
        return event_id
    return sha256(event_id.encode()).hexdigest()
