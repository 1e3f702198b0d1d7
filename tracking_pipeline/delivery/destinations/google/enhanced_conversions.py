"""Google's Data Manager API: events in Google's form, up to 2,000 a request.

https://developers.google.com/data-manager/api/reference/rest/v1/events/ingest
https://developers.google.com/data-manager/api/devguides/events

One invalid event fails its whole request, so what can be known to be invalid is rejected here,
before a request. A 200 means accepted, not used: the request's id is kept with its events, and
``google/outcomes.py`` asks later what became of them. The token goes in a header, never in a URL.

``transactionId`` is what Google knows a conversion by: the order, else the event's own id, behind
the site's prefix where it has one. It is the same in every try, so a conversion that arrives twice
is counted once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import orjson
import psycopg

from tracking_pipeline.delivery.destinations.google.answers import CODES, classify, request_id
from tracking_pipeline.delivery.destinations.google.check import (
    DATA_MANAGER_URL,
    made_up_event,
    read_validation,
    tokeninfo_url,
    with_token_end,
)
from tracking_pipeline.delivery.destinations.google.credentials import (
    AccessToken,
    Credentials,
    CredentialsError,
    credentials_of,
)
from tracking_pipeline.delivery.destinations.http_answers import DEFAULT_THROTTLE_SECONDS
from tracking_pipeline.delivery.destinations.registry import ADVERTISING_NEEDS, DestinationName
from tracking_pipeline.delivery.engine.destination import LaterAnswers, Limits, Reply
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck, judged
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Fault,
    NotSent,
    Paused,
    Throttled,
    Uniform,
    reject,
)
from tracking_pipeline.delivery.engine.readiness import is_limited, past_age_limit, ready_conversion
from tracking_pipeline.delivery.engine.share import Share
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.cart import Cart, read_cart
from tracking_pipeline.events.consent import Purpose
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.encodings import decoded_base64
from tracking_pipeline.events.person import GeoMatchKeys, person_keys, punctuated_names
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy, reading_policy
from tracking_pipeline.events.texts import identifier_text, text
from tracking_pipeline.http_client import Answer, DeliveryClient, post
from tracking_pipeline.identity import sanitize
from tracking_pipeline.identity.phone import REMOVED
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.google_requests import keep_google_request

# Google publishes no number of days; this is the age up to which it takes adjustments.
MAX_AGE = timedelta(days=54)

MOST_USER_IDENTIFIERS = 10
# The most exact first.
_CLICK_IDS = ("gclid", "gbraid", "wbraid")
_CLICK_ID = re.compile(r"[A-Za-z0-9_\-.]{1,512}")
LONGEST_SESSION_ATTRIBUTES = 4_000
_OF_AN_ADDRESS = {
    "fn": "givenName",
    "ln": "familyName",
    "country": "regionCode",
    "zp": "postalCode",
}
# The European Union, Iceland, Liechtenstein and Norway; the United Kingdom; Switzerland.
_WITHOUT_ADDRESSES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK "
    "IS LI NO GB CH".split()
)

EVENT_SOURCES = {
    "website": "WEB",
    "app": "APP",
    "physical_store": "IN_STORE",
    "phone_call": "PHONE",
    "chat": "MESSAGE",
    "business_messaging": "MESSAGE",
    "email": "MESSAGE",
    "system_generated": "OTHER",
    "other": "OTHER",
}

_CONSENTS = {
    Purpose.AD_USER_DATA: "adUserData",
    Purpose.AD_PERSONALIZATION: "adPersonalization",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GoogleAccount:
    """Where events go. Ids may be written with dashes; ``login_account_id`` is the manager account
    through which the credentials have access, if they have not themselves;
    ``transaction_id_prefix`` stands before each ``transactionId``, in the site's tag as well, or
    a conversion of both is counted twice; ``url`` has no trailing slash."""

    account_id: str
    conversion_action_id: str
    login_account_id: str | None = None
    transaction_id_prefix: str = ""
    url: str = DATA_MANAGER_URL


class GoogleEc:
    """The destination ``google_ec``."""

    name: DestinationName = "google_ec"
    codes = CODES
    limits = Limits(request_events=2_000, request_bytes=4_000_000, in_flight=4)

    def __init__(
        self,
        account: GoogleAccount,
        credentials: Credentials,
        client: DeliveryClient,
        pool: AsyncPool,
        *,
        country: str = "US",
        site_url: str | None = None,
        geo_match_keys: GeoMatchKeys = "all",
        max_age: timedelta = MAX_AGE,
        policy: ReadingPolicy = DEFAULT_POLICY,
    ) -> None:
        """``country`` (ISO 3166 alpha-2) reads phones that carry no country code; ``pool`` is where
        accepted requests are kept; an event older than ``max_age`` is not sent."""
        self.client = client
        self.url = account.url
        self._credentials = credentials
        self._pool = pool
        self._country = country
        self._site_url = site_url
        self._geo_match_keys: GeoMatchKeys = geo_match_keys
        self._max_age = max_age
        self._age_words = f"the {max_age.days} days Google is sent"
        self._prefix = account.transaction_id_prefix
        self._policy = policy
        self._head = _request_head(account, policy)
        self._check_head = _request_head(account, policy, validate_only=True)

    @classmethod
    def configured(cls, settings: Settings, client: DeliveryClient, pool: AsyncPool) -> GoogleEc:
        """The conversion action that the settings name."""
        account, action = settings.google_ads_account_id, settings.google_conversion_action_id
        assert account and action  # noqa: S101, PT018  what is missing was seen before
        return cls(
            GoogleAccount(
                account_id=account,
                conversion_action_id=action,
                login_account_id=settings.google_ads_login_account_id,
                transaction_id_prefix=settings.google_transaction_id_prefix or "",
                url=settings.google_data_manager_url,
            ),
            credentials_of(settings),
            client,
            pool,
            country=settings.default_country,
            site_url=settings.site_url,
            geo_match_keys=settings.geo_match_keys,
            max_age=timedelta(days=settings.google_max_age_days),
            policy=reading_policy(settings),
        )

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event as one element of ``events``."""
        conversion = ready_conversion(
            event, ADVERTISING_NEEDS, site_url=self._site_url, policy=self._policy
        )
        if not isinstance(conversion, Conversion):
            return conversion
        problem = past_age_limit(conversion, event.now, self._max_age, self._age_words)
        if problem:
            return problem
        keys, dropped = person_keys(
            conversion.reading,
            "google",
            self._country,
            self._geo_match_keys,
            event_time=conversion.event_time,
        )
        names = punctuated_names(conversion.reading, keys, self._geo_match_keys)
        identifiers = user_identifiers(keys, names)
        click = _ad_identifiers(conversion)
        if not identifiers and not click:
            return reject(
                "no identifiers: neither a click id nor usable customer information",
                Failure.EVENT_UNIDENTIFIED,
            )
        body = _event(conversion, event, self._prefix, "client_user_agent" in keys)
        cart = read_cart(conversion.reading, conversion.currency)
        for name, value in (
            ("consent", google_consent(conversion, self._policy)),
            ("adIdentifiers", click),
            ("userData", {"userIdentifiers": identifiers} if identifiers else None),
            ("eventDeviceInfo", device_info(keys)),
            ("cartData", cart_data(cart)),
        ):
            if value:
                body[name] = value
        dropped += [("cart", f"unreadable {name}") for name in cart.unreadable]
        return Prepared(event, orjson.dumps(body), tuple(dropped))

    async def read_later_answers(
        self, pool: AsyncPool, share: Share, *, run_id: str | None
    ) -> LaterAnswers:
        """Asks Google what became of the events it accepted; see ``outcomes``."""
        from tracking_pipeline.delivery.destinations.google.outcomes import (  # noqa: PLC0415
            read_google_outcomes,
        )

        return await read_google_outcomes(pool, self, share=share, run_id=run_id)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One POST of the batch; another one where a renewed token may cure a 401."""
        content = self._head + b",".join([member.body for member in batch]) + b"]}"
        url = f"{self.url}/v1/events:ingest"

        async def ingest(headers: Mapping[str, str]) -> Answer:
            return await post(self.client, url, content=content, headers=headers)

        try:
            answer, secrets = await self.authorised(ingest)
        except CredentialsError as error:
            return Reply(Uniform(without_token(error)), 0)
        accepted = request_id(answer)
        if accepted:
            await self._keep(accepted, batch)
        verdict = classify(
            answer, now, events=len(batch), secrets=secrets, id_at=lambda at: _id_of(batch[at])
        )
        return Reply(verdict, answer.duration_ms)

    async def check(self, now: datetime) -> DestinationCheck:
        """Asks whether the token, the accounts and the conversion action are right."""
        content = self._check_head + made_up_event(now) + b"]}"
        url = f"{self.url}/v1/events:ingest"

        async def validate(headers: Mapping[str, str]) -> Answer:
            return await post(self.client, url, content=content, headers=headers)

        try:
            answer, secrets = await self.authorised(validate)
        except CredentialsError as error:
            return judged(Uniform(without_token(error)))
        found = read_validation(answer, now, secrets=secrets)
        if isinstance(self._credentials, AccessToken):
            token, url = self._credentials.token, tokeninfo_url(self.url)
            return await with_token_end(found, self.client, url, token, now)
        return found

    async def authorised(
        self, call: Callable[[Mapping[str, str]], Awaitable[Answer]]
    ) -> tuple[Answer, Sequence[str]]:
        """What a call with our credentials came to, and the secrets that it carried. A token that
        is refused is renewed once. Raises :class:`CredentialsError`."""
        headers = await self._credentials.headers()
        answer = await call({**headers, "content-type": "application/json"})
        if answer.status == 401:
            renewed = await self._credentials.headers(refused=headers)
            if renewed != headers:
                headers = renewed
                answer = await call({**headers, "content-type": "application/json"})
        return answer, [value.rpartition(" ")[2] for value in headers.values()]

    async def _keep(self, accepted: str, batch: Sequence[Prepared]) -> None:
        """Fails open: the events are delivered, and nobody will ask what became of them later."""
        members = {prepared.event.id: prepared.event.lease_token for prepared in batch}
        try:
            async with self._pool.connection() as connection:
                await keep_google_request(connection, accepted, members)
        except psycopg.Error as error:
            log.warning(
                "a request that Google accepted cannot be kept (SQLSTATE %s): "
                "what becomes of its %d events later will not be known",
                error.sqlstate or "none",
                len(batch),
            )


def without_token(error: CredentialsError) -> Throttled | Paused:
    """What it means for a request that there is no token: no event is to blame."""
    name = "credentials"
    if error.passing:
        fault = Fault(str(error), Failure.GOOGLE_TOKEN_SERVICE_UNREACHABLE, name)
        return Throttled(fault, DEFAULT_THROTTLE_SECONDS)
    return Paused(Fault(str(error), Failure.GOOGLE_CREDENTIALS_UNUSABLE, name))


def user_identifiers(
    keys: Mapping[str, Any], punctuated: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Match keys (named as Meta names them, hashed Google's way) as at most ten identifiers.

    An address is one only with all of its four parts; another one has the name with its signs,
    where there is one: Google's page takes them out and its formatter keeps them. Where there are
    too many, e-mails and phones take turns.
    """
    contacts: list[dict[str, Any]] = []
    for email, phone in zip_longest(_values(keys.get("em")), _values(keys.get("ph"))):
        if email:
            contacts.append({"emailAddress": email})
        if phone:
            contacts.append({"phoneNumber": phone})
    if not keys.keys() >= _OF_AN_ADDRESS.keys():
        return contacts[:MOST_USER_IDENTIFIERS]
    address = {name: keys[key] for key, name in _OF_AN_ADDRESS.items()}
    addresses = [{"address": address}]
    if punctuated:
        other = {_OF_AN_ADDRESS[key]: value for key, value in punctuated.items()}
        addresses.append({"address": {**address, **other}})
    return [*contacts[: MOST_USER_IDENTIFIERS - len(addresses)], *addresses]


def google_consent(
    conversion: Conversion, policy: ReadingPolicy = DEFAULT_POLICY
) -> dict[str, str]:
    """What the payload says of Google's two consents: granted or denied in so many words, or left
    out. Unknown is never granted."""
    reading = conversion.reading
    limited = is_limited(reading, policy)
    return {
        _CONSENTS[purpose]: "CONSENT_GRANTED" if granted else "CONSENT_DENIED"
        for purpose, granted in conversion.choices(limited=limited).items()
    }


def device_info(keys: Mapping[str, Any]) -> dict[str, str]:
    """The visitor's browser and address. Google Ads matches no addresses of people in the European
    Economic Area, the United Kingdom and Switzerland, and asks not to be sent them
    (``DeviceInfo.ip_address``): so none goes without a country that is surely another."""
    said: dict[str, str] = {}
    agent, country = keys.get("client_user_agent"), keys.get("country")
    if isinstance(agent, str) and _is_impersonal(agent):
        said["userAgent"] = agent
    address = keys.get("client_ip_address")
    if address and isinstance(country, str) and country not in _WITHOUT_ADDRESSES:
        said["ipAddress"] = address
    return said


@lru_cache(maxsize=2048)
def _is_impersonal(agent: str) -> bool:
    """Whether no personal data is in a user agent, which many people share: a robot's may hold its
    owner's e-mail address."""
    return agent == sanitize(agent)


def cart_data(cart: Cart) -> dict[str, Any] | None:
    """A cart in Google's form, None for one without items."""
    if not cart.items:
        return None
    said = {
        "merchantId": cart.merchant_id,
        "merchantFeedLabel": cart.feed_label,
        "merchantFeedLanguageCode": cart.feed_language,
        "transactionDiscount": cart.discount,
        "items": [
            _stated(merchantProductId=item.id, quantity=item.quantity, unitPrice=item.price)
            for item in cart.items
        ],
    }
    return _stated(**said)


def _stated(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _ad_identifiers(conversion: Conversion) -> dict[str, str]:
    """The click: ``gclid``, which may have ``gbraid`` beside it; else one of the other two, of
    which ``gbraid`` is an app's and ``wbraid`` a website's. Then what Google's own script on the
    page noted of the visit."""
    reading = conversion.reading
    found = {
        name: value
        for name in _CLICK_IDS
        if (value := text(reading.click(name))) and _CLICK_ID.fullmatch(value)
    }
    if "gclid" in found:
        found.pop("wbraid", None)
    elif len(found) > 1:
        del found["wbraid" if conversion.action_source == "app" else "gbraid"]
    attributes = text(reading.value("session_attributes"))
    if attributes and _are_session_attributes(attributes):
        found["sessionAttributes"] = attributes
    return found


def _are_session_attributes(attributes: str) -> bool:
    """Whether a text is what Google's script writes, the base64 of a JSON object, without personal
    data: the address of the landing page is in it.
    https://support.google.com/google-ads/answer/16194756"""
    if len(attributes) > LONGEST_SESSION_ATTRIBUTES:
        return False
    said = decoded_base64(attributes)
    return isinstance(said, dict) and sanitize(said) == said


def _event(
    conversion: Conversion, event: FailedEvent, prefix: str, has_user_agent: bool
) -> dict[str, Any]:
    stated = conversion.action_source or ""
    body: dict[str, Any] = {
        "destinationReferences": ["d1"],
        "transactionId": transaction_id(conversion, event, prefix),
        "eventTimestamp": _rfc3339(conversion.event_time),
        "eventSource": EVENT_SOURCES.get(stated) or ("WEB" if has_user_agent else "OTHER"),
    }
    if conversion.currency:
        body["currency"] = conversion.currency
    if conversion.value is not None:
        body["conversionValue"] = conversion.value
    return body


def transaction_id(conversion: Conversion, event: FailedEvent, prefix: str = "") -> str:
    """The order, else the event's own id, else the row's; with the prefix, unless it has it.

    Never a text that personal data was taken out of: all such orders would look the same, and
    Google would keep the first one only.
    """
    own = conversion.order_id
    if not own or REMOVED in own:
        own = identifier_text(conversion.event_id)
    if not own or REMOVED in own:
        return f"{prefix}{event.event_id}"
    return own if own.startswith(prefix) else prefix + own


def _id_of(prepared: Prepared) -> str:
    found: str = orjson.loads(prepared.body)["transactionId"]
    return found


def _rfc3339(moment: datetime) -> str:
    if moment.tzinfo is not timezone.utc:
        moment = moment.astimezone(timezone.utc)
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _values(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _request_head(
    account: GoogleAccount, policy: ReadingPolicy, *, validate_only: bool = False
) -> bytes:
    """The request up to its first event. Consent for all of them is stated where the site says that
    it has everybody's; an event's own statement goes before it."""
    destination: dict[str, Any] = {
        "reference": "d1",
        "operatingAccount": _ads_account(account.account_id),
        "productDestinationId": account.conversion_action_id,
    }
    if account.login_account_id:
        destination["loginAccount"] = _ads_account(account.login_account_id)
    head: dict[str, Any] = {
        "destinations": [destination],
        "encoding": "HEX",
        "validateOnly": validate_only,
    }
    if policy.consent_default == "granted":
        head["consent"] = dict.fromkeys(_CONSENTS.values(), "CONSENT_GRANTED")
    head["events"] = []
    return orjson.dumps(head)[: -len(b"]}")]


def _ads_account(account_id: str) -> dict[str, str]:
    return {"accountType": "GOOGLE_ADS", "accountId": account_id.replace("-", "")}
