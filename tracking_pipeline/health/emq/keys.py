"""The match keys that are counted, as bits of one number.

Which keys one event carries is an ``int`` of at most 31 bits, so that a whole hour of events is a
few dozen numbers with counts. The bits are stored (``tracking_match_key_hourly``): never reorder
them, only append.

The lowest bits stand for the keys of :data:`KEYS`, which the EMQ score counts. Above them, one bit
for each of :data:`ADDRESS_KEYS` says that this key of this event was derived from an IP address and
stated by nobody; it is only ever set together with the key itself. Then come :data:`VISITOR_KEYS`,
which other platforms than Meta match on.
"""

from __future__ import annotations

from collections.abc import Iterable

# The customer information parameters of Meta's Conversions API that count, named as Meta names
# them (https://developers.facebook.com/docs/marketing-api/conversions-api/parameters).
KEYS: tuple[str, ...] = (
    "em",
    "ph",
    "fn",
    "ln",
    "ge",
    "db",
    "ct",
    "st",
    "zp",
    "country",
    "external_id",
    "fbp",
    "fbc",
    "client_ip_address",
    "client_user_agent",
    "fb_login_id",
)
# The keys that an IP address can be turned into.
ADDRESS_KEYS: tuple[str, ...] = ("ct", "st", "zp", "country")
# What single platforms call a click or a browser (identity/platforms.py).
VISITOR_KEYS: tuple[str, ...] = (
    "ttclid",
    "ttp",
    "li_fat_id",
    "epik",
    "sccid",
    "scid",
    "msclkid",
    "uetvid",
    "rdt_cid",
    "rdt_uuid",
    "oppref",
)

BIT_OF: dict[str, int] = {key: 1 << place for place, key in enumerate(KEYS)}
FROM_IP_BIT_OF: dict[str, int] = {
    key: 1 << (len(KEYS) + place) for place, key in enumerate(ADDRESS_KEYS)
}
_ALL_KEYS = (1 << len(KEYS)) - 1
VISITOR_BIT_OF: dict[str, int] = {
    key: 1 << (len(KEYS) + len(ADDRESS_KEYS) + place) for place, key in enumerate(VISITOR_KEYS)
}


def mask_of(keys: Iterable[str], *, from_ip: Iterable[str] = ()) -> int:
    """The mask of an event with these keys, of which ``from_ip`` were derived from an IP address.

    KeyError for a name that is not in :data:`KEYS` (:data:`ADDRESS_KEYS` for ``from_ip``).
    """
    mask = 0
    for key in keys:
        mask |= BIT_OF[key]
    for key in from_ip:
        mask |= BIT_OF[key] | FROM_IP_BIT_OF[key]
    return mask


def keys_of(mask: int) -> tuple[str, ...]:
    """The keys in a mask, in the order of :data:`KEYS`, wherever they came from."""
    return tuple(key for key, bit in BIT_OF.items() if mask & bit)


def without_keys_from_ip(mask: int) -> int:
    """The mask of what the score counts, as it would be had nobody looked up an IP address."""
    for key, flag in FROM_IP_BIT_OF.items():
        if mask & flag:
            mask &= ~BIT_OF[key]
    return mask & _ALL_KEYS


# What people call each key, and the term of both network keys.
KEY_WORDS: dict[str, str] = {
    "em": "e-mail",
    "ph": "phone",
    "fn": "first name",
    "ln": "last name",
    "ge": "gender",
    "db": "date of birth",
    "ct": "city",
    "st": "state",
    "zp": "zip code",
    "country": "country",
    "external_id": "external id",
    "fbp": "browser id",
    "fbc": "click id",
    "client_ip_address": "IP address",
    "client_user_agent": "user agent",
    "fb_login_id": "Facebook login id",
    "network": "IP address and user agent",
    "ttclid": "TikTok click id",
    "ttp": "TikTok browser id",
    "li_fat_id": "LinkedIn click id",
    "epik": "Pinterest click id",
    "sccid": "Snapchat click id",
    "scid": "Snapchat browser id",
    "msclkid": "Microsoft click id",
    "uetvid": "Microsoft browser id",
    "rdt_cid": "Reddit click id",
    "rdt_uuid": "Reddit browser id",
    "oppref": "ChatGPT click id",
}
