"""What each platform wants of each match key, as one table a platform.

Meta: "Customer Information Parameters" of the Conversions API (hash or not, lists or not).
Google: Data Manager API, "Format user data"; only what its `UserData`, `AddressInfo` and
`DeviceInfo` have room for, under Meta's names. Google hashes e-mail, phone and names, and takes
country and postal code plain. City and state are for Google Analytics only; a server container gets
what Google does.
TikTok: Events API 2.0, `user`: the phone with its `+`, places plain but for the postal code.
LinkedIn: Conversions API, `userIds` and `userInfo`: no phone, names and country plain.
Pinterest: v5, `user_data` of `conversion_events`. Snapchat: Conversions API v3, `user_data`.
Microsoft: UET Conversions API, `userData`. Reddit: Conversions API v3, `user`.
OpenAI: Conversions API, `user`: places plain, and no phone.

Where two platforms want the same, they share the rule. docs/identity-differences.md shows the
tables side by side and is made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from tracking_pipeline.identity import quick
from tracking_pipeline.identity.browser import (
    click_id_for_microsoft,
    fbc_for_meta,
    fbp_for_meta,
    visitor_id,
)
from tracking_pipeline.identity.demographics import birth_date_for_meta, gender_for_meta
from tracking_pipeline.identity.email import (
    email_for_google,
    email_for_meta,
    email_for_microsoft,
    email_for_reddit,
)
from tracking_pipeline.identity.external_id import external_id_for_meta, raw_external_id_for_meta
from tracking_pipeline.identity.ip_address import (
    ip_address_for_google,
    ip_address_for_meta,
    user_agent,
)
from tracking_pipeline.identity.name import name_for_google, name_for_linkedin, name_for_meta
from tracking_pipeline.identity.phone import phone_for_google, phone_for_meta
from tracking_pipeline.identity.place import (
    city_for_google,
    city_for_meta,
    country_for_google,
    country_for_meta,
    postal_code_for_google,
    postal_code_for_meta,
    postal_code_for_pinterest,
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
    `many`: the platform takes a list of values. `hashes_of`: of Meta's hashes and Google's, whose
    are this platform's too; `suffix`: what Meta's parameter builder hangs on them stays. `quick`
    answers for most values at once (`identity/quick.py`); where it is `Shared`, many people have
    the same value, so that it is
    worth remembering and tells nothing about one of them.
    """

    normalise: Callable[[str, str], str | Refusal]
    hashed: bool = False
    clear: bool = False
    many: bool = False
    hashes_of: Literal["meta", "google"] = "meta"
    suffix: bool = False
    quick: Quick | Shared | None = None


_EMAIL = KeyRule(email_for_meta, hashed=True, many=True, quick=quick.email_for_meta)
_PHONE_DIGITS = KeyRule(phone_for_meta, hashed=True, many=True, quick=quick.phone_for_meta)
_PHONE = KeyRule(
    phone_for_google, hashed=True, many=True, hashes_of="google", quick=quick.phone_for_google
)
_FIRST_NAME = KeyRule(name_for_meta, hashed=True, many=True, quick=FirstNames(quick.name_for_meta))
_LAST_NAME = KeyRule(name_for_meta, hashed=True, many=True, quick=quick.name_for_meta)
_GENDER = KeyRule(gender_for_meta, hashed=True, many=True, quick=Shared())
_BIRTH_DATE = KeyRule(birth_date_for_meta, hashed=True, many=True)
_CITY = KeyRule(city_for_meta, hashed=True, many=True, quick=Shared())
_STATE = KeyRule(state_for_meta, hashed=True, many=True, quick=Shared())
_ZIP = KeyRule(postal_code_for_meta, hashed=True, many=True, quick=quick.zip_for_meta)
_COUNTRY = KeyRule(country_for_meta, hashed=True, many=True, quick=Shared())
_EXTERNAL_ID = KeyRule(external_id_for_meta, hashed=True, many=True)
_IP_ADDRESS = KeyRule(ip_address_for_google, quick=quick.ip_address)
_USER_AGENT = KeyRule(user_agent, quick=quick.user_agent)
_VISITOR_ID = KeyRule(visitor_id)

# The people of Meta's table; what it has beside them is its own.
_PERSON: dict[str, KeyRule] = {
    "em": _EMAIL,
    "ph": _PHONE_DIGITS,
    "fn": _FIRST_NAME,
    "ln": _LAST_NAME,
    "ge": _GENDER,
    "db": _BIRTH_DATE,
    "ct": _CITY,
    "st": _STATE,
    "zp": _ZIP,
    "country": _COUNTRY,
    "external_id": _EXTERNAL_ID,
}
_VISITOR: dict[str, KeyRule] = {
    "client_ip_address": _IP_ADDRESS,
    "client_user_agent": _USER_AGENT,
}
_META: dict[str, KeyRule] = {
    **{key: replace(rule, suffix=True) for key, rule in _PERSON.items()},
    "fbp": KeyRule(fbp_for_meta, quick=quick.browser_id),
    "fbc": KeyRule(fbc_for_meta, quick=quick.click_id),
    "client_ip_address": KeyRule(ip_address_for_meta, quick=quick.ip_address),
    "client_user_agent": _USER_AGENT,
}
_META_RAW_ID: dict[str, KeyRule] = {
    **_META,
    "external_id": KeyRule(
        raw_external_id_for_meta, hashed=True, clear=True, many=True, suffix=True
    ),
}


def _of_google(rule: KeyRule) -> KeyRule:
    return replace(rule, hashes_of="google")


# One address an event: a list of cities beside a list of zips would pair strangers.
_GOOGLE: dict[str, KeyRule] = {
    "em": _of_google(
        KeyRule(email_for_google, hashed=True, many=True, quick=quick.email_for_google)
    ),
    "ph": _PHONE,
    "fn": _of_google(
        KeyRule(name_for_google, hashed=True, quick=FirstNames(quick.name_for_google))
    ),
    "ln": _of_google(KeyRule(name_for_google, hashed=True, quick=quick.name_for_google)),
    "ct": KeyRule(city_for_google, quick=Shared()),
    "st": KeyRule(state_for_google, quick=Shared()),
    "zp": KeyRule(postal_code_for_google, quick=quick.zip_for_google),
    "country": KeyRule(country_for_google, quick=Shared()),
    **_VISITOR,
}


def _single(rule: KeyRule) -> KeyRule:
    return replace(rule, many=False)


def _plain(rule: KeyRule) -> KeyRule:
    return KeyRule(rule.normalise, quick=Shared())


_TIKTOK: dict[str, KeyRule] = {
    "em": _EMAIL,
    "ph": _PHONE,
    "fn": _single(_FIRST_NAME),
    "ln": _single(_LAST_NAME),
    "ct": _plain(_CITY),
    "st": _plain(_STATE),
    "zp": _single(_ZIP),
    "country": _plain(_COUNTRY),
    "external_id": _EXTERNAL_ID,
    **_VISITOR,
    "ttclid": _VISITOR_ID,
    "ttp": _VISITOR_ID,
}
_LINKEDIN: dict[str, KeyRule] = {
    "em": _single(_EMAIL),
    "fn": KeyRule(name_for_linkedin),
    "ln": KeyRule(name_for_linkedin),
    "country": KeyRule(country_for_google, quick=Shared()),
    "external_id": _single(_EXTERNAL_ID),
    "li_fat_id": _VISITOR_ID,
}
_PINTEREST: dict[str, KeyRule] = {
    **_PERSON,
    "zp": KeyRule(postal_code_for_pinterest, hashed=True, many=True, quick=quick.zip_for_meta),
    **_VISITOR,
    "epik": _VISITOR_ID,
}
# Lists of e-mails and phones are sent by others; of the rest nobody says that lists are taken.
_SNAPCHAT: dict[str, KeyRule] = {
    **{key: _single(rule) for key, rule in _PERSON.items()},
    "em": _EMAIL,
    "ph": _PHONE_DIGITS,
    **_VISITOR,
    "sccid": _VISITOR_ID,
    "scid": _VISITOR_ID,
}
_MICROSOFT: dict[str, KeyRule] = {
    "em": KeyRule(email_for_microsoft, hashed=True),
    "ph": _single(_PHONE),
    "external_id": _single(_EXTERNAL_ID),
    **_VISITOR,
    "msclkid": KeyRule(click_id_for_microsoft),
    "uetvid": _VISITOR_ID,
}
_REDDIT: dict[str, KeyRule] = {
    "em": KeyRule(email_for_reddit, hashed=True),
    "ph": _single(_PHONE),
    "external_id": _single(_EXTERNAL_ID),
    **_VISITOR,
    "rdt_cid": _VISITOR_ID,
    "rdt_uuid": _VISITOR_ID,
}
_OPENAI: dict[str, KeyRule] = {
    "em": _single(_EMAIL),
    "ct": KeyRule(city_for_google, quick=Shared()),
    "zp": KeyRule(postal_code_for_google, quick=quick.zip_for_google),
    "country": KeyRule(country_for_google, quick=Shared()),
    "external_id": _single(_EXTERNAL_ID),
    **_VISITOR,
    "oppref": _VISITOR_ID,
}
PLATFORMS: dict[str, Mapping[str, KeyRule]] = {
    "meta": _META,
    "google": _GOOGLE,
    "tiktok": _TIKTOK,
    "linkedin": _LINKEDIN,
    "pinterest": _PINTEREST,
    "snapchat": _SNAPCHAT,
    "microsoft": _MICROSOFT,
    "reddit": _REDDIT,
    "openai": _OPENAI,
}
"""The tables by platform, and in them the rules by match key."""

Ways: TypeAlias = tuple[tuple[str, ...], ...]
"""Sets of match keys, each of which is enough by itself where it is whole."""


def _any_of(rules: Mapping[str, KeyRule]) -> Ways:
    return tuple((key,) for key in rules)


SUFFICIENT: dict[str, Ways] = {
    # A name, a place or a browser's make alone finds nobody.
    "tiktok": (("em",), ("ph",), ("external_id",), ("ttclid",), ("ttp",), ("client_ip_address",)),
    "linkedin": (("em",), ("li_fat_id",), ("fn", "ln")),
    "pinterest": (("em",), ("hashed_maids",), ("client_ip_address", "client_user_agent")),
    "snapchat": (("em",), ("ph",), ("client_ip_address", "client_user_agent")),
    "microsoft": _any_of(_MICROSOFT),
    "reddit": _any_of(_REDDIT),
    # It asks for nothing; but a place alone is no person.
    "openai": (("em",), ("external_id",), ("oppref",), ("client_ip_address", "client_user_agent")),
}
"""What a platform asks for at least, as its pages say; one without a row says it in another way.
An advertising id of a device (``hashed_maids``) is no match key of ours."""

# A destination's name serves as well as its platform's.
_OF_DESTINATION = {
    "meta_capi": "meta",
    "google_ec": "google",
    "gtm": "google",
    "gtm_server": "google",
    "tiktok_events": "tiktok",
    "linkedin_capi": "linkedin",
    "pinterest_capi": "pinterest",
    "snapchat_capi": "snapchat",
    "microsoft_uet": "microsoft",
    "reddit_capi": "reddit",
    "openai_ads": "openai",
}
VISITOR_IDS = "visitor ids"
"""In a platform's place: what single platforms call a click or a browser, all of them side by side,
as the ledger keeps it."""

CONTAINER = "server container"
"""In a platform's place: what a server container is told, Google's keys and Meta's cookies."""

_RULES: dict[str, Mapping[str, KeyRule]] = {
    **PLATFORMS,
    **{name: PLATFORMS[of] for name, of in _OF_DESTINATION.items()},
    VISITOR_IDS: {
        key: rule
        for rules in PLATFORMS.values()
        for key, rule in rules.items()
        if key not in _META and key not in _GOOGLE
    },
    CONTAINER: {**_GOOGLE, "fbp": _META["fbp"], "fbc": _META["fbc"]},
}

MATCH_KEYS: tuple[str, ...] = tuple(_META)


def platform_of(destination: str) -> str | None:
    """Gives the platform whose match keys a destination takes; None where it takes none."""
    return _OF_DESTINATION.get(destination)


def rules_of(platform: str, external_id: ExternalIdMode = "hashed") -> Mapping[str, KeyRule]:
    """Gives a platform's rules by match key; ValueError for a platform that is not known.

    `external_id`: how Meta gets that key; the site's pixel must send it the same way.
    """
    rules = _RULES.get(platform)
    if rules is None:
        raise ValueError(f"unknown platform: one of {', '.join(PLATFORMS)} is wanted")
    return _META_RAW_ID if rules is _META and external_id == "raw" else rules
