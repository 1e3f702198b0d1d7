"""The text of one value for one match key of one platform, and its hash."""

from __future__ import annotations

from functools import lru_cache

from tracking_pipeline.identity.countries import country_code
from tracking_pipeline.identity.hashing import already_hashed, is_other_digest, sha256_hex
from tracking_pipeline.identity.platforms import KeyRule, rules_of
from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import text_of

# Hexadecimal digits of MD5.
_SHORTEST_DIGEST = 32
# No name of a country is longer; what else stands in its field is not worth remembering.
_LONGEST_REMEMBERED = 64


def normalize(key: str, value: object, platform: str = "meta", country: str = "US") -> str | None:
    """Gives the text that is hashed (or sent as it is) for one match key; None: leave it out.

    `key` is named as Meta names it (`em ph fn ln ge db ct st zp country external_id fbp fbc
    client_ip_address client_user_agent`), else as its platform does (`ttclid`, `epik`, ...:
    `identity/platforms.py`); `platform` is one of `PLATFORMS`, or the name of a destination.
    `country`, by code or name, is where a phone number without country code
    is dialled, and whose postal codes, states and dates are meant. A SHA-256 hash passes where the
    platform wants one, in lower case.

    Never raises on a value, whatever its type. ValueError for an unknown platform, which is a
    mistake of the caller's and no property of an event.
    """
    rule = rules_of(platform).get(key)
    if rule is None:
        return None
    text = text_of(value)
    if not isinstance(text, str):
        return None
    found = passed_hash(key, text, rule)
    if found is None:
        found = plain_text(key, text, rule, region_of(country))
    return found if isinstance(found, str) else None


def region_of(country: object) -> str:
    """Gives the alpha-2 code of a default country given by code or name; empty when unknown."""
    if country is None:
        return ""
    if type(country) is str and len(country) <= _LONGEST_REMEMBERED:
        return _region_named(country)
    text = text_of(country)
    return (country_code(text) or "") if isinstance(text, str) else ""


@lru_cache(maxsize=1024)
def _region_named(country: str) -> str:
    text = text_of(country)
    return (country_code(text) or "") if isinstance(text, str) else ""


def passed_hash(key: str, text: str, rule: KeyRule) -> str | Refusal | None:
    """Gives a hash that may pass as it is, why it may not, or None when `text` is no digest."""
    if len(text) < _SHORTEST_DIGEST:
        return None
    digest = already_hashed(text, suffix=rule.suffix)
    if digest is not None:
        if rule.hashed or not isinstance(digest, str):
            return digest
        # A hashed country is one of 250; any other hash cannot be turned into plain text.
        return None if key == "country" else Refusal.HASHED
    return Refusal.NOT_SHA256 if _is_other_digest(key, text) else None


def plain_text(key: str, text: str, rule: KeyRule, country: str) -> str | Refusal:
    """Gives the text that is hashed, or sent as it is."""
    plain = rule.normalise(text, country)
    if isinstance(plain, str) and len(plain) >= _SHORTEST_DIGEST and _is_other_digest(key, plain):
        # An MD5 written with colons, say: no name has 32 hexadecimal digits.
        return Refusal.NOT_SHA256
    return plain


def match_value(key: str, text: str, rule: KeyRule, country: str) -> str | Refusal:
    """Gives what is sent for one text: its hash, a hash that came in, or the plain text."""
    if len(text) >= _SHORTEST_DIGEST:
        digest = passed_hash(key, text, rule)
        if digest is not None:
            return digest
    plain = plain_text(key, text, rule, country)
    return sha256_hex(plain) if rule.hashed and not rule.clear and isinstance(plain, str) else plain


def _is_other_digest(key: str, text: str) -> bool:
    # An external id of 32 hexadecimal digits is a UUID without its dashes.
    return len(text) >= _SHORTEST_DIGEST and key != "external_id" and is_other_digest(text)
