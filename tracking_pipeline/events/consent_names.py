"""Which fields of a payload say something of consent, by their names.

A purpose's own name, anything that says "consent", what consent managers call their parts. What
only belongs to a statement (its time, its version, its text) and consent to be called or written to
are no statements about advertising.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from tracking_pipeline.events.consent import ADVERTISING, EVERYTHING, Purpose
from tracking_pipeline.events.consent_strings import (
    read_gcd,
    read_gcs,
    read_gpp,
    read_tc_string,
    read_us_privacy,
)

_NOT_ASKED: tuple[Purpose, ...] = ()

PURPOSE_NAMES: dict[tuple[Purpose, ...], str] = {
    (Purpose.AD_STORAGE,): "adstorage adsstorage",
    (Purpose.AD_USER_DATA,): "aduserdata adsuserdata",
    (Purpose.AD_PERSONALIZATION,): (
        "adpersonalization adpersonalisation adspersonalization personalizedads personalisedads "
        "personalizedadvertising personalisedadvertising adsdatapersonalization"
    ),
    (Purpose.ANALYTICS_STORAGE,): (
        "analyticsstorage analytics analytic analyticsprocessing statistics statistic stats "
        "statistical measurement performance c0002 analyticscookies performancecookies"
    ),
    ADVERTISING: (
        "marketing advertising advertisement advertisements adverts ads ad targeting "
        "targetedadvertising targetedads retargeting remarketing adtracking marketingads "
        "marketingcookies advertisingcookies targetingcookies marketingstorage advertisingstorage "
        "socialmedia social conversions conversiontracking saleofdata datasale sellingdata "
        "marketingandadvertising advertisingandmarketing advertisingandtargeting c0004 c0005 "
        "werbung publicidad publicite publicitarias publicitaires marketingpurposes "
        "advertisingpurposes thirdpartyads thirdparty adv advertiser commercial datasharing "
        "profiling"
    ),
    EVERYTHING: "tracking",
    _NOT_ASKED: (
        "necessary essential required strictlynecessary strictly technical functional "
        "functionality functionalitystorage preferences preference preferencesprocessing "
        "personalizationstorage personalization personalisation security securitystorage "
        "unclassified uncategorized other others experience comfort c0001 c0003 basic session "
        "necessarycookies essentialcookies functionalcookies preferencecookies usability support"
    ),
}
"""What a purpose is called; the last row is what no destination asks for."""


# What belongs to a statement and says nothing of the decision.
_PART_ENDS = (
    "time", "timestamp", "date", "at", "version", "id", "ids", "uuid", "guid", "text", "url",
    "source", "method", "language", "lang", "locale", "country", "copy", "string", "by", "form",
    "wording", "policy", "mode", "banner", "provider", "platform", "strategy", "expiry", "expires",
    "domain", "ip", "agent", "hash", "level", "region", "label", "name", "type", "basis",
    "jurisdiction", "proof", "record", "reference", "ref", "page", "screen", "medium", "channel",
    "stamp", "ver", "utc", "on", "duration", "received", "document", "description", "title",
    "interactioncount", "ns", "regulation", "framework", "applies", "hosts", "genvendors",
    "update", "alertboxclosed", "required", "requires", "needed", "shown", "displayed", "less",
    "cert", "certificate", "vendors",
)  # fmt: skip
PART = re.compile(rf".*(?<!ti)(?<!si)(?:{'|'.join(_PART_ENDS)})")
# What was taken back, by the name of its time.
WITHDRAWN_AT = re.compile(
    r"(?:withdrawn|revoked|denied|refused|rejected|declined|optedout|optout|withdrawal|revocation)"
    r"(?:at|on|date|time|timestamp|ts)?"
)
# Whether somebody may be called or written to is another question than advertising.
CHANNELS = re.compile(
    r"email|sms|phone|tcpa|newsletter|whatsapp|telephone|texting|textmessage|terms|privacypolicy"
    r"|hipaa|parental|biometric|medical|tocontact|communications?$|^(?:marketing|opt(?:ed)?in|opt(?:ed)?out|to|by|for)*"
    r"(?:mail|calls?|push|text|voice|age|photo|health|treatment)(?:marketing|optin|optout)*$"
)
_CONSENT = re.compile(r"consent(?:ed|s$)?|optanon(?:consent)?|cookieyes|usercentrics|didomi")
# What may stand around "consent" in a name without saying which.
_AROUND_CONSENT = re.compile(
    r"^(?:has|is|user|customer|client|person|visitor|lead|the|my|cookie|cookies|gdpr|ccpa|data|"
    r"privacy|tracking|given|cmp|site|web|website|google|meta|facebook|fb|ga|gtm|status|state|"
    r"value|mode|preferences?|settings?|info|object|managements?|flag|level|choices?|categories|"
    r"category|decision|obtained|granted|preferencescategory|categorypreferences|general|global|"
    r"of|to|for|yes|purposes?)*$"
)
_WITHDRAWAL = re.compile(r"withdr|revok|denied|refus|reject|declin|optout|without|^no(?:t)?consent")
_OPT_IN = re.compile(
    r"(?:marketing|ads?|advertising|tracking|targeting|cookies?|gdpr|data)?(?:isoptin|optin|optedin)"
    r"(?:marketing|ads?|advertising|tracking|targeting)?"
)
_OPT_OUT = re.compile(
    r"(?:marketing|ads?|advertising|tracking|targeting|targetedadvertising|sale|datasale|dataselling|sharing|"
    r"user|ccpa|gdpr)(?:optout|optedout)|(?:optedout|optout)(?:of)?(?:marketing|ads?|advertising|"
    r"tracking|targeting|targetedadvertising|sale|saleofdata|sharing)|donotsell(?:orshare|my.*)?|"
    r"donottrackconsent|saleoptout|isoptedout|useroptout|optedout|hsoptout"
)
_ALLOWED = re.compile(
    r"(?:allows?)?(?P<what>(?:marketing|advertising|ads|saleofdata|analytics|preferences"
    r"|tracking|gdpr|cookies?)(?:cookies|processing)?)"
    r"(?:allowed|accepted|enabled|granted|permitted|agreed)?"
)
# Consent managers that write each purpose into a field or a cookie of its own.
_MANAGERS = re.compile(r"(?:cmplz|cookielawinfocheckbox|cookieyes|cky|moovegdpr)(?P<what>.+)")
_CONTAINERS = frozenset(
    "customerprivacy categorypreferences privacysettings privacypreferences "
    "trackingpreferences cookiesettings cookiepreference gdpr ccpa privacyinfo "
    "privacy onetrustactivegroups optanonactivegroups cookiebot tcf tcfdata tcdata".split()
)
_ALWAYS_CONSENT = frozenset(
    "onetrustactivegroups optanonactivegroups categorypreferences cookiecategories "
    "cookiepreferences acceptedcategories acceptedpurposes allowedcategories grantedpurposes "
    "cccookie fscc klaro axeptiocookies borlabscookie hscookiecatpref".split()
)
# The Framework's keys in a device's storage, but for the purposes that were consented to: vendors
# and the publisher's own purposes are no choice of Google's.
_TCF_OTHERS = re.compile(r"iabtcf(?!tcstring|purposeconsents).*")
_GOOGLES = re.compile(r".*(?P<what>ads?storage|ads?userdata|adpersonali[sz]ation|analyticsstorage)")

ENCODED: dict[str, Callable[[str], dict[str, bool] | None]] = {
    **dict.fromkeys(["gcs", "xgagcs", "consentgcs"], read_gcs),
    **dict.fromkeys(["gcd", "xgagcd"], read_gcd),
    **dict.fromkeys(
        "tcstring tcfstring tcfconsentstring euconsent euconsentv2 gdprconsent "
        "gdprconsentstring consentstring iabconsent iabtcftcstring tcfconsent "
        "iabconsentstring".split(),
        read_tc_string,
    ),
    **dict.fromkeys(["gpp", "gppstring", "iabgppstring", "gppconsent"], read_gpp),
    **dict.fromkeys(["usprivacy", "usprivacystring", "iabusprivacystring", "usp"], read_us_privacy),
}
"""The strings in which consent managers encode the choices, by the names of their fields."""

PURPOSE_OF = {name: purposes for purposes, names in PURPOSE_NAMES.items() for name in names.split()}


_OF_STORAGE = re.compile(r"cookies?|storage|tracking|consent|purposes?")


def purpose_called(plain: str) -> tuple[Purpose, ...] | None:
    """The purposes that a name of a consent manager's means, also with "cookies" and the like
    around it; an empty tuple for what no destination asks for, None for an unknown name."""
    found = PURPOSE_OF.get(plain)
    return found if found is not None else PURPOSE_OF.get(_OF_STORAGE.sub("", plain))


class Way(Enum):
    """How the value under a name is to be read."""

    STATEMENT = "statement"
    PURPOSE = "purpose"  # a bare name of a purpose: only what is clearly a choice counts
    CONTAINER = "container"  # only an object of purposes counts, and a word that refuses
    PART = "part"  # what belongs to a statement: only a word that refuses counts
    REFUSAL = "refusal"  # true means no
    ENCODED = "encoded"
    GPC = "global privacy control"


@dataclass(frozen=True, slots=True)
class StatementName:
    """A field by whose name something is said about ``purposes``."""

    way: Way
    purposes: tuple[Purpose, ...]
    plain: str


_GPC_NAMES = "gpc globalprivacycontrol secgpc isgpcenabled gpcenabled"
_EXACT: dict[str, tuple[Way, tuple[Purpose, ...]]] = {
    **dict.fromkeys(_CONTAINERS, (Way.CONTAINER, EVERYTHING)),
    **dict.fromkeys(_ALWAYS_CONSENT, (Way.STATEMENT, EVERYTHING)),
    **dict.fromkeys(ENCODED, (Way.ENCODED, EVERYTHING)),
    **dict.fromkeys(_GPC_NAMES.split(), (Way.GPC, ADVERTISING)),
    "addtlconsent": (Way.STATEMENT, _NOT_ASKED),
    "deniedconsentids": (Way.STATEMENT, EVERYTHING),
    "allowedconsentids": (Way.STATEMENT, EVERYTHING),
}
# Alone at the top of an event, the other names of purposes are anything.
_BARE_PURPOSES = (
    "marketing advertising advertisement advertisements ads targeting targetedadvertising "
    "personalizedads personalisedads adpersonalisation retargeting remarketing adtracking "
    "marketingcookies advertisingcookies targetingcookies"
)
_BARE = {
    name: (Way.PURPOSE, PURPOSE_OF[name]) for name in _BARE_PURPOSES.split() if name in PURPOSE_OF
}


@lru_cache(maxsize=4096)
def statement_named(plain: str) -> StatementName | None:
    """What a field of this name (without case, spaces and punctuation) says of consent by its
    value; None for a name that says nothing of it."""
    if plain in _EXACT:
        meaning: tuple[Way, tuple[Purpose, ...]] | None = _EXACT[plain]
    elif _TCF_OTHERS.fullmatch(plain):
        meaning = None
    elif _OPT_OUT.fullmatch(plain):
        meaning = (Way.REFUSAL, ADVERTISING)
    elif CHANNELS.search(_CONSENT.sub("", plain)):
        meaning = None
    elif named := _GOOGLES.fullmatch(plain):
        meaning = (Way.STATEMENT, PURPOSE_OF[named["what"]])
    elif (managed := _MANAGERS.fullmatch(plain)) and purpose_called(managed["what"]) is not None:
        meaning = (Way.STATEMENT, purpose_called(managed["what"]) or ())
    elif plain not in _BARE and (allowed := _ALLOWED.fullmatch(plain)) and plain != allowed["what"]:
        what = allowed["what"].removesuffix("processing")
        meaning = (Way.STATEMENT, purpose_called(what) or EVERYTHING)
    elif _OPT_IN.fullmatch(plain):
        meaning = (Way.STATEMENT, ADVERTISING)
    elif _CONSENT.search(plain):
        meaning = _with_consent(plain, _CONSENT.sub("", plain))
    else:
        meaning = _BARE.get(plain) or _BARE.get(_OF_STORAGE.sub("", plain))
    return StatementName(*meaning, plain) if meaning is not None and meaning[1] else None


def _with_consent(plain: str, rest: str) -> tuple[Way, tuple[Purpose, ...]] | None:
    """What a name with "consent" in it is; ``rest`` is what else is in it."""
    if _WITHDRAWAL.search(plain) or rest in ("un", "non", "not", "no"):
        return Way.REFUSAL, PURPOSE_OF.get(_WITHDRAWAL.sub("", rest)) or EVERYTHING
    if rest in ("personalization", "personalisation"):
        return Way.STATEMENT, (Purpose.AD_PERSONALIZATION,)
    if plain.endswith(("consentpreferences", "consentpreference")):
        return Way.STATEMENT, EVERYTHING
    for ending in ("", "given", "granted", "status", "state", "accepted", "value", "cookies"):
        if rest.endswith(ending) and rest.removesuffix(ending) in PURPOSE_OF:
            return Way.STATEMENT, PURPOSE_OF[rest.removesuffix(ending)]
    if rest and not _AROUND_CONSENT.match(rest) and PART.fullmatch(rest):
        return Way.PART, EVERYTHING
    return Way.CONTAINER if rest == "mode" else Way.STATEMENT, EVERYTHING
