"""What was bought, and at which merchant: the items of an event, in whichever tracker's words.

Google Analytics' ``items``, Meta's ``contents``, Segment's ``products``, and the ``cartData`` of
Google's Data Manager API, in the event or in one of its own parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tracking_pipeline.events.money import Money, read_amount
from tracking_pipeline.events.names import CART_FIELDS, ITEM_FIELDS, ITEM_LISTS, Kind, plain_name
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import id_text, impersonal_id

# As many as Google Analytics takes of one event.
MOST_ITEMS = 200
_MOST_OF_ONE = 1_000_000
_CART = "cartdata"
_PARTS = (Kind.PRODUCT, Kind.PROPERTIES)
_MERCHANT = re.compile(r"[0-9]{1,20}", re.ASCII)
# https://support.google.com/merchants/answer/14994083
_FEED_LABEL = re.compile(r"[A-Z0-9_-]{1,20}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)


class Item(NamedTuple):
    """One line of a cart. ``price`` is that of one piece."""

    id: str
    quantity: int | None
    price: float | None


class Cart(NamedTuple):
    """What is known of a cart. ``feed_language`` is an ISO 639-1 code in small letters;
    ``unreadable`` names the fields that are there and could not be read."""

    items: Sequence[Item]
    merchant_id: str | None
    feed_label: str | None
    feed_language: str | None
    discount: float | None
    unreadable: Sequence[str]


class _UnreadableError(Exception):
    pass


def read_cart(reading: Reading, currency: str | None) -> Cart:
    """The event's cart, without items where it has none. ``currency`` is the event's: a price in
    another one is unreadable. Where one item is, there are none: of a part of a cart nobody knows
    what it was worth."""
    if not reading.asked_of_names(_may_tell_of_cart):
        return _NO_CART
    places = list(_places(reading))
    said = _said(places)
    unreadable: list[str] = []

    def read(name: str, reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except _UnreadableError:
            unreadable.append(name)
            return None

    return Cart(
        read("items", lambda: _items(places, currency)) or (),
        read("merchant_id", lambda: _matching(_MERCHANT, said.get("merchant_id"))),
        read("feed_label", lambda: _matching(_FEED_LABEL, said.get("feed_label"), str.upper)),
        read("feed_language", lambda: _matching(_LANGUAGE, said.get("feed_language"), str.lower)),
        read("discount", lambda: _amount(said.get("discount"), currency)),
        unreadable,
    )


def _places(reading: Reading) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """Where a cart may stand, by plain names: Google's own form first (True), then the event and
    its parts."""
    parts = _parts(reading)
    googles = [node for node in parts[1:] if node.place.plain == _CART]
    for node in (*googles, *parts[:1], *(node for node in parts[1:] if node.place.kind in _PARTS)):
        yield node in googles, _by_plain_name(node.mapping)


def _parts(reading: Reading) -> Sequence[Node]:
    """The event, then its own parts in which a cart may stand."""
    event = reading.tree.event
    return () if event is None else (event, *reading.part(Kind.IMPERSONAL, *_PARTS))


def _may_tell_of_cart(reading: Reading) -> bool:
    """Whether any name where a cart may stand is a cart's or says something of one: most events
    have none."""
    return any(
        isinstance(name, str) and plain_name(name) in _CARTS_NAMES
        for node in _parts(reading)
        for name in node.mapping
    )


def _items(places: Sequence[tuple[bool, Mapping[str, Any]]], currency: str | None) -> list[Item]:
    for _, named in places:
        for name in ITEM_LISTS:
            if listed := _listed(named.get(name)):
                if len(listed) > MOST_ITEMS:
                    raise _UnreadableError
                return [_item(each, currency) for each in listed]
    return []


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return [value]
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []


def _item(value: Any, currency: str | None) -> Item:
    if not isinstance(value, dict):
        raise _UnreadableError
    said = _first_said(ITEM_FIELDS, _by_plain_name(value))
    identity = id_text(said.get("id"))
    if identity is None or impersonal_id(identity) != identity:
        raise _UnreadableError
    return Item(identity, _quantity(said.get("quantity")), _amount(said.get("price"), currency))


def _quantity(value: Any) -> int | None:
    number = _amount(value, None)
    if number is None:
        return None
    if not number.is_integer() or not 0 < number <= _MOST_OF_ONE:
        raise _UnreadableError
    return int(number)


def _amount(value: Any, currency: str | None) -> float | None:
    amount = read_amount(value)
    if amount is None:
        return None
    if not isinstance(amount, Money) or amount.currency not in (None, currency):
        raise _UnreadableError
    return amount.amount


def _said(places: Sequence[tuple[bool, Mapping[str, Any]]]) -> dict[str, Any]:
    """What is said of the whole cart, where it is nearest. Outside Google's form only Google's own
    names say so: a payment has a merchant, too."""
    said: dict[str, Any] = {}
    for is_googles, named in places:
        said = {**_first_said(CART_FIELDS if is_googles else _OUTSIDE, named), **said}
    return said


_CARTS_NAMES = frozenset((*ITEM_LISTS, *" ".join(CART_FIELDS.values()).split()))
_NO_CART = Cart((), None, None, None, None, ())
_OUTSIDE = {
    field: " ".join(name for name in names.split() if name.startswith("aw") or name == field)
    for field, names in CART_FIELDS.items()
}


def _by_plain_name(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    return {plain_name(name): each for name, each in mapping.items() if isinstance(name, str)}


def _first_said(fields: Mapping[str, str], named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field: named[name]
        for field, names in fields.items()
        for name in reversed(names.split())
        if named.get(name) not in (None, "")
    }


def _matching(
    pattern: re.Pattern[str], value: Any, spelled: Callable[[str], str] = str
) -> str | None:
    found = id_text(value)
    if found is None:
        return None
    if not pattern.fullmatch(spelled(found)):
        raise _UnreadableError
    return spelled(found)
