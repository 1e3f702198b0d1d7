"""One conversion, independent of destination: the typed event in a reading of a stored row.

Nothing here raises on a bad payload. Each field is read, absent, or *unreadable*: there, and not to
be understood. What is unreadable is named by where it stands and never replaced by a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tracking_pipeline.events.consent import Purpose, stated_choices
from tracking_pipeline.events.forms import is_api_address
from tracking_pipeline.events.money import (
    Money,
    Unreadable,
    read_amount,
    read_currency,
    read_minor_units,
)
from tracking_pipeline.events.names import plain_name
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy
from tracking_pipeline.events.reading import Reading, Statement
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.events.texts import (
    id_text,
    impersonal_id,
    impersonal_text,
    page_address,
    text,
)
from tracking_pipeline.events.times import read_moment

STANDARD_EVENTS = frozenset(
    "AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact "
    "CustomizeProduct Donate FindLocation InitiateCheckout Lead PageView Purchase "
    "Schedule Search StartTrial SubmitApplication Subscribe ViewContent".split()
)
"""Names that Meta optimises for: a row's own name that is one of them says more than the label that
a tracker gave the event.
https://developers.facebook.com/docs/meta-pixel/reference"""

_SOURCES = {
    "web": "website",
    "in_store": "physical_store",
    "store": "physical_store",
    "offline": "physical_store",
    "phone": "phone_call",
    "message": "chat",
    "messaging": "chat",
    "mobile_app": "app",
    "system": "system_generated",
}
ACTION_SOURCES = frozenset(
    "website email app phone_call chat physical_store system_generated "
    "business_messaging other".split()
)
"""Where an event took place, in Meta's words."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """No event can be made of a row. ``reason`` is short and stable and quotes no value."""

    reason: str


class Conversion(NamedTuple):
    """``event_time`` is aware, and the row's ``created_at`` where ``has_own_time`` is False.
    ``value`` is a finite number or None. ``page_url`` is absolute or None. ``action_source`` is
    Meta's word for what the payload states, None where it states nothing known. The texts hold no
    raw personal data, except ``event_id``, which has to stay what the pixel sent.

    ``unreadable``: the fields, by name, that are there and could not be read, and where they stand.
    """

    event_name: str
    event_id: str
    event_time: datetime
    has_own_time: bool
    page_url: str | None
    referrer_url: str | None
    value: float | None
    currency: str | None
    order_id: str | None
    action_source: str | None
    consent: Mapping[Purpose, Statement]
    unreadable: Mapping[str, str]
    reading: Reading

    def choices(self, *, limited: bool = False) -> dict[Purpose, bool]:
        """What a platform with fields for consent is told
        (:func:`~tracking_pipeline.events.consent.stated_choices`)."""
        if not self.consent and not limited:
            return {}
        said = {purpose: statement.said for purpose, statement in self.consent.items()}
        return stated_choices(said, limited=limited)

    def first_unreadable(self, *names: str) -> str | None:
        """Of the named fields, the reason for the first that is unreadable; None if none is."""
        for name in names:
            if name in self.unreadable:
                return f"unreadable {self.unreadable[name]}"
        return None


def read_conversion(
    row: StoredRow, site_url: str | None = None, policy: ReadingPolicy = DEFAULT_POLICY
) -> Conversion | Unusable:
    """The conversion in a stored row, or why there is none. ``site_url`` (no trailing slash) makes
    a page that is only a path into an address."""
    reading = Reading(row)
    if row.lead is not None and not policy.hosting_match_keys:
        reading.lead = row.lead.without_hosting_places()
    if reading.tree.problem is not None:
        return Unusable(reading.tree.problem)
    values = reading.values
    name = _event_name(reading)
    if not name:
        return Unusable("missing event_name")
    unreadable: dict[str, str] = {}
    event_id = _id(reading, "event_id", unreadable)
    order = _id(reading, "order_id", unreadable)
    moment = row.created_at
    has_own_time = "event_time" in values
    if has_own_time:
        read = read_moment(values["event_time"], policy.zone)
        if read is None:
            unreadable["event_time"] = reading.path("event_time")
        else:
            moment = read
    value, currency = _money(reading, unreadable)
    referrer = values.get("referrer_url")
    source = values.get("action_source")
    return Conversion(
        name,
        event_id or str(row.event_id),
        moment,
        has_own_time,
        _page_url(reading, site_url),
        page_address(referrer) if referrer is not None else None,
        value,
        currency,
        impersonal_id(order) if order is not None else None,
        action_source_of(source) if source is not None else None,
        reading.said(policy.denied_consent_ids) if reading.consents else {},
        unreadable,
        reading,
    )


def action_source_of(value: Any) -> str | None:
    """Meta's word for where an event took place; None for one that is not known."""
    if type(value) is str and value in ACTION_SOURCES:
        return value
    word = (text(value) or "").lower().replace("-", "_").replace(" ", "_")
    word = word.removeprefix("event_source_")
    word = _SOURCES.get(word, word)
    return word if word in ACTION_SOURCES else None


def _event_name(reading: Reading) -> str | None:
    value = reading.values.get("event_name")
    own = reading.row.event_name
    if value is None:
        return impersonal_text(own)
    # The label of a tracker's own event; whoever stored the row knew what it is to a platform.
    if own in STANDARD_EVENTS and reading.spots["event_name"].name.lower() == "event":
        return own
    if value == "custom" and "custom_event" in reading.values:
        value = reading.values["custom_event"]
    # Most names are these, of which nothing is to be removed.
    if type(value) is str and value in STANDARD_EVENTS:
        return value
    return impersonal_text(value) or impersonal_text(own)


def _id(reading: Reading, name: str, unreadable: dict[str, str]) -> str | None:
    value = reading.values.get(name)
    # A placeholder is passed over when the field is looked for.
    if type(value) is str:
        return text(value)
    if value is None or value in ({}, []):
        return None
    read = id_text(value)
    if read is None and not isinstance(value, str):
        unreadable[name] = reading.path(name)
    return read


def _money(reading: Reading, unreadable: dict[str, str]) -> tuple[float | None, str | None]:
    """The amount and its currency; an amount that names another currency than the event does is
    unreadable, for nobody can tell which is meant."""
    values = reading.values
    code = read_currency(values["currency"]) if "currency" in values else None
    if isinstance(code, Unreadable):
        unreadable["currency"] = reading.path("currency")
        code = None
    amount: Money | Unreadable | None = None
    if "value" in values:
        stated, (at, key, _) = values["value"], reading.spots["value"]
        is_klarnas = plain_name(key) == "orderamount" and _is_klarnas(reading.tree.mappings[at])
        amount = read_minor_units(stated, code) if is_klarnas else read_amount(stated)
    if amount is None:
        return None, code
    if isinstance(amount, Money):
        contradicts = code is not None and (
            (amount.currency is not None and amount.currency != code)
            or (amount.shared and code not in amount.shared)
        )
        if not contradicts:
            return amount.amount, code or amount.currency
    unreadable["value"] = reading.path("value")
    return None, code


def _is_klarnas(mapping: Mapping[Any, Any]) -> bool:
    """Whether this is an order of Klarna's, which states its amounts in minor units:
    https://docs.klarna.com/api/checkout"""
    names = {plain_name(name) for name in mapping if isinstance(name, str)}
    return "purchasecurrency" in names and not names.isdisjoint(_KLARNAS_NAMES)


_KLARNAS_NAMES = frozenset(("orderlines", "ordertaxamount", "purchasecountry", "klarnareference"))


def _page_url(reading: Reading, site_url: str | None) -> str | None:
    page = reading.values.get("page_url")
    address = page_address(page) if page is not None else None
    if address is not None and not is_api_address(address):
        return address
    path: str | None = None
    for name, each in reading.urls:
        if name == "page_url" and not is_api_address(each.value):
            address = page_address(each.value)
            if address is not None:
                return address
            path = path or each.value
    path = impersonal_text(reading.value("page_path") or path)
    if path is None:
        return None
    if path.startswith("/") and site_url:
        return f"{site_url}{path}"
    return page_address(path)
