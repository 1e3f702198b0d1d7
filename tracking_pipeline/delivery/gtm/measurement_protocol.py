"""Events as Google's Measurement Protocol has them: ``POST <container>/mp/collect``.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference
https://developers.google.com/analytics/devguides/collection/ga4/uid-data (user_data, hashed)

Any request is answered with 2xx, whatever it holds, and what breaks a limit is dropped in silence.
So the limits are kept here: an event that breaks one is rejected; a parameter that does is left out
and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from tracking_pipeline.delivery.conversion import Conversion, first, impersonal_fields
from tracking_pipeline.delivery.destination import Limits
from tracking_pipeline.delivery.events import FailedEvent, Prepared
from tracking_pipeline.delivery.gtm.visitor import Visitor
from tracking_pipeline.delivery.outcomes import Fault, Rejected, reject
from tracking_pipeline.identity.field_names import Identifier, meaning_of

PATH = "/mp/collect"
MAX_BYTES = 130_000
# The rest is for what a request says around its events.
LIMITS = Limits(request_events=25, request_bytes=MAX_BYTES - 200, in_flight=64)

# An older event would be taken and moved to 72 hours ago.
MAX_AGE = timedelta(hours=72)
_AGE_MARGIN = timedelta(minutes=1)

MAX_PARAMETERS = 25
_NAME = re.compile(r"[^\W\d_]\w{0,39}")
_RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")
# "Reserved names" of the reference above, and of support.google.com/analytics/answer/13316687.
_RESERVED_EVENTS = (
    "ad_activeview ad_click ad_exposure ad_query ad_reward adunit_exposure app_background "
    "app_clear_data app_exception app_install app_remove app_store_refund app_update app_upgrade "
    "dynamic_link_app_open dynamic_link_app_update dynamic_link_first_open error first_open "
    "first_visit in_app_purchase notification_dismiss notification_foreground notification_open "
    "notification_receive os_update session_start user_engagement"
)
_RESERVED_EVENT_NAMES = frozenset(_RESERVED_EVENTS.split())
# https://support.google.com/analytics/answer/9267744
_LONGEST_VALUE = 100
_LONGEST_VALUES = {"page_location": 1000, "page_referrer": 420, "page_title": 300}

# Where a payload keeps what it says about the event itself.
_PLACES = ("custom_data", "properties", "metadata")
# Said under the protocol's own names, or nothing that a report is made of.
_SAID_ELSEWHERE = (
    "event_name eventName event eventId eventID unique_event_id event_time eventTime "
    "event_timestamp timestamp client_id clientId data_client_id order_id orderId transactionId "
    "event_source_url eventSourceUrl referrer_url action_source consent consent_state"
)
_SAID_ELSEWHERE_NAMES = frozenset(_SAID_ELSEWHERE.split())
_CONSENTS = ("ad_user_data", "ad_personalization")
_GRANTED = (True, "granted", "GRANTED", "CONSENT_GRANTED")
_DENIED = (False, "denied", "DENIED", "CONSENT_DENIED")


def prepare(event: FailedEvent, conversion: Conversion, visitor: Visitor) -> Prepared | Rejected:
    """The event as one element of ``events``, with the visitor apart, whom a request names once."""
    if event.now - conversion.event_time > MAX_AGE - _AGE_MARGIN:
        return Rejected("expired", Fault("the event is older than the 72 hours Google accepts"))
    name = conversion.event_name
    if not _NAME.fullmatch(name):
        return reject("event_name must be a letter and up to 39 letters, digits or underscores")
    if name in _RESERVED_EVENT_NAMES or name.startswith(_RESERVED_PREFIXES):
        return reject("event_name is one that Google reserves")
    parameters, dropped = _parameters(conversion, visitor)
    body = orjson.dumps(
        {
            "name": name,
            "timestamp_micros": int(conversion.event_time.timestamp() * 1_000_000),
            "params": parameters,
        }
    )
    shared = orjson.dumps(_shared(conversion, visitor))
    if len(shared) + len(body) > LIMITS.request_bytes:
        return reject("the event is larger than the 130 kB the Measurement Protocol accepts")
    return Prepared(event, body, (*visitor.dropped, *dropped), shared)


def content(batch: Sequence[Prepared]) -> bytes:
    """The request's body: the visitor, then the events, each at its own time.

    The first one's time stands for the request as well, for a container that knows no other.
    """
    at: int = orjson.loads(batch[0].body)["timestamp_micros"]
    events = b",".join([member.body for member in batch])
    return b'%b,"timestamp_micros":%d,"events":[%b]}' % (batch[0].shared[:-1], at, events)


def _shared(conversion: Conversion, visitor: Visitor) -> dict[str, Any]:
    said = {
        "client_id": visitor.client_id,
        "user_id": visitor.user_id,
        "ip_override": visitor.ip_address,
        "user_agent": visitor.user_agent,
        "user_data": _user_data(visitor.keys),
        "consent": _consent(conversion.fields),
    }
    return {name: value for name, value in said.items() if value}


def _user_data(keys: Mapping[str, str]) -> dict[str, Any]:
    user_data: dict[str, Any] = {
        name: [keys[key]]
        for key, name in (("em", "sha256_email_address"), ("ph", "sha256_phone_number"))
        if key in keys
    }
    address = {
        name: keys[key]
        for key, name in (
            ("fn", "sha256_first_name"),
            ("ln", "sha256_last_name"),
            ("ct", "city"),
            ("st", "region"),
            ("zp", "postal_code"),
            ("country", "country"),
        )
        if key in keys
    }
    if address:
        user_data["address"] = [address]
    return user_data


def _consent(fields: Mapping[str, Any]) -> dict[str, str]:
    """What the person said, where it is clear: what nobody said is never called granted."""
    given = first(fields, ("consent_state", "consent"))
    consent = {}
    for name in _CONSENTS:
        value = given.get(name) if isinstance(given, dict) else None
        if isinstance(value, (bool, str)) and value in _GRANTED + _DENIED:
            consent[name] = "GRANTED" if value in _GRANTED else "DENIED"
    return consent


def _parameters(
    conversion: Conversion, visitor: Visitor
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The parameters within the limits, those that matter most first, and what was left out."""
    parameters: dict[str, Any] = {}
    dropped: list[tuple[str, str]] = []
    for name, value in _candidates(conversion, visitor):
        if value is None or name in parameters:
            continue
        problem = _problem(name, value)
        if problem is None and len(parameters) >= MAX_PARAMETERS:
            problem = "more than 25"
        if problem is None:
            parameters[name] = value
        else:
            # Not under its name: that is the site's own, and there may be any number of them.
            dropped.append(("parameter", problem))
    return parameters, dropped


def _candidates(conversion: Conversion, visitor: Visitor) -> Iterator[tuple[str, Any]]:
    """What the event says of itself, then the numbers and texts of the payload, without what
    identifies the visitor."""
    known = {
        "value": conversion.value,
        "currency": conversion.currency,
        "transaction_id": conversion.order_id,
        "event_id": conversion.event_id,
        "page_location": conversion.page_url,
        "page_referrer": conversion.referrer_url,
        "fbp": visitor.fbp,
        "fbc": visitor.fbc,
    }
    yield from known.items()
    fields = impersonal_fields(conversion.fields)
    for place in (fields, *(fields.get(name) for name in _PLACES)):
        if isinstance(place, dict):
            yield from (
                (name, value)
                for name, value in place.items()
                if name not in known and _is_parameter(name, value)
            )


def _is_parameter(name: str, value: Any) -> bool:
    if name in _SAID_ELSEWHERE_NAMES or isinstance(meaning_of(name), Identifier):
        return False
    # The only parameter that is a list, which a report reads.
    return isinstance(value, list) if name == "items" else not isinstance(value, (dict, list))


def _problem(name: str, value: Any) -> str | None:
    if not _NAME.fullmatch(name) or name.startswith(_RESERVED_PREFIXES):
        return "name not allowed"
    if isinstance(value, str) and len(value) > _LONGEST_VALUES.get(name, _LONGEST_VALUE):
        return "value too long"
    return None
