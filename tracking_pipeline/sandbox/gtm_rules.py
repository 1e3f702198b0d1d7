"""What is wrong with what a server container receives, though it takes it without a word.

Written from the protocols' pages, not from this project's own sender, so that the two can disagree:
https://github.com/stape-io/data-client/blob/main/data-client-protocol.md,
https://developers.google.com/analytics/devguides/collection/protocol/ga4/sending-events and
https://developers.google.com/analytics/devguides/collection/ga4/uid-data

Pure: no clock, no connection. What is told never holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

MAX_EVENTS = 25
MAX_PARAMETERS = 25
MAX_NAME_LENGTH = 40
MAX_VALUE_LENGTH = 100
MAX_BODY_BYTES = 130_000
MAX_AGE_SECONDS = 72 * 3600
# Longer values are allowed for these: support.google.com/analytics/answer/9267744.
LONGER_VALUES = {"page_location": 1000, "page_referrer": 420, "page_title": 300}
RESERVED_PREFIXES = ("_", "firebase_", "ga_", "google_", "gtag.")

_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[^\W\d_]\w*")
# A product and its version, as every browser's agent begins.
_AGENT = re.compile(r"[A-Za-z]+/\d")
_IP_NAMES = ("client_ip_address", "clientIp", "ip_address", "ip", "ipAddress")
_AGENT_NAMES = ("client_user_agent", "clientUserAgent", "userAgent")
_HASHED = (
    "sha256_email_address",
    "sha256_phone_number",
    "sha256_first_name",
    "sha256_last_name",
)


def data_client_problems(event: Mapping[str, Any]) -> Iterator[str]:
    """What the Data Client would fill in from the request, or read wrongly, in one event."""
    if not isinstance(event.get("event_name"), str) or not event["event_name"]:
        yield "no event_name"
    if not event.get("client_id"):
        yield "no client_id: each try makes a new visitor"
    if not isinstance(event.get("timestamp"), int) or event["timestamp"] > 100_000_000_000:
        yield "no timestamp in seconds: the event happens at its retry"
    if not event.get("ip_override") and any(map(_is_public, _found(event, _IP_NAMES))):
        yield "no ip_override: the visitor has the worker's address"
    if not event.get("user_agent") and any(map(_is_agent, _found(event, _AGENT_NAMES))):
        yield "no user_agent: the visitor has the worker's agent"
    user_data = event.get("user_data")
    if isinstance(user_data, dict):
        address = user_data.get("address")
        for place in (user_data, address if isinstance(address, dict) else {}):
            yield from _wrongly_marked(place)


def measurement_protocol_problems(
    payload: Mapping[str, Any], body_bytes: int, now: float
) -> Iterator[str]:
    """What Google would drop in silence of a request received at `now` (Unix seconds)."""
    if body_bytes >= MAX_BODY_BYTES:
        yield "a body of 130 kB or more"
    if not isinstance(payload.get("client_id"), str) or not payload["client_id"]:
        yield "no client_id"
    events = payload.get("events")
    if not isinstance(events, list) or not events:
        yield "no events"
        return
    if len(events) > MAX_EVENTS:
        yield "more than 25 events"
    user_data = payload.get("user_data")
    if isinstance(user_data, dict):
        yield from _unhashed(user_data)
    for event in events:
        yield from _event_problems(event, payload.get("timestamp_micros"), now)


def _event_problems(event: object, request_micros: object, now: float) -> Iterator[str]:
    if not isinstance(event, dict) or not _is_name(event.get("name")):
        yield "an event without a name that is allowed"
        return
    micros = event.get("timestamp_micros", request_micros)
    if not isinstance(micros, int) or not 1e15 < micros < 1e16:
        yield "no timestamp_micros: the event happens at its retry"
    elif now - micros / 1e6 > MAX_AGE_SECONDS:
        yield "an event of more than 72 hours ago"
    parameters = event.get("params", {})
    if len(parameters) > MAX_PARAMETERS:
        yield "more than 25 parameters"
    for name, value in parameters.items():
        if not _is_name(name):
            yield "a parameter's name that is not allowed"
        if isinstance(value, str) and len(value) > LONGER_VALUES.get(name, MAX_VALUE_LENGTH):
            yield "a parameter's value that is too long"


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME_LENGTH
        and _NAME.fullmatch(name) is not None
        and not name.startswith(RESERVED_PREFIXES)
    )


def _found(event: Mapping[str, Any], names: tuple[str, ...]) -> list[object]:
    places = [event, event.get("user_data"), event.get("metadata")]
    return [place.get(name) for place in places if isinstance(place, dict) for name in names]


def _is_public(address: object) -> bool:
    try:
        return isinstance(address, str) and ip_address(address).is_global
    except ValueError:
        return False


def _is_agent(agent: object) -> bool:
    return isinstance(agent, str) and _AGENT.match(agent) is not None


def _wrongly_marked(place: Mapping[str, Any]) -> Iterator[str]:
    for name, value in place.items():
        is_hash = isinstance(value, str) and _HASH.fullmatch(value) is not None
        if name in _HASHED and not is_hash:
            yield f"{name} is no hash"
        if name not in _HASHED and is_hash:
            yield f"{name} is a hash"


def _unhashed(user_data: Mapping[str, Any]) -> Iterator[str]:
    addresses = user_data.get("address", [])
    for place in (user_data, *(addresses if isinstance(addresses, list) else [addresses])):
        for name, value in place.items():
            values = value if isinstance(value, list) else [value]
            if name in _HASHED and not all(_HASH.fullmatch(str(one)) for one in values):
                yield f"{name} is no hash"
            if name in ("email_address", "phone_number", "first_name", "last_name", "street"):
                yield f"{name} is not hashed"
