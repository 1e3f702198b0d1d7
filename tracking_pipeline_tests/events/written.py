"""What generated payloads are written with, and what is read out of what a destination would send.

Destinations without network, the one purchase that every form tells, spellings of keys, and places
in which a statement or an option may stand. Envelopes and forms have files of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import httpx
import orjson
from psycopg_pool import AsyncConnectionPool

from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

AN_HOUR_AGO = int((NOW - timedelta(hours=1)).timestamp())
ISO_TIME = "2026-11-24T11:00:00Z"
EVENT_ID = "pixel-7f3a"
ORDER = "A-10024"
CLICK = "Cj0KCQiA-made-up_1"
PAGE = "https://shop.example/thanks?step=2"
EMAIL = "jane.roe@example.com"
PHONE = "+1 650 555 1212"
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
CLIENT_ID = "111.222"

AD_DESTINATIONS = ("meta_capi", "google_ec", "data_client", "measurement_protocol")
"""The destinations that need consent; ``gtm_server`` once for each of its protocols."""
DESTINATIONS = (*AD_DESTINATIONS, "ledger")

_CLIENT = httpx.AsyncClient()
# Never opened: to prepare is to decide, without I/O.
_POOL: AsyncConnectionPool[Any] = AsyncConnectionPool("", open=False)
_SITE = "https://shop.example"
_CONTAINER = "https://sgtm.shop.example"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=32)
def destination(name: str, policy: ReadingPolicy = DEFAULT_POLICY) -> Destination:
    """One of :data:`DESTINATIONS`, which reads payloads by this policy."""
    if name == "meta_capi":
        account = MetaAccount("1234567890", "token-of-a-test")
        return MetaCapi(account, _CLIENT, site_url=_SITE, policy=policy)
    if name == "google_ec":
        google = GoogleAccount("123-456-7890", "987654321")
        token = AccessToken("token-of-a-test")
        return GoogleEc(google, token, _CLIENT, _POOL, site_url=_SITE, policy=policy)
    if name == "data_client":
        return GtmServer(GtmContainer(_CONTAINER), _CLIENT, site_url=_SITE, policy=policy)
    if name == "measurement_protocol":
        container = GtmContainer(
            _CONTAINER, "measurement_protocol", measurement_id="G-TEST", api_secret="of-a-test"
        )
        return GtmServer(container, _CLIENT, site_url=_SITE, policy=policy)
    return Ledger(_POOL, policy=policy)


def prepare(
    name: str, payload: Any, policy: ReadingPolicy = DEFAULT_POLICY, **row: Any
) -> Prepared | NotSent:
    """What the destination says to a row with this payload."""
    return destination(name, policy).prepare(claimed(payload, **row))


def sent(
    name: str, payload: Any, policy: ReadingPolicy = DEFAULT_POLICY, **row: Any
) -> dict[str, Any]:
    """What goes out of this payload; for the Measurement Protocol what is said of the visitor
    stands under ``shared``."""
    prepared = prepare(name, payload, policy, **row)
    assert isinstance(prepared, Prepared), (name, prepared, payload)
    return body_of(prepared)


def body_of(prepared: Prepared) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(prepared.body)
    shared = orjson.loads(prepared.shared) if prepared.shared else None
    return {**body, "shared": shared} if isinstance(shared, dict) else body


def text_of(prepared: Prepared) -> str:
    """All of what goes out, as text, for what must not be in it."""
    return (prepared.body + b" " + prepared.shared).decode()


# -- what a destination was told, in one form for all ---------------------------------------------


def facts(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body of :func:`sent` says of the event: each field that this destination has, None
    where it was told nothing."""
    return _FACTS[name](body)


def _of_meta(body: Mapping[str, Any]) -> dict[str, Any]:
    custom, person = body.get("custom_data", {}), body["user_data"]
    return {
        "name": body["event_name"],
        "id": body["event_id"],
        "time": body["event_time"],
        "source": body["action_source"],
        "page": body.get("event_source_url"),
        "value": custom.get("value"),
        "currency": custom.get("currency"),
        "order": custom.get("order_id"),
        "emails": _all(person.get("em")),
        "phones": _all(person.get("ph")),
    }


def _of_google(body: Mapping[str, Any]) -> dict[str, Any]:
    identifiers = body.get("userData", {}).get("userIdentifiers", [])
    moment = datetime.fromisoformat(body["eventTimestamp"].replace("Z", "+00:00"))
    return {
        "transaction": body["transactionId"],
        "time": moment.timestamp(),
        "source": body["eventSource"],
        "value": body.get("conversionValue"),
        "currency": body.get("currency"),
        "click": body.get("adIdentifiers", {}).get("gclid"),
        "emails": [each["emailAddress"] for each in identifiers if "emailAddress" in each],
        "phones": [each["phoneNumber"] for each in identifiers if "phoneNumber" in each],
    }


def _of_data_client(body: Mapping[str, Any]) -> dict[str, Any]:
    person = body.get("user_data", {})
    plain = [sha256(each) for each in _all(person.get("email_address"))]
    return {
        "name": body["event_name"],
        "id": body["event_id"],
        "time": body["timestamp"],
        "page": body.get("page_location"),
        "value": body.get("value"),
        "currency": body.get("currency"),
        "order": body.get("transaction_id"),
        "client": body["client_id"],
        "emails": plain + _all(person.get("sha256_email_address")),
    }


def _of_measurement_protocol(body: Mapping[str, Any]) -> dict[str, Any]:
    parameters, shared = body["params"], body["shared"]
    return {
        "name": body["name"],
        "id": parameters["event_id"],
        "time": body["timestamp_micros"] / 1_000_000,
        "page": parameters.get("page_location"),
        "value": parameters.get("value"),
        "currency": parameters.get("currency"),
        "order": parameters.get("transaction_id"),
        "client": shared["client_id"],
        "emails": _all(shared.get("user_data", {}).get("sha256_email_address")),
    }


def _of_ledger(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body["metadata"] or {}
    return {
        "name": body["event_name"],
        "id": metadata.get("event_id"),
        "time": datetime.fromisoformat(body["event_time"]).timestamp(),
        "click": body["gclid"],
        "emails": _all(body["email_sha256"]),
    }


def _all(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


_FACTS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "meta_capi": _of_meta,
    "google_ec": _of_google,
    "data_client": _of_data_client,
    "measurement_protocol": _of_measurement_protocol,
    "ledger": _of_ledger,
}


# -- spellings ------------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def _camel(words: list[str]) -> str:
    return words[0] + "".join(word.capitalize() for word in words[1:])


SPELLINGS: dict[str, Callable[[list[str]], str]] = {
    "snake": "_".join,
    "camel": _camel,
    "kebab": "-".join,
    "pascal": lambda words: "".join(word.capitalize() for word in words),
    "spaced": lambda words: " ".join(word.capitalize() for word in words),
    "capitals": lambda words: "_".join(words).upper(),
}
"""How people write a name of several words."""


def spelled(name: str, spelling: str) -> str:
    """The name, whatever its own spelling is, in another."""
    words = [word.lower() for word in _WORD.findall(name)]
    return SPELLINGS[spelling](words) if words else name


def renamed(value: Any, spelling: str) -> Any:
    """The same JSON with all of its keys in another spelling, also in JSON text."""
    if isinstance(value, dict):
        return {spelled(name, spelling): renamed(each, spelling) for name, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, spelling) for each in value]
    if isinstance(value, str) and value[:1] == "{":
        with contextlib.suppress(json.JSONDecodeError):
            return json.dumps(renamed(json.loads(value), spelling))
    return value


# -- places ---------------------------------------------------------------------------------------


def purchase(**changes: Any) -> dict[str, Any]:
    """A flat purchase that every destination takes, with some fields changed; None leaves out."""
    fields = {
        "event_name": "Purchase",
        "event_id": EVENT_ID,
        "event_time": AN_HOUR_AGO,
        "action_source": "website",
        "page_url": PAGE,
        "client_id": CLIENT_ID,
        "order_id": ORDER,
        "value": 129.9,
        "currency": "EUR",
        "email": EMAIL,
        "user_agent": AGENT,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


Row = tuple[Any, dict[str, Any]]
"""A payload, and what else the row has (keywords of ``claimed``)."""

_PLACES: dict[str, Callable[[dict[str, Any]], Row]] = {
    "top": lambda said: (purchase(**said), {}),
    "user_data": lambda said: (purchase(user_data={"email": EMAIL, **said}), {}),
    "the row's column": lambda said: (purchase(), {"user_data": said}),
    "user_data as text": lambda said: (
        purchase(user_data=json.dumps({"email": EMAIL, **said})),
        {},
    ),
    "metadata": lambda said: (purchase(metadata={"plan": "pro", **said}), {}),
    "metadata as text": lambda said: (purchase(metadata=json.dumps(said)), {}),
    "context": lambda said: (purchase(context={"locale": "de", **said}), {}),
    "properties": lambda said: (purchase(properties={"plan": "pro", **said}), {}),
    "custom_data": lambda said: (purchase(custom_data={"num_items": 1, **said}), {}),
    "customer": lambda said: (purchase(customer={"email": EMAIL, **said}), {}),
    "traits in context": lambda said: (purchase(context={"traits": {"email": EMAIL, **said}}), {}),
    "envelope": lambda said: ({"id": "m-1", "payload": purchase(), **said}, {}),
    "event in an envelope": lambda said: ({"job": {"id": 7, "data": purchase(**said)}}, {}),
    "list of one": lambda said: ({"data": [purchase(**said)]}, {}),
    "a place nobody knows": lambda said: (purchase(acme_extra={"deeper": said}), {}),
    "the whole as text": lambda said: (json.dumps(purchase(**said)), {}),
}
PLACES = tuple(_PLACES)
"""Where people put what they say of an event's person; the names of :func:`placed`."""


def placed(place: str, said: dict[str, Any]) -> Row:
    """The purchase, with these fields in that place of it."""
    return _PLACES[place](said)


def written_so(said: Mapping[str, Any], spelling: str) -> dict[str, Any]:
    """These fields with their own names in a spelling, and the values as they are."""
    return {spelled(name, spelling): value for name, value in said.items()}


def each_outcome(
    payload: Any, policy: ReadingPolicy = DEFAULT_POLICY, **row: Any
) -> Iterator[tuple[str, Prepared | NotSent]]:
    """What each destination says to one row, the ledger last."""
    for name in DESTINATIONS:
        yield name, prepare(name, payload, policy, **row)
