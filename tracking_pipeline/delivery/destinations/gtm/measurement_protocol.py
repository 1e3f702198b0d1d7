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
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.gtm.visitor import Visitor
from tracking_pipeline.delivery.destinations.registry import MEASUREMENT_PROTOCOL_MAX_AGE
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, reject
from tracking_pipeline.delivery.engine.readiness import is_limited, past_age_limit
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.consent_names import statement_named
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.money import Money, read_amount
from tracking_pipeline.events.names import Kind, meaning_of, plain_name
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import impersonal_fields

PATH = "/mp/collect"
MAX_BYTES = 130_000
# The rest is for what a request says around its events.
LIMITS = Limits(request_events=25, request_bytes=MAX_BYTES - 200, in_flight=64)

# An older event would be taken and moved to 72 hours ago.

MAX_PARAMETERS = 25
PARAMETER = "parameter"
"""What is left out goes by this name."""
PARAMETERS_LEFT_OUT = "parameters_left_out"
"""The kind of warning of an event that went out without some of them."""
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

# Said under the protocol's own names, or nothing that a report is made of.
_SAID_ELSEWHERE = frozenset(
    "event_name event_id event_time client_id user_id session_id ga_cookie order_id "
    "page_url referrer_url action_source value currency custom_event opt_out "
    "data_processing_options data_processing_options_country "
    "data_processing_options_state".split()
)


def prepare(
    event: FailedEvent, conversion: Conversion, visitor: Visitor, policy: ReadingPolicy
) -> Prepared | NotSent:
    """The event as one element of ``events``, with the visitor apart, whom a request names once."""
    problem = past_age_limit(
        conversion, event.now, MEASUREMENT_PROTOCOL_MAX_AGE, "the 72 hours Google accepts"
    )
    if problem:
        return problem
    name = conversion.event_name
    if not _NAME.fullmatch(name):
        return reject(
            "event_name must be a letter and up to 39 letters, digits or underscores",
            Failure.EVENT_NAME_REFUSED,
        )
    if name in _RESERVED_EVENT_NAMES or name.startswith(_RESERVED_PREFIXES):
        return reject("event_name is one that Google reserves", Failure.EVENT_NAME_REFUSED)
    parameters, dropped = _parameters(conversion, visitor)
    body = orjson.dumps(
        {
            "name": name,
            "timestamp_micros": int(conversion.event_time.timestamp() * 1_000_000),
            "params": parameters,
        }
    )
    shared = orjson.dumps(_shared(conversion, visitor, policy))
    if len(shared) + len(body) > LIMITS.request_bytes:
        return reject(
            "the event is larger than the 130 kB the Measurement Protocol accepts",
            Failure.EVENT_TOO_LARGE,
        )
    return Prepared(event, body, (*visitor.dropped, *dropped), shared)


def content(batch: Sequence[Prepared]) -> bytes:
    """The request's body: the visitor, then the events, each at its own time.

    The first one's time stands for the request as well, for a container that knows no other.
    """
    at: int = orjson.loads(batch[0].body)["timestamp_micros"]
    events = b",".join([member.body for member in batch])
    return b'%b,"timestamp_micros":%d,"events":[%b]}' % (batch[0].shared[:-1], at, events)


def _shared(conversion: Conversion, visitor: Visitor, policy: ReadingPolicy) -> dict[str, Any]:
    said = {
        "client_id": visitor.client_id,
        "user_id": visitor.user_id,
        "ip_override": visitor.ip_address,
        "user_agent": visitor.user_agent,
        "user_data": _user_data(visitor.keys),
        "consent": _consent(conversion, policy),
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


def _consent(conversion: Conversion, policy: ReadingPolicy) -> dict[str, str]:
    """What the person said, where it is clear: what nobody said is never called granted."""
    limited = is_limited(conversion.reading, policy)
    return {
        purpose.value: "GRANTED" if granted else "DENIED"
        for purpose, granted in conversion.choices(limited=limited).items()
    }


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
            dropped.append((PARAMETER, problem))
    for node in conversion.reading.part(Kind.PERSON):
        # Who a visitor is to the site stays on the site.
        if node.place.plain == "userproperties" and node.mapping:
            dropped.append(("user_properties", "not sent"))
    return parameters, dropped


def _candidates(conversion: Conversion, visitor: Visitor) -> Iterator[tuple[str, Any]]:
    """What the event says of itself, then the numbers and texts of the payload, without what
    identifies the visitor."""
    reading = conversion.reading
    parts = _parts(reading)
    known = {
        "value": conversion.value,
        "currency": conversion.currency,
        "transaction_id": conversion.order_id,
        "event_id": conversion.event_id,
        "page_location": conversion.page_url,
        "page_referrer": conversion.referrer_url,
        "session_id": visitor.session_id,
        # Realtime shows no event without it.
        "engagement_time_msec": _engagement(parts),
        "fbp": visitor.fbp,
        "fbc": visitor.fbc,
    }
    yield from known.items()
    for kind, fields in parts:
        for name, value in fields.items():
            if name not in known and _is_parameter(name, value, kind):
                yield name, value


def _parts(reading: Reading) -> list[tuple[Kind, dict[str, Any]]]:
    """The payload's own fields, those of the event itself first."""
    if reading.tree.event is None:
        return []
    return [
        (Kind.ENVELOPE, impersonal_fields(reading.loose())),
        *(
            (node.place.kind, impersonal_fields(node.mapping))
            for node in reading.part(Kind.PRODUCT, Kind.PROPERTIES, Kind.AROUND)
            if node.place.kind is not Kind.AROUND or node.place.plain in ("metadata", "meta")
        ),
    ]


def _engagement(parts: Sequence[tuple[Kind, Mapping[str, Any]]]) -> int:
    """The milliseconds that the site states, else one."""
    for _, fields in parts:
        stated = read_amount(fields.get("engagement_time_msec"))
        if isinstance(stated, Money) and stated.amount > 0:
            return int(stated.amount)
    return 1


def _is_parameter(name: str, value: Any, kind: Kind) -> bool:
    meaning = meaning_of(name)
    if meaning.identifier is not None and kind is not Kind.PRODUCT:
        return False
    if meaning.field is not None and meaning.field.name in _SAID_ELSEWHERE:
        return False
    if statement_named(plain_name(name)) is not None:
        return False
    # The only parameter that is a list, which a report reads.
    return isinstance(value, list) if name == "items" else not isinstance(value, (dict, list))


def _problem(name: str, value: Any) -> str | None:
    if not _NAME.fullmatch(name) or name.startswith(_RESERVED_PREFIXES):
        return "name not allowed"
    if isinstance(value, str) and len(value) > _LONGEST_VALUES.get(name, _LONGEST_VALUE):
        return "value too long"
    return None
