"""What Google's Data Manager API refuses in an event, and what must never be in one.

Written from Google's pages, not from this project's own sender, so that the two can disagree:
https://developers.google.com/data-manager/api/reference/rest/v1/events/ingest and
https://developers.google.com/data-manager/api/devguides/concepts/formatting

Pure: no clock, no connection.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import Any

import orjson

MAX_EVENTS = 2000
MAX_USER_IDENTIFIERS = 10
MAX_DESTINATIONS = 10
# Google names no figure; a click stays attributable for 90 days at most.
MAX_AGE_SECONDS = 90 * 86400
MAX_AHEAD_SECONDS = 60

EVENT_SOURCES = frozenset({"WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"})
CONSENTS = frozenset({"CONSENT_STATUS_UNSPECIFIED", "CONSENT_GRANTED", "CONSENT_DENIED"})
AD_IDENTIFIERS = frozenset(
    {
        "gclid", "gbraid", "wbraid", "dclid", "sessionAttributes", "landingPageDeviceInfo",
        "mobileDeviceId", "impressionId", "matchId", "encryptedUserIds", "ppid", "visitorPpid",
    }
)  # fmt: skip
DEVICE_FIELDS: dict[str, type] = {
    "userAgent": str,
    "ipAddress": str,
    "category": str,
    "languageCode": str,
    "screenHeight": int,
    "screenWidth": int,
    "operatingSystem": str,
    "operatingSystemVersion": str,
    "model": str,
    "brand": str,
    "browser": str,
    "browserVersion": str,
}
CART_FIELDS = frozenset(
    {
        "merchantId", "merchantFeedLabel", "merchantFeedLanguageCode", "transactionDiscount",
        "items", "couponCodes",
    }
)  # fmt: skip
ITEM_FIELDS = frozenset(
    {
        "merchantProductId", "quantity", "unitPrice", "itemId", "additionalItemParameters",
        "merchantId", "merchantFeedLabel", "merchantFeedLanguageCode", "conversionValue",
        "customVariables",
    }
)  # fmt: skip
# Google names no limit; this is what its own script writes at most.
MAX_SESSION_ATTRIBUTES = 4000
EVENT_FIELDS = frozenset(
    {
        "destinationReferences",
        "transactionId",
        "eventTimestamp",
        "lastUpdatedTimestamp",
        "userData",
        "consent",
        "adIdentifiers",
        "currency",
        "conversionValue",
        "eventSource",
        "eventDeviceInfo",
        "cartData",
        "customVariables",
        "experimentalFields",
        "userProperties",
    }
)
_ADDRESS_FIELDS = frozenset({"givenName", "familyName", "regionCode", "postalCode"})
_HASHED_ADDRESS_FIELDS = frozenset({"givenName", "familyName"})

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_EMAIL = re.compile(r"[^\s@]{1,64}(?:@|%40)[^\s@]{1,255}\.[a-zA-Z]{2,}")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_CURRENCY = re.compile(r"[A-Z]{3}")
_REGION = re.compile(r"[A-Z]{2}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_MERCHANT = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class FieldViolation:
    """One field that is wrong, under its path within the event, and Google's reason."""

    field: str
    reason: str


def violations(event: object, now: float, references: Sequence[str]) -> list[FieldViolation]:
    """What Google would refuse in this event at `now` (Unix seconds); empty if it would take it.

    `references` are the names of the request's destinations.
    """
    if not isinstance(event, dict):
        return [FieldViolation("", "INVALID_FORMAT")]
    return [
        *(FieldViolation(name, "INVALID_FORMAT") for name in sorted(event.keys() - EVENT_FIELDS)),
        *_wrong_references(event, references),
        *_wrong_id(event),
        *_wrong_time(event.get("eventTimestamp"), now),
        *_wrong_source(event),
        *_wrong_money(event),
        *_wrong_consent(event.get("consent", {})),
        *_wrong_identifiers(event),
        *_wrong_device(event.get("eventDeviceInfo", {}), "eventDeviceInfo"),
        *_wrong_cart(event.get("cartData", {})),
    ]


def raw_personal_data(event: Mapping[str, Any]) -> Iterator[str]:
    """The places in an event that hold personal data in the clear. Never the values."""
    for place, value in _hashed_places(event):
        if isinstance(value, str) and not _HASH.fullmatch(value):
            yield place
    for place, value in _texts(event, ""):
        if ("@" in value or "%40" in value) and _EMAIL.search(value):
            yield place


def transaction_id(event: object) -> str:
    """The id under which Google knows a conversion; empty for one without a usable id."""
    found = event.get("transactionId") if isinstance(event, dict) else None
    return found if isinstance(found, str) else ""


def _wrong_references(
    event: Mapping[str, Any], references: Sequence[str]
) -> Iterator[FieldViolation]:
    named = event.get("destinationReferences", [])
    if not isinstance(named, list) or any(each not in references for each in named):
        yield FieldViolation("destinationReferences", "INVALID_DESTINATION_REFERENCE")


def _wrong_id(event: Mapping[str, Any]) -> Iterator[FieldViolation]:
    if "transactionId" in event and not transaction_id(event):
        yield FieldViolation("transactionId", "INVALID_FORMAT")
    if event.get("eventSource") == "WEB" and "transactionId" not in event:
        yield FieldViolation("transactionId", "REQUIRED_FIELD_MISSING")


def _wrong_time(value: object, now: float) -> Iterator[FieldViolation]:
    if value is None:
        yield FieldViolation("eventTimestamp", "REQUIRED_FIELD_MISSING")
        return
    moment = _moment(value)
    if moment is None or not -MAX_AHEAD_SECONDS <= now - moment <= MAX_AGE_SECONDS:
        yield FieldViolation("eventTimestamp", "EVENT_TIME_INVALID")


def _moment(value: object) -> float | None:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        # Python 3.10 reads neither "Z" nor nanoseconds.
        whole, zone = value[:19], value[19:].lstrip(".0123456789")
        moment = datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(timezone.utc).timestamp()


def _wrong_source(event: Mapping[str, Any]) -> Iterator[FieldViolation]:
    if event.get("eventSource") not in EVENT_SOURCES:
        missing = "eventSource" not in event
        yield FieldViolation(
            "eventSource", "REQUIRED_FIELD_MISSING" if missing else "INVALID_FORMAT"
        )


def _wrong_money(event: Mapping[str, Any]) -> Iterator[FieldViolation]:
    if not _is_number(event.get("conversionValue", 0)):
        yield FieldViolation("conversionValue", "INVALID_FORMAT")
    currency = event.get("currency", "USD")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        yield FieldViolation("currency", "INVALID_CURRENCY_CODE")


def _wrong_consent(consent: object) -> Iterator[FieldViolation]:
    if not isinstance(consent, dict) or consent.keys() - {"adUserData", "adPersonalization"}:
        yield FieldViolation("consent", "INVALID_FORMAT")
        return
    for name in sorted(consent):
        if consent[name] not in CONSENTS:
            yield FieldViolation(f"consent.{name}", "INVALID_FORMAT")


def _wrong_identifiers(event: Mapping[str, Any]) -> Iterator[FieldViolation]:
    clicks = event.get("adIdentifiers", {})
    if not isinstance(clicks, dict) or clicks.keys() - AD_IDENTIFIERS:
        yield FieldViolation("adIdentifiers", "INVALID_FORMAT")
        return
    for name in sorted(clicks.keys() & {"gclid", "gbraid", "wbraid", "dclid"}):
        if not isinstance(clicks[name], str) or not clicks[name]:
            yield FieldViolation(f"adIdentifiers.{name}", "INVALID_FORMAT")
    yield from _wrong_session_attributes(clicks.get("sessionAttributes"))
    place = "adIdentifiers.landingPageDeviceInfo"
    yield from _wrong_device(clicks.get("landingPageDeviceInfo", {}), place)
    # "gbraid" comes from a click that led to an app, "wbraid" from one that led to a website.
    if {"gbraid", "wbraid"} <= clicks.keys():
        yield FieldViolation("adIdentifiers.wbraid", "INVALID_AD_IDENTIFIERS")
    user_data = event.get("userData", {})
    identifiers = user_data.get("userIdentifiers") if isinstance(user_data, dict) else user_data
    if "userData" in event and (not isinstance(identifiers, list) or not identifiers):
        yield FieldViolation("userData.userIdentifiers", "REQUIRED_FIELD_MISSING")
        return
    if not clicks and not identifiers:
        yield FieldViolation("", "NO_IDENTIFIERS_PROVIDED")
    if identifiers:
        yield from _wrong_user_identifiers(identifiers)


def _wrong_session_attributes(value: object) -> Iterator[FieldViolation]:
    """They are the base64 of a JSON object, as Google's script for websites writes it:
    https://support.google.com/google-ads/answer/16194756"""
    if value is None:
        return
    if isinstance(value, str) and 0 < len(value) <= MAX_SESSION_ATTRIBUTES:
        padded = value.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            raw = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
            if isinstance(orjson.loads(raw), dict):
                return
        except ValueError:
            pass
    yield FieldViolation("adIdentifiers.sessionAttributes", "INVALID_FORMAT")


def _wrong_device(device: object, place: str) -> Iterator[FieldViolation]:
    if not isinstance(device, dict):
        yield FieldViolation(place, "INVALID_FORMAT")
        return
    for name in sorted(device):
        wanted = DEVICE_FIELDS.get(name)
        if wanted is None or type(device[name]) is not wanted or device[name] == "":
            yield FieldViolation(f"{place}.{name}", "INVALID_FORMAT")
    if isinstance(address := device.get("ipAddress"), str) and not _is_address(address):
        yield FieldViolation(f"{place}.ipAddress", "INVALID_FORMAT")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _wrong_cart(cart: object) -> Iterator[FieldViolation]:
    """https://developers.google.com/data-manager/api/reference/rest/v1/events/ingest#cartdata"""
    items = cart.get("items", []) if isinstance(cart, dict) else None
    if not isinstance(cart, dict) or cart.keys() - CART_FIELDS or not isinstance(items, list):
        yield FieldViolation("cartData", "INVALID_FORMAT")
        return
    if not _matches(_MERCHANT, cart.get("merchantId", "1")):
        yield FieldViolation("cartData.merchantId", "INVALID_MERCHANT_ID")
    if not _matches(_LANGUAGE, cart.get("merchantFeedLanguageCode", "en")):
        place = "cartData.merchantFeedLanguageCode"
        yield FieldViolation(place, "INVALID_MERCHANT_FEED_LANGUAGE_CODE")
    label = cart.get("merchantFeedLabel", "US")
    if not isinstance(label, str) or not label:
        yield FieldViolation("cartData.merchantFeedLabel", "INVALID_FORMAT")
    if not _is_number(cart.get("transactionDiscount", 0)):
        yield FieldViolation("cartData.transactionDiscount", "INVALID_FORMAT")
    for position, item in enumerate(items):
        yield from _wrong_item(item, f"cartData.items[{position}]")


def _wrong_item(item: object, place: str) -> Iterator[FieldViolation]:
    if not isinstance(item, dict) or item.keys() - ITEM_FIELDS:
        yield FieldViolation(place, "INVALID_FORMAT")
        return
    identity = item.get("merchantProductId")
    if not isinstance(identity, str) or not identity:
        yield FieldViolation(f"{place}.merchantProductId", "REQUIRED_FIELD_MISSING")
    quantity = item.get("quantity", 1)
    # An int64, which JSON may also write as a text.
    if isinstance(quantity, bool) or not re.fullmatch(r"\d{1,19}", str(quantity)):
        yield FieldViolation(f"{place}.quantity", "INVALID_FORMAT")
    if not _is_number(item.get("unitPrice", 0)):
        yield FieldViolation(f"{place}.unitPrice", "INVALID_FORMAT")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _wrong_user_identifiers(identifiers: list[object]) -> Iterator[FieldViolation]:
    if len(identifiers) > MAX_USER_IDENTIFIERS:
        yield FieldViolation("userData.userIdentifiers", "TOO_MANY_USER_IDENTIFIERS")
    for position, identifier in enumerate(identifiers):
        place = f"userData.userIdentifiers[{position}]"
        known = {"emailAddress", "phoneNumber", "address"}
        # A union: exactly one of the three.
        if not isinstance(identifier, dict) or len(identifier) != 1 or identifier.keys() - known:
            yield FieldViolation(place, "INVALID_FORMAT")
            continue
        [(name, value)] = identifier.items()
        if name == "address":
            yield from _wrong_address(value, f"{place}.address")
        elif not _is_hash(value):
            yield FieldViolation(f"{place}.{name}", "INVALID_SHA256_FORMAT")


def _wrong_address(address: object, place: str) -> Iterator[FieldViolation]:
    if not isinstance(address, dict):
        yield FieldViolation(place, "INVALID_FORMAT")
        return
    for name in sorted(_ADDRESS_FIELDS - address.keys()):
        yield FieldViolation(f"{place}.{name}", "REQUIRED_FIELD_MISSING")
    for name in sorted(_HASHED_ADDRESS_FIELDS & address.keys()):
        if not _is_hash(address[name]):
            yield FieldViolation(f"{place}.{name}", "INVALID_SHA256_FORMAT")
    region, postal_code = address.get("regionCode"), address.get("postalCode")
    if region is not None and not (isinstance(region, str) and _REGION.fullmatch(region)):
        yield FieldViolation(f"{place}.regionCode", "INVALID_REGION_CODE")
    if postal_code is not None and (not isinstance(postal_code, str) or _is_hash(postal_code)):
        yield FieldViolation(f"{place}.postalCode", "INVALID_POSTAL_CODE")


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _hashed_places(event: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    user_data = event.get("userData")
    identifiers = user_data.get("userIdentifiers") if isinstance(user_data, dict) else None
    for identifier in identifiers if isinstance(identifiers, list) else ():
        if not isinstance(identifier, dict):
            continue
        for name in ("emailAddress", "phoneNumber"):
            if name in identifier:
                yield f"userData.{name}", identifier[name]
        address = identifier.get("address")
        if isinstance(address, dict):
            for name in sorted(_HASHED_ADDRESS_FIELDS & address.keys()):
                yield f"userData.address.{name}", address[name]


def _texts(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Every text in an event but those that are judged as hashes."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("emailAddress", "phoneNumber", *_HASHED_ADDRESS_FIELDS):
                yield from _texts(inner, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, place)
