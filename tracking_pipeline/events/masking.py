"""What may be shown of an event to people: hashes cut short, what is a person's made unreadable.

For explanations only; nothing that is masked here is sent anywhere. Fails closed: what stands under
an identifier's name is masked whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tracking_pipeline.events.names import (
    BROWSER_IDS,
    CLICK_IDS,
    Kind,
    Special,
    holds_cookies,
    meaning_of,
    only_of_person,
    plain_name,
)
from tracking_pipeline.events.texts import identifier_text
from tracking_pipeline.identity.hashing import is_final_hash
from tracking_pipeline.identity.platforms import MATCH_KEYS as MATCH_KEYS_OF_META
from tracking_pipeline.identity.platforms import VISITOR_IDS, rules_of

SHOWN_OF_A_HASH = 8
_SHOWN_OF_AN_ID = 8
MORE = "…"
_LONGEST_TEXT = 500

# In any text: hashes, addresses of the internet, and the clicks in the query of a page.
_HASH = re.compile(r"(?<![0-9A-Za-z])([0-9a-fA-F]{8})[0-9a-fA-F]{56,120}(?![0-9A-Za-z])")
_IPV4 = re.compile(r"(?<![\w.])(\d{1,3}\.\d{1,3})\.\d{1,3}\.\d{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:])|\w+::\w[\w:]*")
_CLICKS = "|".join(name.replace("_", "_?") for name in CLICK_IDS)
_CLICK = re.compile(rf"(?i)\b({_CLICKS}|sc_cid|_gl|_ga|dclid)=([^&#\s]{{6}})[^&#\s]+")
# Who opens a page, in front of its host; what was an address may have been removed already.
_USER_INFO = re.compile(r"(?<=://)[^/?#\s]*(?:@|\[removed\])")
# Ids of one browser or click: cut, so that they can be compared and not used.
_IDS_OF_A_VISITOR = frozenset(
    (
        *CLICK_IDS,
        *BROWSER_IDS,
        *"client_id user_id ga_cookie click_id gcl_aw_cookie gcl_gb_cookie session_id".split(),
    )
)
_IDS_OF_AN_EVENT = frozenset(("event_id", "order_id"))
_PLACES = frozenset(("ct", "st", "zp", "country", "ge"))
_PRODUCTS = frozenset((Kind.PRODUCT, Kind.PROPERTIES, Kind.CLOSED))


def masked(key: str, value: Any) -> str:
    """What is shown of a value of this match key, named as Meta names it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(masked(key, each) for each in value[:3])
    if isinstance(value, dict):
        return MORE
    text = str(value).strip()
    if is_final_hash(text) or _HASH.fullmatch(text):
        return text[:SHOWN_OF_A_HASH] + MORE
    return shortened(text) if key in _IDS_OF_A_VISITOR else _MASKS.get(key, _initial)(text)


def _initial(text: str) -> str:
    return text[:1] + MORE if len(text) > 2 else MORE


def _user_agent(text: str) -> str:
    return f"{text.partition('/')[0][:12]}{MORE} ({len(text)} characters)"


def _ip_address(text: str) -> str:
    return ".".join(text.split(".")[:2]) + f".{MORE}" if "." in text else text[:4] + MORE


def _cookie(text: str) -> str:
    """Meta's cookies but for what is random in them: ``fb.1.<time>.<id>``."""
    parts = text.split(".")
    return ".".join([*parts[:3], MORE]) if len(parts) > 3 and len(parts[2]) < 20 else MORE


def _email(text: str) -> str:
    return f"{text[:1]}{MORE}@{MORE}" if "@" in text else MORE


def _phone(text: str) -> str:
    return MORE + text[-2:] if len(text) > 6 else MORE


def _country(text: str) -> str:
    return text if len(text) == 2 else _initial(text)


_MASKS: dict[str, Callable[[str], str]] = {
    "em": _email,
    "ph": _phone,
    "fbp": _cookie,
    "fbc": _cookie,
    "country": _country,
    "client_ip_address": _ip_address,
    "client_user_agent": _user_agent,
}


def shortened(value: Any) -> str:
    """What is shown of an id of a browser, a click or a person."""
    text = told(str(value))
    shown = min(_SHOWN_OF_AN_ID, len(text) // 2)
    return text[:shown] + MORE


def told(text: str) -> str:
    """A text without what is surely a person's."""
    clean = identifier_text(text)
    if clean is None:
        clean = text if len(text) < 40 else ""
    clean = _USER_INFO.sub("", _HASH.sub(rf"\1{MORE}", clean))
    clean = _IPV6.sub("[ip]", _IPV4.sub(rf"\1.{MORE}", clean))
    clean = _CLICK.sub(rf"\1=\2{MORE}", clean)
    return clean if len(clean) <= _LONGEST_TEXT else clean[:_LONGEST_TEXT] + MORE


def shown_body(value: Any) -> Any:
    """What a destination would get, as it may be shown: all of its fields, each value of a person's
    masked."""
    return _shown(value, False, False)


def _shown(value: Any, of_product: bool, in_person: bool) -> Any:
    if isinstance(value, dict):
        return {
            told(name): _field(name, each, of_product, in_person) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_shown(each, of_product, in_person) for each in value]
    return told(value) if isinstance(value, str) else value


def _field(name: str, value: Any, of_product: bool, in_person: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    mask = _mask_of(name, of_product, in_person)
    if mask is not None:
        return _each(value, mask)
    place = meaning_of(name).place
    if place is not None:
        of_product = of_product or place.kind in _PRODUCTS
        in_person = (in_person or place.kind is Kind.PERSON) and not of_product
    return _shown(value, of_product, in_person)


def _mask_of(name: str, of_product: bool, in_person: bool) -> Callable[[Any], str] | None:
    """How the values under a name are shown; None for one that says nothing of a person."""
    meaning = meaning_of(name)
    field = meaning.field.name if meaning.field is not None else ""
    is_name = meaning.special in (Special.FULL_NAME, Special.STREET)
    mask: Callable[[Any], str] | None = None
    if meaning.secret:
        mask = _nothing
    elif field in _IDS_OF_AN_EVENT:
        mask = None
    elif (
        field in _IDS_OF_A_VISITOR
        or holds_cookies(plain_name(name))
        or (meaning.platform_id is not None and (in_person or not only_of_person(name)))
    ):
        mask = shortened
    elif meaning.identifier is not None:
        key = meaning.identifier.key
        mask = None if of_product and key in _PLACES else partial(masked, key)
    elif is_name or (in_person and meaning.special is Special.PERSON_NAME):
        mask = partial(masked, "fn")
    return mask


def _nothing(_: Any) -> str:
    return MORE


def _each(value: Any, mask: Callable[[Any], str]) -> Any:
    if isinstance(value, dict):
        return {name: _each(each, mask) for name, each in value.items()}
    if isinstance(value, list):
        return [_each(each, mask) for each in value]
    return mask(value)


MATCH_KEYS = (*MATCH_KEYS_OF_META, "gclid", "gbraid", "wbraid", *rules_of(VISITOR_IDS))
"""In the order in which people expect them."""


def match_keys_in(body: Any) -> list[str]:
    """The match keys, by Meta's names, that stand in a destination's form of an event."""
    found: set[str] = set()
    _collect(body, found, False)
    return [key for key in MATCH_KEYS if key in found]


def _collect(value: Any, found: set[str], of_product: bool) -> None:
    if isinstance(value, list):
        for each in value:
            _collect(each, found, of_product)
    if not isinstance(value, dict):
        return
    for name, each in value.items():
        if each in (None, "", [], {}):
            continue
        meaning = meaning_of(name)
        if meaning.identifier is not None and not of_product:
            found.add(meaning.identifier.key)
        elif meaning.field is not None and meaning.field.name in MATCH_KEYS and not of_product:
            found.add(meaning.field.name)
        kind = meaning.place.kind if meaning.place is not None else None
        _collect(each, found, of_product or kind in _PRODUCTS)
