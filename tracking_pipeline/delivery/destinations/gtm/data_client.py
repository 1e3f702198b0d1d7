"""Events as the Data Client takes them: ``POST <container>/data``, a JSON object or a list of them.

https://github.com/stape-io/data-client/blob/main/data-client-protocol.md
https://developers.google.com/tag-platform/tag-manager/server-side/common-event-data

The person's data goes to the site's own container as the site has it: in the clear where the
payload or the lead has it so, because each tag in the container hashes in its platform's own way;
under the ``sha256_`` names where only a hash is left.

The client gives all events of a list the first one's client id, so a list is of one visitor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tracking_pipeline.delivery.destinations.gtm.visitor import Visitor
from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.events.consent import Said
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.names import Kind
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import impersonal_fields, text
from tracking_pipeline.identity import sanitize

PATH = "/data"
ONE_EVENT = Limits(request_events=1, request_bytes=1_000_000, in_flight=128)
MANY_EVENTS = Limits(request_events=50, request_bytes=1_000_000, in_flight=64)

# The client would take these where an address or an agent that can be used is missing.
_ALIASES = frozenset(("ip", "ipOverride", "userAgent"))
_USER_DATA = (("em", "email_address"), ("ph", "phone_number"))
_NAMES = (("fn", "first_name"), ("ln", "last_name"))
_PLACES = (("ct", "city"), ("st", "region"), ("zp", "postal_code"), ("country", "country"))


def prepare(event: FailedEvent, conversion: Conversion, visitor: Visitor) -> Prepared:
    """The event as one JSON object, with the payload's own fields beside the known ones."""
    known: dict[str, Any] = {
        "event_name": conversion.event_name,
        "event_id": conversion.event_id,
        "client_id": visitor.client_id,
        "user_id": visitor.user_id,
        # In seconds. The client says "now" where it is missing.
        "timestamp": int(conversion.event_time.timestamp()),
        "ip_override": visitor.ip_address,
        "user_agent": visitor.user_agent,
        "page_location": conversion.page_url,
        "page_referrer": conversion.referrer_url,
        "value": conversion.value,
        "currency": conversion.currency,
        "transaction_id": conversion.order_id,
        "user_data": _user_data(visitor),
        "common_cookie": _cookies(conversion, visitor),
        "consent_state": _consent_state(conversion),
    }
    if conversion.reading.value("session_id") is None:
        known["session_id"] = visitor.session_id
    said = {name: value for name, value in known.items() if value is not None and value != {}}
    own = impersonal_fields(
        {
            name: value
            for name, value in conversion.reading.loose().items()
            if name not in known and name not in _ALIASES
        }
    )
    body = orjson.dumps({**own, **said})
    return Prepared(event, body, visitor.dropped, shared=orjson.dumps(visitor.client_id))


def content(batch: Sequence[Prepared]) -> bytes:
    """The request's body. One event is no list, so that it needs no option of the container."""
    if len(batch) == 1:
        return batch[0].body
    return b"[" + b",".join([member.body for member in batch]) + b"]"


def _user_data(visitor: Visitor) -> dict[str, Any]:
    keys, plain = visitor.keys, visitor.plain
    user_data: dict[str, Any] = _plain_or_hashed(_USER_DATA, keys, plain)
    address = _plain_or_hashed(_NAMES, keys, plain)
    address |= {name: keys[key] for key, name in _PLACES if key in keys}
    if visitor.street:
        address["street"] = visitor.street
    if address:
        user_data["address"] = address
    return user_data


def _plain_or_hashed(
    names: Sequence[tuple[str, str]], keys: Mapping[str, str], plain: Mapping[str, str]
) -> dict[str, str]:
    found = {}
    for key, name in names:
        if key in keys:
            hashed = keys[key]
            known = plain.get(hashed)
            found[name if known else f"sha256_{name}"] = known or hashed
    return found


def _cookies(conversion: Conversion, visitor: Visitor) -> dict[str, str]:
    """The advertising cookies that the payload has, with Meta's in their proper form."""
    reading = conversion.reading
    cookies: dict[str, str] = {}
    at = reading.asked_of_names(_common_cookie)
    if at is not None:
        cookies = {
            name: value
            for name, raw in reading.tree.mappings[at].items()
            if (value := text(raw)) and value == sanitize(value)
        }
    for name, own in (("_fbp", visitor.fbp), ("_fbc", visitor.fbc)):
        cookies.pop(name, None)
        if own:
            cookies[name] = own
    return cookies


def _common_cookie(reading: Reading) -> int | None:
    """In which mapping the event's ``common_cookie`` stands, None without one."""
    places = [
        node.index for node in reading.part(Kind.AROUND) if node.place.plain == "commoncookie"
    ]
    return places[-1] if places else None


def _consent_state(conversion: Conversion) -> dict[str, Any] | None:
    """What the site said, in its own words where they are an object, else by Google's purposes: the
    container's tags judge by it."""
    for name, found in conversion.reading.consents:
        if name.plain in ("consentstate", "consent") and isinstance(found.value, dict):
            return impersonal_fields(found.value)
    said = {
        purpose.value: statement.said in (Said.GRANTED, Said.AGREED)
        for purpose, statement in conversion.consent.items()
    }
    return said or None
