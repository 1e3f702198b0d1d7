"""Meta's Conversions API: events in Meta's form, up to 1,000 a request, and what its answers mean.

https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api
https://developers.facebook.com/docs/marketing-api/conversions-api/parameters

One invalid event fails its whole request, so what can be known to be invalid is rejected here,
before a request. The access token goes in the body, never in a URL, which proxies and logs keep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.meta.account import MetaAccount, credentials
from tracking_pipeline.delivery.destinations.meta.answers import CODES, classify, cool_down_seconds
from tracking_pipeline.delivery.destinations.meta.check import check_meta
from tracking_pipeline.delivery.destinations.registry import (
    ADVERTISING_NEEDS,
    META_MAX_AGE,
    DestinationName,
)
from tracking_pipeline.delivery.engine.destination import Limits, Reply
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, Rejected, reject
from tracking_pipeline.delivery.engine.readiness import past_age_limit, ready_conversion
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.consent import Purpose
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.money import Money, read_amount
from tracking_pipeline.events.names import Kind
from tracking_pipeline.events.person import GeoMatchKeys, person_keys
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy, reading_policy
from tracking_pipeline.events.privacy import UnreadableOptionError, read_privacy_options
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import id_text
from tracking_pipeline.http_client import DeliveryClient, post
from tracking_pipeline.identity import ExternalIdMode, sanitize
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool

# An event this old is refused, and with it its whole request.
MAX_AGE_PHYSICAL_STORE = timedelta(days=62)

_AGE_LIMIT, _AGE_LIMIT_IN_STORE = (
    (limit, f"the {limit.days} days Meta accepts")
    for limit in (META_MAX_AGE, MAX_AGE_PHYSICAL_STORE)
)

# Meta refuses an event whose customer information is one of these or a part of one.
TOO_LITTLE_INFORMATION = (
    frozenset(("ct", "country", "st", "zp", "ge", "client_user_agent")),
    frozenset(("db", "client_user_agent")),
    frozenset(("fn", "ge")),
    frozenset(("ln", "ge")),
)
_IN_A_COMBINATION = frozenset().union(*TOO_LITTLE_INFORMATION)

# Of the identifiers that only Meta knows, these are whole numbers. A site's own lead_id (a uuid,
# say) is not Meta's and would be refused.
_NUMERIC_PLATFORM_IDS = frozenset(("fb_login_id", "lead_id"))
# What lead forms write before a lead's number.
_LEAD_PREFIX = "l:"
# Parts of Meta's own form that are kept, where they have the right type.
_KEPT: dict[str, type] = {
    "app_data": dict,
    "advanced_measurement_table": str,
    "messaging_channel": str,
    "original_event_data": dict,
    "attribution_data": dict,
    "customer_segmentation": dict,
}
_APP_DATA = ("advertiser_tracking_enabled", "extinfo")
# What the event says of itself elsewhere.
_SAID_ELSEWHERE = frozenset(("value", "currency", "order_id"))


class MetaCapi:
    """The destination ``meta_capi``."""

    name: DestinationName = "meta_capi"
    codes = CODES
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
        policy: ReadingPolicy = DEFAULT_POLICY,
    ) -> None:
        """``country`` (ISO 3166 alpha-2) reads phones that carry no country code; ``site_url``
        turns the path of a page into its address; ``external_id`` says how the site's pixel sends
        that key, since Meta matches the same text only; ``policy`` how payloads are read."""
        self._policy = policy
        self._account = account
        self._client = client
        self._country = country
        self._site_url = site_url
        self._geo_match_keys: GeoMatchKeys = geo_match_keys
        self._external_id: ExternalIdMode = external_id
        self._url = f"{account.url}/{account.api_version}/{account.dataset_id}/events"
        self._tail = b"]" + orjson.dumps(credentials(account)).replace(b"{", b",", 1)

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> MetaCapi:
        """The dataset that the settings name."""
        account = MetaAccount.configured(settings)
        assert account is not None  # noqa: S101  what is missing was seen before
        return cls(
            account,
            client,
            country=settings.default_country,
            site_url=settings.site_url,
            geo_match_keys=settings.geo_match_keys,
            external_id=settings.external_id,
            policy=reading_policy(settings),
        )

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event as one element of ``data``."""
        conversion = ready_conversion(
            event, ADVERTISING_NEEDS, site_url=self._site_url, policy=self._policy
        )
        if not isinstance(conversion, Conversion):
            return conversion
        reading = conversion.reading
        keys, dropped = person_keys(
            reading,
            "meta",
            self._country,
            self._geo_match_keys,
            event_time=conversion.event_time,
            external_id=self._external_id,
        )
        user_data: dict[str, Any] = keys
        if reading.platform_ids:
            user_data = {**keys, **_platform_ids(reading)}
        try:
            options = _options(conversion, self._policy)
        except UnreadableOptionError as error:
            return reject(str(error), Failure.EVENT_FIELD_UNREADABLE)
        problem = (
            _too_old(conversion, event.now)
            or _too_little_information(user_data)
            or _incomplete(conversion, user_data, options)
        )
        if problem:
            return problem
        action_source = conversion.action_source or (
            "website" if "client_user_agent" in user_data else "system_generated"
        )
        if action_source == "website":
            dropped += _missing_of_website(conversion, user_data)
        body = orjson.dumps(_server_event(conversion, action_source, user_data, options))
        return Prepared(event, body, tuple(dropped))

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One POST of the batch."""
        content = b'{"data":[' + b",".join([member.body for member in batch]) + self._tail
        answer = await post(
            self._client, self._url, content=content, headers={"content-type": "application/json"}
        )
        secrets = (self._account.access_token,)
        verdict = classify(answer, now, events=len(batch), secrets=secrets)
        return Reply(verdict, answer.duration_ms, cool_down_seconds(answer.headers))

    async def check(self, now: datetime) -> DestinationCheck:
        """Asks whether the token and the dataset are right, and how long they last."""
        return await check_meta(self._account, self._client, now)


def _platform_ids(reading: Reading) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for name, place in reading.platform_ids.items():
        value = id_text(place.value)
        if value is None:
            continue
        if name in _NUMERIC_PLATFORM_IDS:
            number = value.removeprefix(_LEAD_PREFIX)
            if re.fullmatch("[0-9]{1,18}", number):
                found[name] = int(number)
        # An e-mail or a phone is no id of Meta's, whatever its field is called.
        elif value == sanitize(value):
            found[name] = value
    return found


def _too_old(conversion: Conversion, now: datetime) -> NotSent | None:
    in_store = conversion.action_source == "physical_store"
    limit, words = _AGE_LIMIT_IN_STORE if in_store else _AGE_LIMIT
    return past_age_limit(conversion, now, limit, words)


def _too_little_information(user_data: Mapping[str, Any]) -> Rejected | None:
    # One key that stands in no combination is enough, and nearly every event has one.
    if not user_data.keys() <= _IN_A_COMBINATION:
        return None
    present = set(user_data)
    if not present:
        return reject(
            "missing user_data: no usable customer information", Failure.EVENT_UNIDENTIFIED
        )
    if any(present <= combination for combination in TOO_LITTLE_INFORMATION):
        return reject(
            f"too little customer information: only {', '.join(sorted(present))}",
            Failure.EVENT_UNIDENTIFIED,
        )
    return None


def _options(conversion: Conversion, policy: ReadingPolicy) -> dict[str, Any]:
    """How the data may be used, and the parts of Meta's form that have their type: exactly, for a
    JSON boolean is no number. Raises :class:`UnreadableOptionError`."""
    reading = conversion.reading
    options = read_privacy_options(reading) if reading.privacy else {}
    for name, found in reading.options.items():
        value = found.value
        if isinstance(value, str) and _KEPT[name] is dict:
            value = _object(value)
        if type(value) is _KEPT[name]:
            options[name] = value
    if reading.consents:
        if conversion.choices().get(Purpose.AD_PERSONALIZATION) is False:
            # Meta's way of saying so: for attribution only.
            options["opt_out"] = True
        if policy.privacy_control == "limited" and reading.has_privacy_control():
            options.setdefault("data_processing_options", ["LDU"])
            options.setdefault("data_processing_options_country", 0)
            options.setdefault("data_processing_options_state", 0)
    if "app_data" in options and "advertiser_tracking_enabled" not in options["app_data"]:
        beside = reading.loose().get("advertiser_tracking_enabled")
        if beside is not None:
            options["app_data"] = {**options["app_data"], "advertiser_tracking_enabled": beside}
    return options


def _object(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _incomplete(
    conversion: Conversion, user_data: Mapping[str, Any], options: Mapping[str, Any]
) -> Rejected | None:
    """The first field that Meta requires of this kind of event and that the payload lacks."""
    required: dict[str, Any] = {}
    stated = conversion.action_source
    if conversion.event_name == "Purchase":
        required["custom_data.value"] = conversion.value
        required["custom_data.currency"] = conversion.currency
    if stated == "business_messaging":
        required["messaging_channel"] = options.get("messaging_channel")
        if options.get("messaging_channel") == "whatsapp":
            name = "whatsapp_business_account_id"
            required[f"user_data.{name}"] = user_data.get(name)
    elif stated == "app":
        app_data = options.get("app_data", {})
        required |= {f"app_data.{name}": app_data.get(name) for name in _APP_DATA}
    for name, value in required.items():
        if value is None:
            return reject(f"missing {name}", Failure.EVENT_FIELD_MISSING)
    return None


def _missing_of_website(
    conversion: Conversion, user_data: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """What Meta's page asks of an event of a website and this one lacks. It is sent all the same:
    a refusal costs one search, a dead letter the event (decision 0004)."""
    missing = []
    if "client_user_agent" not in user_data:
        missing.append(("client_user_agent", "missing"))
    if conversion.page_url is None:
        missing.append(("event_source_url", "missing"))
    return missing


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


def _own_custom_data(reading: Reading) -> list[tuple[int, dict[str, str]]]:
    """In which mappings Meta's ``custom_data`` stands, each with Meta's name for its fields."""
    return [
        (node.index, dict(node.shape.customs))
        for node in reading.part(Kind.PRODUCT)
        if node.place.plain == "customdata"
    ]


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    """Meta's own ``custom_data``, completed with what stands elsewhere, without personal data."""
    reading = conversion.reading
    custom: dict[str, Any] = {}
    said = [spot for name in _SAID_ELSEWHERE if (spot := reading.spots.get(name)) is not None]
    for index, known in reading.asked_of_names(_own_custom_data):
        read = {name for at, name, _ in said if at == index}
        custom |= {
            known.get(key, key): value
            for key, value in reading.tree.mappings[index].items()
            if value is not None and isinstance(key, str) and key not in read
        }
    for name, found in reading.customs.items():
        # A flat payload's "status" may be the site's own; Meta's is text or a boolean.
        if name not in custom and isinstance(found.value, (str, int, float, list)):
            custom[name] = found.value
    if custom:
        cleaned = sanitize({"custom_data": custom})
        custom = cleaned.get("custom_data", {}) if isinstance(cleaned, dict) else {}
        custom.pop("name", None)
    if "predicted_ltv" in custom and not isinstance(read_amount(custom["predicted_ltv"]), Money):
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
