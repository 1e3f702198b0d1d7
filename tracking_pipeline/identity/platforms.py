"""What each platform wants of each match key, as one table a platform.

Meta: "Customer Information Parameters" of the Conversions API (hash or not, lists or not).
Google: Data Manager API, "Format user data"; only what its `UserData`, `AddressInfo` and
`DeviceInfo` have room for, under Meta's names. Google hashes e-mail, phone and names, and takes
country and postal code plain. City and state are for Google Analytics only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracking_pipeline.identity import quick
from tracking_pipeline.identity.birth_date import birth_date_for_meta
from tracking_pipeline.identity.browser import fbc_for_meta, fbp_for_meta
from tracking_pipeline.identity.email import email_for_google, email_for_meta
from tracking_pipeline.identity.external_id import external_id_for_meta, raw_external_id_for_meta
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
from tracking_pipeline.identity.quick import FirstNames, Quick, Shared
from tracking_pipeline.identity.refusal import Refusal

ExternalIdMode: TypeAlias = Literal["hashed", "raw"]


@dataclass(frozen=True)
class KeyRule:
    """How one platform takes one match key.

    `normalise(text, country)` gives the text that is hashed or sent, or why there is none;
    `country` is an upper-case ISO alpha-2 code, or empty when none is known. `hashed`: the text
    is sent as its SHA-256, and a SHA-256 passes; where it is `clear` too, only the latter holds.
    `many`: the platform takes a list of values. `quick` answers for most values at once
    (`identity/quick.py`); where it is `Shared`, many people have the same value, so that it is
    worth remembering and tells nothing about one of them.
    """

    normalise: Callable[[str, str], str | Refusal]
    hashed: bool = False
    clear: bool = False
    many: bool = False
    quick: Quick | Shared | None = None


_META: dict[str, KeyRule] = {
    "em": KeyRule(email_for_meta, hashed=True, many=True, quick=quick.email_for_meta),
    "ph": KeyRule(phone_for_meta, hashed=True, many=True, quick=quick.phone_for_meta),
    "fn": KeyRule(name_for_meta, hashed=True, many=True, quick=FirstNames(quick.name_for_meta)),
    "ln": KeyRule(name_for_meta, hashed=True, many=True, quick=quick.name_for_meta),
    "ge": KeyRule(gender_for_meta, hashed=True, many=True, quick=Shared()),
    "db": KeyRule(birth_date_for_meta, hashed=True, many=True),
    "ct": KeyRule(city_for_meta, hashed=True, many=True, quick=Shared()),
    "st": KeyRule(state_for_meta, hashed=True, many=True, quick=Shared()),
    "zp": KeyRule(postal_code_for_meta, hashed=True, many=True, quick=quick.zip_for_meta),
    "country": KeyRule(country_for_meta, hashed=True, many=True, quick=Shared()),
    "external_id": KeyRule(external_id_for_meta, hashed=True, many=True),
    "fbp": KeyRule(fbp_for_meta),
    "fbc": KeyRule(fbc_for_meta),
    "client_ip_address": KeyRule(ip_address_for_meta, quick=quick.ip_address),
    "client_user_agent": KeyRule(user_agent, quick=quick.user_agent),
}
_META_RAW_ID: dict[str, KeyRule] = {
    **_META,
    "external_id": KeyRule(raw_external_id_for_meta, hashed=True, clear=True, many=True),
}
# One address an event: a list of cities beside a list of zips would pair strangers.
_GOOGLE: dict[str, KeyRule] = {
    "em": KeyRule(email_for_google, hashed=True, many=True, quick=quick.email_for_google),
    "ph": KeyRule(phone_for_google, hashed=True, many=True, quick=quick.phone_for_google),
    "fn": KeyRule(name_for_google, hashed=True, quick=FirstNames(quick.name_for_google)),
    "ln": KeyRule(name_for_google, hashed=True, quick=quick.name_for_google),
    "ct": KeyRule(city_for_google, quick=Shared()),
    "st": KeyRule(state_for_google, quick=Shared()),
    "zp": KeyRule(postal_code_for_google, quick=quick.zip_for_google),
    "country": KeyRule(country_for_google, quick=Shared()),
    "client_ip_address": KeyRule(ip_address_for_google, quick=quick.ip_address),
    "client_user_agent": KeyRule(user_agent, quick=quick.user_agent),
}
# The platforms by name; what takes no external id takes none in any mode.
_RULES: dict[str, dict[ExternalIdMode, Mapping[str, KeyRule]]] = {
    "meta": {"hashed": _META, "raw": _META_RAW_ID},
    "google": {"hashed": _GOOGLE, "raw": _GOOGLE},
}

MATCH_KEYS: tuple[str, ...] = tuple(_META)


def rules_of(platform: str, external_id: ExternalIdMode = "hashed") -> Mapping[str, KeyRule]:
    """Give the rules of `meta` or `google` by match key; ValueError for another platform.

    `external_id`: how Meta gets that key; the site's pixel must send it the same way.
    """
    modes = _RULES.get(platform)
    if modes is None:
        raise ValueError(f"unknown platform: one of {', '.join(_RULES)} is wanted")
    return modes[external_id]
