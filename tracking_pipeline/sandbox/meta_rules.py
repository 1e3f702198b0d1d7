"""What Meta's Conversions API refuses in an event, and what must never be in one.

Written from Meta's pages, not from this project's own sender, so that the two can disagree:
https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event and
https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters

Pure: no clock, no connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_EVENTS = 1000
MAX_AGE_SECONDS = 7 * 86400
MAX_AGE_PHYSICAL_STORE_SECONDS = 62 * 86400
MAX_AHEAD_SECONDS = 60

ACTION_SOURCES = frozenset(
    {
        "website",
        "email",
        "app",
        "phone_call",
        "chat",
        "physical_store",
        "system_generated",
        "business_messaging",
        "other",
    }
)
HASHED_KEYS = frozenset({"em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"})
PLAIN_KEYS = frozenset({"client_ip_address", "client_user_agent", "fbc", "fbp"})
# Names under which senders carry what belongs hashed under a key of Meta's.
RAW_NAMES = frozenset(
    {"email", "phone", "name", "first_name", "last_name", "city", "state", "zip", "address"}
)
# An event with no more than one of these sets is refused: too many people share them.
TOO_BROAD = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)

# A SHA-256 hash, with the suffix that Meta's parameter builder may add.
_HASH = re.compile(r"[0-9a-fA-F]{64}(?:\.[A-Za-z0-9_-]{8}|\.[A-Za-z0-9_-]{2})?")
_EMAIL = re.compile(r"[^\s@/?&=](?:@|%40)[^\s@/?&=]{1,255}\.[a-zA-Z]{2,}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")


@dataclass(frozen=True)
class MetaRefusal:
    """Why an event is refused, in the words of Meta's error body."""

    title: str
    message: str
    subcode: int | None = None
    code: int = 100


def refusal(event: object, now: float) -> MetaRefusal | None:
    """Why Meta would refuse this event at `now` (Unix seconds); `None` if it would take it."""
    if not isinstance(event, dict):
        return MetaRefusal("Invalid parameter", "An event is an object.")
    return (
        _missing_field(event)
        or _wrong_time(event, now)
        or _wrong_source(event)
        or _wrong_user_data(event["user_data"])
        or _wrong_purchase(event)
    )


def raw_personal_data(event: Mapping[str, Any]) -> Iterator[str]:
    """The places in an event that hold personal data in the clear. Never the values."""
    for name in sorted(RAW_NAMES & event.keys()):
        yield name
    user_data = event.get("user_data")
    if isinstance(user_data, dict):
        yield from (f"user_data.{name}" for name in sorted(RAW_NAMES & user_data.keys()))
        for key in sorted((HASHED_KEYS | {"external_id"}) & user_data.keys()):
            if any(_is_raw(key, value) for value in _values(user_data[key])):
                yield f"user_data.{key}"
    custom_data = event.get("custom_data")
    if isinstance(custom_data, dict):
        yield from (f"custom_data.{name}" for name in sorted(RAW_NAMES & custom_data.keys()))
        for name, value in custom_data.items():
            if _holds_email(value):
                yield f"custom_data.{name}"
    if _holds_email(event.get("event_source_url")):
        yield "event_source_url"


def hashed_plain_keys(event: Mapping[str, Any]) -> Iterator[str]:
    """The keys that Meta wants in the clear and that the event carries hashed."""
    user_data = event.get("user_data")
    if isinstance(user_data, dict):
        for key in sorted(PLAIN_KEYS & user_data.keys()):
            if isinstance(user_data[key], str) and _HASH.fullmatch(user_data[key]):
                yield key


def _is_raw(key: str, value: object) -> bool:
    if not isinstance(value, str) or _HASH.fullmatch(value):
        return False
    # Meta recommends a hash for external_id but takes any stable id; an address it must not be.
    return _holds_email(value) if key == "external_id" else bool(value)


def _holds_email(value: object) -> bool:
    # The cheap look comes first: almost no text has the sign, and the pattern is slow without it.
    return (
        isinstance(value, str) and ("@" in value or "%40" in value) and bool(_EMAIL.search(value))
    )


def _values(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _missing_field(event: Mapping[str, Any]) -> MetaRefusal | None:
    if not isinstance(event.get("event_name"), str) or not event["event_name"].strip():
        return MetaRefusal("Missing event name", "Each event needs an event_name.")
    if event.get("event_time") is None:
        return MetaRefusal("Missing event time", "Each event needs an event_time.")
    if not isinstance(event.get("user_data"), dict) or not event["user_data"]:
        return MetaRefusal(
            "Missing user data", "Each event needs user_data with at least one parameter.", 2804050
        )
    if event.get("action_source") not in ACTION_SOURCES:
        return MetaRefusal("Invalid action source", "Each event needs a known action_source.")
    if "event_id" in event and (not isinstance(event["event_id"], str) or not event["event_id"]):
        return MetaRefusal("Invalid event ID", "event_id must be a string.")
    return None


def _wrong_time(event: Mapping[str, Any], now: float) -> MetaRefusal | None:
    event_time = event["event_time"]
    if isinstance(event_time, str) and event_time.isdigit():
        event_time = int(event_time)
    if isinstance(event_time, bool) or not isinstance(event_time, int):
        return MetaRefusal("Invalid event time", "event_time is a Unix timestamp in seconds.")
    in_store = event["action_source"] == "physical_store"
    age_limit = MAX_AGE_PHYSICAL_STORE_SECONDS if in_store else MAX_AGE_SECONDS
    if now - event_time > age_limit:
        return MetaRefusal(
            "Event Timestamp Too Old",
            f"The timestamp for this event is more than {age_limit // 86400} days in the past.",
            2804003,
        )
    if event_time - now > MAX_AHEAD_SECONDS:
        return MetaRefusal("Invalid event time", "The timestamp for this event is in the future.")
    return None


def _wrong_source(event: Mapping[str, Any]) -> MetaRefusal | None:
    source = event["action_source"]
    if source == "website":
        # Meta's page asks for event_source_url as well; nothing says that the API refuses an event
        # without one, and senders may not know it.
        if not event["user_data"].get("client_user_agent"):
            return MetaRefusal("Missing user agent", "Website events need client_user_agent.")
    elif source == "app":
        app_data = event.get("app_data")
        needed = {"advertiser_tracking_enabled", "extinfo"}
        if not isinstance(app_data, dict) or not needed <= app_data.keys():
            return MetaRefusal("Missing app data", "App events need app_data with extinfo.")
    elif source == "business_messaging" and not event.get("messaging_channel"):
        return MetaRefusal("Missing channel", "Messaging events need messaging_channel.")
    return None


def _wrong_user_data(user_data: Mapping[str, Any]) -> MetaRefusal | None:
    keys = user_data.keys()
    if any(keys <= broad for broad in TOO_BROAD):
        return MetaRefusal(
            "Insufficient customer information parameters",
            "The customer information of this event matches too many people.",
            2804050,
        )
    for key in keys & RAW_NAMES:
        return MetaRefusal("Invalid parameter", f"{key} is no customer information parameter.")
    for key in keys & HASHED_KEYS:
        values = _values(user_data[key])
        if not values or not all(isinstance(v, str) and _HASH.fullmatch(v) for v in values):
            return MetaRefusal("Invalid parameter", f"{key} must be hashed with SHA-256.")
    return None


def _wrong_purchase(event: Mapping[str, Any]) -> MetaRefusal | None:
    if event["event_name"] != "Purchase":
        return None
    custom_data = event.get("custom_data")
    wanted = custom_data if isinstance(custom_data, dict) else {}
    value, currency = wanted.get("value"), wanted.get("currency")
    has_value = isinstance(value, (int, float)) and not isinstance(value, bool)
    if has_value and isinstance(currency, str) and _CURRENCY.fullmatch(currency):
        return None
    return MetaRefusal(
        "Missing value or currency", "A Purchase event needs a value and a currency.", 2804009
    )
