"""What each platform wants of each match key, as one table a platform.

Meta: "Customer Information Parameters" of the Conversions API (hash or not, lists or not).
Google: Data Manager API, "Format user data"; only what its `UserData`, `AddressInfo` and
`DeviceInfo` have room for, under Meta's names. Google hashes e-mail, phone and names, and takes
country and postal code plain. City and state are for Google Analytics only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tracking_pipeline.identity.birth_date import birth_date_for_meta
from tracking_pipeline.identity.browser import fbc_for_meta, fbp_for_meta
from tracking_pipeline.identity.email import email_for_google, email_for_meta
from tracking_pipeline.identity.external_id import external_id_for_meta
from tracking_pipeline.identity.gender import gender_for_meta
from tracking_pipeline.identity.name import name_for_google, name_for_meta
from tracking_pipeline.identity.network import (
    ip_address_for_google,
    ip_address_for_meta,
    user_agent,
)
from tracking_pipeline.identity.phone import phone_for_google, phone_for_meta
from tracking_pipeline.identity.place import (
    city_for_google,
    city_for_meta,
    country_for_google,
    country_for_meta,
    postal_code_for_google,
    postal_code_for_meta,
    state_for_google,
    state_for_meta,
)
from tracking_pipeline.identity.refusal import Refusal


@dataclass(frozen=True)
class KeyRule:
    """How one platform takes one match key.

    `normalise(text, country)` gives the text that is hashed or sent, or why there is none;
    `country` is an upper-case ISO alpha-2 code, or empty when none is known. `hashed`: the text
    is sent as its SHA-256. `many`: the platform takes a list of values. `shared`: many people have
    the same value, so that it is worth remembering and tells nothing about one of them.
    """

    normalise: Callable[[str, str], str | Refusal]
    hashed: bool = False
    many: bool = False
    shared: bool = False


_META: dict[str, KeyRule] = {
    "em": KeyRule(email_for_meta, hashed=True, many=True),
    "ph": KeyRule(phone_for_meta, hashed=True, many=True),
    "fn": KeyRule(name_for_meta, hashed=True, many=True, shared=True),
    "ln": KeyRule(name_for_meta, hashed=True, many=True, shared=True),
    "ge": KeyRule(gender_for_meta, hashed=True, many=True, shared=True),
    "db": KeyRule(birth_date_for_meta, hashed=True, many=True),
    "ct": KeyRule(city_for_meta, hashed=True, many=True, shared=True),
    "st": KeyRule(state_for_meta, hashed=True, many=True, shared=True),
    "zp": KeyRule(postal_code_for_meta, hashed=True, many=True, shared=True),
    "country": KeyRule(country_for_meta, hashed=True, many=True, shared=True),
    "external_id": KeyRule(external_id_for_meta, hashed=True, many=True),
    "fbp": KeyRule(fbp_for_meta),
    "fbc": KeyRule(fbc_for_meta),
    "client_ip_address": KeyRule(ip_address_for_meta),
    "client_user_agent": KeyRule(user_agent),
}
# One address an event: a list of cities beside a list of zips would pair strangers.
_GOOGLE: dict[str, KeyRule] = {
    "em": KeyRule(email_for_google, hashed=True, many=True),
    "ph": KeyRule(phone_for_google, hashed=True, many=True),
    "fn": KeyRule(name_for_google, hashed=True, shared=True),
    "ln": KeyRule(name_for_google, hashed=True, shared=True),
    "ct": KeyRule(city_for_google, shared=True),
    "st": KeyRule(state_for_google, shared=True),
    "zp": KeyRule(postal_code_for_google, shared=True),
    "country": KeyRule(country_for_google, shared=True),
    "client_ip_address": KeyRule(ip_address_for_google),
    "client_user_agent": KeyRule(user_agent),
}
_RULES: dict[str, Mapping[str, KeyRule]] = {"meta": _META, "google": _GOOGLE}

MATCH_KEYS: tuple[str, ...] = tuple(_META)


def rules_of(platform: str) -> Mapping[str, KeyRule]:
    """Give the rules of `meta` or `google` by match key; ValueError for another platform."""
    rules = _RULES.get(platform)
    if rules is None:
        raise ValueError(f"unknown platform: one of {', '.join(_RULES)} is wanted")
    return rules
