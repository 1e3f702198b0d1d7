"""Meta's Conversions API: events in Meta's form, up to 1,000 a request, and what its answers mean.

https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api
https://developers.facebook.com/docs/marketing-api/conversions-api/parameters

One invalid event fails its whole request, so what can be known to be invalid is rejected here,
before a request. The access token goes in the body, never in a URL, which proxies and logs keep.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from tracking_pipeline.delivery.conversion import (
    Conversion,
    first,
    first_of_each,
    impersonal_fields,
    number,
    read_conversion,
    text,
)
from tracking_pipeline.delivery.destination import Limits, Reply
from tracking_pipeline.delivery.events import DestinationName, FailedEvent, Prepared
from tracking_pipeline.delivery.meta.answers import classify, cool_down_seconds
from tracking_pipeline.delivery.outcomes import Rejected, reject
from tracking_pipeline.delivery.person import GeoMatchKeys, person_keys
from tracking_pipeline.http_client import DeliveryClient, post
from tracking_pipeline.identity import ExternalIdMode, sanitize

# An event this old is refused, and with it its whole request.
MAX_AGE = timedelta(days=7)
MAX_AGE_PHYSICAL_STORE = timedelta(days=62)
# An event that would cross the limit on its way is not worth a batch's rejection.
_AGE_MARGIN = timedelta(minutes=1)

ACTION_SOURCES = frozenset(
    (
        "website",
        "email",
        "app",
        "phone_call",
        "chat",
        "physical_store",
        "system_generated",
        "business_messaging",
        "other",
    )
)

# Meta refuses an event whose customer information is one of these or a part of one.
TOO_LITTLE_INFORMATION = (
    frozenset(("ct", "country", "st", "zp", "ge", "client_user_agent")),
    frozenset(("db", "client_user_agent")),
    frozenset(("fn", "ge")),
    frozenset(("ln", "ge")),
)
_IN_A_COMBINATION = frozenset().union(*TOO_LITTLE_INFORMATION)

# Identifiers that only Meta knows; they are sent as they are.
_PLATFORM_IDS = (
    "subscription_id",
    "anon_id",
    "madid",
    "page_id",
    "page_scoped_user_id",
    "ctwa_clid",
    "ig_account_id",
    "ig_sid",
)
# These are whole numbers. A site's own lead_id (a uuid, say) is not Meta's and would be refused.
_NUMERIC_PLATFORM_IDS = ("fb_login_id", "lead_id")
_ALL_PLATFORM_IDS = frozenset((*_PLATFORM_IDS, *_NUMERIC_PLATFORM_IDS))
# How the person's data may be used. What cannot be understood here must not be dropped: the event
# is rejected.
_PRIVACY_OPTIONS: dict[str, type] = {
    "opt_out": bool,
    "data_processing_options": list,
    "data_processing_options_country": int,
    "data_processing_options_state": int,
}
_PRIVACY_NUMBERS = tuple(name for name, kind in _PRIVACY_OPTIONS.items() if kind is int)
# Parts of Meta's own form that are kept, where they have the right type.
_KEPT: dict[str, type] = {
    "app_data": dict,
    "advanced_measurement_table": str,
    "messaging_channel": str,
    "original_event_data": dict,
    "attribution_data": dict,
    "customer_segmentation": dict,
}
_OPTIONS = {**_PRIVACY_OPTIONS, **_KEPT}
_APP_DATA = ("advertiser_tracking_enabled", "extinfo")
# Meta's standard parameters, where a flat payload or the ledger's metadata has them.
_CUSTOM = (
    "content_category",
    "content_ids",
    "content_name",
    "content_type",
    "contents",
    "delivery_category",
    "num_items",
    "predicted_ltv",
    "search_string",
    "status",
)


@dataclass(frozen=True)
class MetaAccount:
    """Where events go and by what right. ``url`` has no trailing slash."""

    dataset_id: str
    access_token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    url: str = "https://graph.facebook.com"
    api_version: str = "v26.0"
    test_event_code: str | None = None


class MetaCapi:
    """The destination ``meta_capi``."""

    name: DestinationName = "meta_capi"
    limits = Limits(request_events=1_000, request_bytes=4_000_000, in_flight=4)

    def __init__(
        self,
        account: MetaAccount,
        client: DeliveryClient,
        *,
        country: str = "US",
        site_url: str | None = None,
        geo_match_keys: GeoMatchKeys = "all",
        external_id: ExternalIdMode = "hashed",
    ) -> None:
        """``country`` (ISO 3166 alpha-2) reads phones that carry no country code; ``site_url``
        turns the path of a page into its address; ``external_id`` says how the site's pixel sends
        that key, since Meta matches the same text only."""
        self._account = account
        self._client = client
        self._country = country
        self._site_url = site_url
        self._geo_match_keys: GeoMatchKeys = geo_match_keys
        self._external_id: ExternalIdMode = external_id
        self._url = f"{account.url}/{account.api_version}/{account.dataset_id}/events"
        self._tail = b"]" + orjson.dumps(_credentials(account)).replace(b"{", b",", 1)

    def prepare(self, event: FailedEvent) -> Prepared | Rejected:
        """The event as one element of ``data``."""
        conversion = read_conversion(event, self._site_url)
        if isinstance(conversion, Rejected):
            return conversion
        keys, dropped = person_keys(
            event,
            conversion.fields,
            "meta",
            self._country,
            self._geo_match_keys,
            external_id=self._external_id,
        )
        user_data = {**keys, **_platform_ids(conversion.fields)}
        stated = _stated_source(conversion.fields)
        options = _options(conversion.fields)
        problem = (
            _too_old(conversion, stated, event.now)
            or _too_little_information(user_data)
            or _unclear_privacy(conversion.fields, options)
            or _incomplete(conversion, stated, user_data, options)
        )
        if problem:
            return problem
        action_source = stated or (
            "website" if "client_user_agent" in user_data else "system_generated"
        )
        body = orjson.dumps(_server_event(conversion, action_source, user_data, options))
        return Prepared(event, body, dropped)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One POST of the batch."""
        content = b'{"data":[' + b",".join([member.body for member in batch]) + self._tail
        answer = await post(
            self._client, self._url, content=content, headers={"content-type": "application/json"}
        )
        verdict = classify(answer, now, secrets=(self._account.access_token,))
        return Reply(verdict, answer.duration_ms, cool_down_seconds(answer.headers))


def _credentials(account: MetaAccount) -> dict[str, str]:
    """The request's other fields: the token and, with an app secret, the proof that we know it
    (https://developers.facebook.com/docs/graph-api/guides/secure-requests)."""
    fields = {"access_token": account.access_token}
    proof = appsecret_proof(account)
    if proof:
        fields["appsecret_proof"] = proof
    if account.test_event_code:
        fields["test_event_code"] = account.test_event_code
    return fields


def appsecret_proof(account: MetaAccount) -> str | None:
    """What shows Meta that the sender of the token knows the app's secret; None without one."""
    if not account.app_secret:
        return None
    return hmac.new(
        account.app_secret.encode(), account.access_token.encode(), hashlib.sha256
    ).hexdigest()


def _platform_ids(fields: Mapping[str, Any]) -> dict[str, str | int]:
    user_data = fields.get("user_data")
    if not isinstance(user_data, dict) or user_data.keys().isdisjoint(_ALL_PLATFORM_IDS):
        return {}
    found: dict[str, str | int] = {}
    for key in _PLATFORM_IDS:
        value = text(user_data.get(key))
        # An e-mail or a phone is no id of Meta's, whatever its field is called.
        if value and value == sanitize(value):
            found[key] = value
    for key in _NUMERIC_PLATFORM_IDS:
        value = text(user_data.get(key))
        if value and re.fullmatch("[0-9]{1,18}", value):
            found[key] = int(value)
    return found


def _stated_source(fields: Mapping[str, Any]) -> str | None:
    """The ``action_source`` that the payload names, if Meta knows it."""
    source = (text(first(fields, ("action_source", "actionSource"))) or "").lower()
    return source if source in ACTION_SOURCES else None


def _too_old(conversion: Conversion, stated: str | None, now: datetime) -> Rejected | None:
    limit = MAX_AGE_PHYSICAL_STORE if stated == "physical_store" else MAX_AGE
    if now - conversion.event_time > limit - _AGE_MARGIN:
        return Rejected(
            "expired", reject(f"the event is older than the {limit.days} days Meta accepts").fault
        )
    return None


def _too_little_information(user_data: Mapping[str, Any]) -> Rejected | None:
    # One key that stands in no combination is enough, and nearly every event has one.
    if not user_data.keys() <= _IN_A_COMBINATION:
        return None
    present = set(user_data)
    if not present:
        return reject("missing user_data: no usable customer information")
    if any(present <= combination for combination in TOO_LITTLE_INFORMATION):
        return reject(f"too little customer information: only {', '.join(sorted(present))}")
    return None


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have their type: exactly, for a JSON boolean is no number."""
    values = first_of_each(fields, _OPTIONS)
    for name in _PRIVACY_NUMBERS:
        if name in values:
            values[name] = _whole_number(values[name])
    return {name: value for name, value in values.items() if type(value) is _OPTIONS[name]}


def _whole_number(value: Any) -> Any:
    """The number that a text such as "1000" says, as forms and CSV files have it."""
    written = isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value)
    return int(value) if written else value


def _unclear_privacy(fields: Mapping[str, Any], options: Mapping[str, Any]) -> Rejected | None:
    for name in first_of_each(fields, _PRIVACY_OPTIONS):
        if name not in options:
            return reject(f"invalid {name}")
    return None


def _incomplete(
    conversion: Conversion,
    stated: str | None,
    user_data: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Rejected | None:
    """The first field that Meta requires of this kind of event and that the payload lacks.

    A source that we chose requires nothing: our choice must not cost the event.
    """
    required: dict[str, Any] = {}
    if conversion.event_name == "Purchase":
        required["custom_data.value"] = conversion.value
        required["custom_data.currency"] = conversion.currency
    if stated == "website":
        required["user_data.client_user_agent"] = user_data.get("client_user_agent")
        required["event_source_url"] = conversion.page_url
    elif stated == "business_messaging":
        required["messaging_channel"] = options.get("messaging_channel")
    elif stated == "app":
        app_data = options.get("app_data", {})
        required |= {f"app_data.{name}": app_data.get(name) for name in _APP_DATA}
    for name, value in required.items():
        if value is None:
            return reject(f"missing {name}")
    return None


def _server_event(
    conversion: Conversion,
    action_source: str,
    user_data: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_name": conversion.event_name,
        "event_time": int(conversion.event_time.timestamp()),
        "event_id": conversion.event_id,
        "action_source": action_source,
        "user_data": user_data,
    }
    if conversion.page_url:
        event["event_source_url"] = conversion.page_url
    if conversion.referrer_url:
        event["referrer_url"] = conversion.referrer_url
    custom = _custom_data(conversion)
    if custom:
        event["custom_data"] = custom
    for key, value in options.items():
        event[key] = sanitize(value)
    return event


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    """Meta's own ``custom_data``, completed with what stands elsewhere, without personal data."""
    collected: dict[str, Any] = {}
    for key, value in first_of_each(conversion.fields, _CUSTOM).items():
        # A flat payload's "status" may be the site's own; Meta's is text or a boolean.
        if isinstance(value, (str, int, float, list)):
            collected[key] = value
    given = conversion.fields.get("custom_data")
    if isinstance(given, dict):
        collected |= {key: value for key, value in given.items() if value is not None}
    custom = impersonal_fields(collected)
    if "predicted_ltv" in custom and number(custom["predicted_ltv"]) is None:
        del custom["predicted_ltv"]
    for key, value in (
        ("value", conversion.value),
        ("currency", conversion.currency),
        ("order_id", conversion.order_id),
    ):
        if value is not None:
            custom[key] = value
        else:
            custom.pop(key, None)
    return custom
