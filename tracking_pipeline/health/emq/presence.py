"""Which match keys one ledger event carries: its mask (``health/emq/keys.py``).

A key counts only when it is present, well formed and not a placeholder, by the same rules by which
delivery sends it (``identity``). Beyond those, a user agent that is a program's own does not count:
it was put there by a server that forgot to pass on the visitor's.

An ``fbclid`` is no ``fbc``: only what the ledger holds counts, not what could be made of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import orjson

from tracking_pipeline.events.names import meaning_of
from tracking_pipeline.health.emq.keys import (
    BIT_OF,
    FROM_IP_BIT_OF,
    VISITOR_BIT_OF,
    mask_of,
)
from tracking_pipeline.identity.hashing import is_final_hash
from tracking_pipeline.identity.match import read_match_keys
from tracking_pipeline.identity.match_value import normalize
from tracking_pipeline.identity.platforms import VISITOR_IDS

# Crawlers, and the defaults of what servers send requests with; Deno is Supabase's edge functions.
# "Cubot" makes telephones.
_PROGRAM = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|scrapy|headless|phantomjs|puppeteer|playwright|selenium"
    r"|lighthouse|facebookexternalhit|curl/|wget|python|httpx|aiohttp|urllib|axios|undici|\bnode\b"
    r"|\bgot \(|superagent|deno/|\bbun/|okhttp|go-http-client|java/|apache-httpclient|libwww"
    r"|guzzle|\bphp\b|\bruby\b|faraday|postman|insomnia|supabaseedge|amazon cloudfront",
    re.IGNORECASE,
)
_FB_LOGIN_ID = re.compile(r"[1-9]\d{4,19}", re.ASCII)

_HASHED_BIT_OF = {
    key: BIT_OF[key]
    for key in ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id")
}
_USER_AGENT = BIT_OF["client_user_agent"]


def present_keys(
    user_data: object,
    *,
    fbp: str | None = None,
    fbc: str | None = None,
    external_id: str | None = None,
    email_sha256: str | None = None,
    phone_sha256: str | None = None,
    country: str = "US",
) -> int:
    """The mask of one row of ``wm_event_log``: its column ``user_data``, as JSON text or as what
    JSON decodes to, in any shape; and its columns of these names.

    ``country`` reads raw phones and places that name none. Never raises on what JSON can hold.
    """
    mask = _of_user_data(user_data, country) if user_data else 0
    if fbp and not mask & BIT_OF["fbp"]:
        mask |= _bit("fbp", fbp, country)
    if fbc and not mask & BIT_OF["fbc"]:
        mask |= _bit("fbc", fbc, country)
    if external_id and not mask & BIT_OF["external_id"]:
        mask |= _bit("external_id", external_id, country)
    if email_sha256 and not mask & BIT_OF["em"]:
        mask |= _bit("em", email_sha256, country)
    if phone_sha256 and not mask & BIT_OF["ph"]:
        mask |= _bit("ph", phone_sha256, country)
    return mask


def with_lead_address(
    mask: int,
    *,
    city: str | None = None,
    state: str | None = None,
    zip_code: str | None = None,
    country: str | None = None,
    from_ip: Collection[str] = (),
    default_country: str = "US",
) -> int:
    """The mask with the address keys that delivery adds from the event's lead.

    What the event carries itself stays as it is. ``from_ip`` names those of
    ``("ct", "st", "zp", "country")`` that were looked up by IP address and typed by nobody.
    """
    home = country or default_country
    for key, value in (("ct", city), ("st", state), ("zp", zip_code), ("country", country)):
        bit = BIT_OF[key]
        if value and not mask & bit and _is_place(key, value, home):
            mask |= bit | (FROM_IP_BIT_OF[key] if key in from_ip else 0)
    return mask


def is_program(user_agent: str) -> bool:
    """Whether a user agent is a crawler's or an HTTP library's, and so no visitor's."""
    return _PROGRAM.search(user_agent) is not None


def _of_user_data(user_data: object, country: str) -> int:
    """What the general reader finds, without its cost for the rows that nearly all ledgers hold: a
    flat object of hashes and browser ids. Anything else is read by the general reader."""
    if isinstance(user_data, str):
        try:
            user_data = orjson.loads(user_data)
        except ValueError:
            return 0
    if not isinstance(user_data, dict):
        return _read_in_full(user_data, country)
    mask = 0
    for name, value in user_data.items():
        if value is None or value == "":
            continue
        if name == "fb_login_id":
            mask |= _fb_login_bit(value)
            continue
        key = _key_named(name)
        bit = _simple_bit(key, value, country) if key else None
        if bit is None:
            return _read_in_full(user_data, country)
        mask |= bit
    return mask


def _key_named(name: object) -> str | None:
    """The match key that a name is for; a platform's own as the ledger names it."""
    if name in VISITOR_BIT_OF:
        return str(name)
    identifier = meaning_of(name).identifier if isinstance(name, str) else None
    return identifier.key if identifier else None


def _simple_bit(key: str, value: object, country: str) -> int | None:
    """The bit of a value that can be judged by itself, 0 where it does not count, else None."""
    hashed = _HASHED_BIT_OF.get(key)
    if hashed is not None:
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None
        return hashed if is_final_hash(value) else None
    return _bit(key, value, country) if isinstance(value, str) else None


def _read_in_full(user_data: object, country: str) -> int:
    found = read_match_keys({"user_data": user_data}, "meta", country).keys
    mask = mask_of(key for key in found if key != "client_user_agent")
    agent = found.get("client_user_agent")
    if isinstance(agent, str):
        mask |= _bit("client_user_agent", agent, country)
    if isinstance(user_data, dict):
        mask |= _fb_login_bit(user_data.get("fb_login_id"))
    for key in read_match_keys({"user_data": user_data}, VISITOR_IDS, country).keys:
        mask |= VISITOR_BIT_OF[key]
    return mask


def _bit(key: str, value: Any, country: str) -> int:
    if key == "client_user_agent":
        return _user_agent_bit(value)
    if key in VISITOR_BIT_OF:
        return VISITOR_BIT_OF[key] if normalize(key, value, VISITOR_IDS) else 0
    if is_final_hash(value) and key in _HASHED_BIT_OF:
        return BIT_OF[key]
    return BIT_OF[key] if normalize(key, value, country=country) else 0


# Browsers share user agents and leads share places; nothing here is one person's own.
@lru_cache(maxsize=16_384)
def _user_agent_bit(user_agent: str) -> int:
    usable = normalize("client_user_agent", user_agent) is not None and not is_program(user_agent)
    return _USER_AGENT if usable else 0


@lru_cache(maxsize=16_384)
def _is_place(key: str, value: str, country: str) -> bool:
    return normalize(key, value, country=country) is not None


def _fb_login_bit(value: object) -> int:
    text = str(value) if type(value) in (str, int) else ""
    return BIT_OF["fb_login_id"] if _FB_LOGIN_ID.fullmatch(text) else 0
