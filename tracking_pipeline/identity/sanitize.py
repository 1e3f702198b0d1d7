"""A payload without raw personal data: what may be stored and logged.

Fails closed: what cannot be looked into is removed. SHA-256 hashes stay, since they are what a
retry needs; so do country, IP address, user agent, `fbp` and `fbc`, which platforms want as they
are and which enrichment and delivery read from the ledger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote
from uuid import UUID

from tracking_pipeline.events.names import (
    BROWSER_IDS,
    CLICK_IDS,
    Kind,
    Special,
    holds_cookies,
    is_secret,
    meaning_of,
    plain_name,
)
from tracking_pipeline.events.shapes import CATALOGUE_MARKS, CONTACT_KEYS, JOURNEY_MARKS
from tracking_pipeline.events.tree import PAIR_NAMES, PAIR_VALUES
from tracking_pipeline.identity.countries import country_code
from tracking_pipeline.identity.hashing import already_hashed
from tracking_pipeline.identity.phone import REMOVED, without_phones

_PERSONAL_KEYS = frozenset(["em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "external_id"])
# Of a product, a place or a name is the product's; these are a person's even there.
_PERSONAL_IN_PRODUCTS = frozenset(["em", "ph", "fn", "ln", "db", "external_id"])
_PRODUCT_KINDS = frozenset((Kind.PRODUCT, Kind.PROPERTIES))
_PRODUCT_PLACES = frozenset(
    "items item lineitems lineitem products product contents content cartitems "
    "variants hotel flight vehicle homelisting listing property".split()
)
# How the names of fields end that hold an id of the catalogue's or of an order: it must stay equal
# to what it is there, even where it looks like a telephone number.
_ID_NAMES = re.compile(
    r"(?:.*(?:id|ids|sku|skus|gtin|ean|upc|mpn|isbn|asin|reference|ordernumber)|ordername)\Z"
)
# Of these only the country stays, and hashes.
_ADDRESS_NAMES = frozenset(
    {
        "address", "addresses", "billingaddress", "shippingaddress", "homeaddress",
        "defaultaddress",
    }
)  # fmt: skip

_PAIR_NAMES, _PAIR_VALUES = frozenset(PAIR_NAMES), frozenset(PAIR_VALUES)
# How the names of fields end that people write whole sentences in.
_FREE_TEXT_NAMES = (
    "note", "notes", "message", "messages", "comment", "comments", "description", "inquiry",
    "enquiry", "question", "questions", "details", "remark", "remarks", "feedback", "memo",
    "instructions", "freetext", "nachricht", "kommentar", "bemerkung", "mensaje", "comentario",
    "comentarios", "mensagem",
)  # fmt: skip

# One of these is in every text that has anything to remove: the sign of an e-mail address, of an
# assignment, of a number (four digits in a row, a + or groups of two and more), of JSON.
# Each pattern begins with one set of characters, which is what a search is quick at.
_NUMBER = r"\d{3}|\d?\)?[ ./-]{1,2}\d{2,3}[ ./-]{1,2}\d\d"
_SIGN = re.compile(rf"[@%=+{{\[\d](?:(?<!\d)|{_NUMBER})")
_NUMBER_SIGN = re.compile(rf"[+%\d](?:(?<!\d)|{_NUMBER})")
# Of an id, which may look like a number.
_SIGN_IN_ID = re.compile(r"[@%={\[]")
# The repetitions have bounds, so that no text takes more than linear time.
_LONGEST_LOCAL_PART = 64
_AT = re.compile(r"@|%40")
_LOCAL_PART_BEFORE = re.compile(r"[^\s@<>\"'(),;:=&?/\\]+\Z")
# Several signs in a row go together: what is left must not read as an address itself.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:=&?/\\]{1,64}(?:(?:@|%40)[^\s@<>\"'(),;:=&?/\\]{1,255})+")
_ASSIGNMENT = re.compile(r"(?<![A-Za-z0-9_.\-\[\]%+])([A-Za-z0-9_.\-\[\]%+]{1,64})=([^&#;\s\"']+)")

# Whose address it is that stands before the host, and with what password.
_USER_INFO = re.compile(r"(?<=://)[^/?#@\s\"']{1,300}@(?=[^@\s]*\.)")
# Of a visitor's cookies only these are anybody's business but the site's: a session's is a secret.
_IDS_OF_PLATFORMS = "|".join(name.replace("_", "") for name in (*CLICK_IDS, *BROWSER_IDS))
_ADVERTISING_COOKIE = re.compile(
    rf"fb[pc]|{_IDS_OF_PLATFORMS}|scclickid|ga[a-z0-9]*|gcl[a-z0-9]*|gac[a-z0-9]*|fpgcl[a-z]*|"
    r"fpau|fpid|fplc|dcid|tt[a-z]*|uet[a-z]*|pinunauth|awin[a-z]*|cto[a-z]*|hubspotutk|sttclid|"
    r"name|value|domain|path"
)

# As people paste calls, and as lists of headers have them.
_SECRET_IN_TEXT = re.compile(
    r"(?<![A-Za-z])(?:[Bb]earer|[Bb]asic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<![A-Za-z])(?i:access[_-]?token|api[_-]?key|api[_-]?secret|app[_-]?secret|password)"
    r"[\"']?\s?[:=]\s?[\"']?(?=[^\s\"']*\d)[^\s\"',;&]{8,}"
)

# What has a value in a text, in an address or in JSON.
_ASSIGNED = re.compile(r"([\w.\-\[\]]{1,64})(?:=|\"\s*:)(?!\[removed\])", re.ASCII)
# More layers of percent signs than anybody writes are not looked through.
_MOST_ENCODINGS = 4
# In the query of an address these are secrets too.
_SECRET_PARAMETERS = frozenset(("key", "sig", "hmac"))
_HEADER_NAME = re.compile(r"[A-Za-z_-]{3,40}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

# A JSON document of more levels is an attack, or a mistake; its depths are not kept.
_MAX_DEPTH = 64
_LARGER_THAN_PHONES = 10**15


def sanitize(payload: object) -> object:
    """Gives a copy without raw personal data; never raises, changes nothing in `payload`.

    Under an identifier's name, in any spelling and at any depth, only SHA-256 hashes, booleans
    and nulls stay; a field with nothing left is left out, so that nothing can be taken for a
    value. In all other text, e-mail addresses, phone numbers written as such and personal query
    parameters become `[removed]`, and so does any object of a type that JSON does not have
    (dates, times, UUIDs and decimals aside).
    """
    return _sanitized(payload, _TOP, 0)


class _Around(NamedTuple):
    """What is known of the place in which a value stands."""

    of_person: bool = False
    of_product: bool = False
    free_text: bool = False
    is_id: bool = False
    of_cookies: bool = False


_TOP = _Around()
# What JSON's writers have room for.
_MAX_INTEGER = 2**63
# Python writes no integers of more than 4300 digits, and nobody means one.
_LARGEST_WRITTEN = 10**100


def is_secret_parameter(name: str) -> bool:
    """Tells a parameter of an address that holds a secret, or cookies."""
    plain = plain_name(name)
    return is_secret(plain) or holds_cookies(plain) or plain in _SECRET_PARAMETERS


def hides_secret(text: str) -> bool:
    """Tells a text in which a secret stands as a parameter, also of an address that is encoded in
    it, or in JSON."""
    for _ in range(_MOST_ENCODINGS):
        if any(map(is_secret_parameter, _ASSIGNED.findall(text))):
            return True
        plain = unquote(text)
        if plain == text:
            return False
        text = plain
    return True


def may_be_personal(text: str) -> bool:
    """Whether `sanitize` may take something out of a text: False for most, and at once."""
    return _SIGN.search(text) is not None or " " in text


# Most addresses of pages: a site's own pages, which come again and again, and behind them names
# with a word, the id of a click or a short number each, none of which is personal. What begins with
# a letter and goes on without a sign is no number of anybody's.
_PLAIN_PAGE = re.compile(r"https?://[a-z.-]{1,200}(?:/[A-Za-z/_.~-]{0,400})?").fullmatch
_PLAIN_NAME = re.compile("[A-Za-z_]{1,40}").fullmatch
_PLAIN_WORD = re.compile("(?:[A-Za-z_][A-Za-z0-9_-]*)?").fullmatch
_LONGEST_PLAIN_ADDRESS = 2_000
_MOST_PLAIN_PARAMETERS = 15
_LONGEST_PLAIN_NUMBER = 6


def is_plain_address(text: str) -> bool:
    """Tells, for sure and at a glance, an address of which nothing is to be removed; False says
    nothing."""
    if not text.startswith("http") or len(text) > _LONGEST_PLAIN_ADDRESS:
        return False
    page, behind, query = text.partition("?")
    plain = _is_known_page(page) if len(page) <= _LONGEST_KNOWN_NAME else _PLAIN_PAGE(page)
    return bool(plain) and (not behind or _is_plain_query(query))


def _is_plain_query(query: str) -> bool:
    parameters = query.split("&")
    if len(parameters) > _MOST_PLAIN_PARAMETERS:
        return False
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals or len(name) > _LONGEST_KNOWN_NAME or not _is_plain_parameter(name):
            return False
        is_number = value.isdigit() and value.isascii() and len(value) <= _LONGEST_PLAIN_NUMBER
        if not is_number and not _PLAIN_WORD(value):
            return False
    return True


@lru_cache(maxsize=2048)
def _is_known_page(page: str) -> bool:
    return _PLAIN_PAGE(page) is not None


@lru_cache(maxsize=2048)
def _is_plain_parameter(name: str) -> bool:
    if not _PLAIN_NAME(name):
        return False
    known = _judged(name)
    kept = not (known.secret or known.cookies or known.personal or known.free_text)
    return kept and not is_secret_parameter(name)


def _sanitized(value: object, around: _Around, depth: int) -> object:
    if isinstance(value, str):
        if around.of_cookies:
            return REMOVED
        if not value.isascii():
            value = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
        if _sign_in(around).search(value) and (around.free_text or not is_plain_address(value)):
            value = _sanitized_text(value, depth, around)
        return _SECRET_IN_TEXT.sub(REMOVED, value) if " " in value else value
    if value is None or isinstance(value, _SCALARS):
        return _sanitized_scalar(value, around)
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return _sanitized_mapping(value, around, depth)
        if isinstance(value, (list, tuple)):
            cleaned = [_sanitized(one, around, depth + 1) for one in value]
            # Headers are written as lists too: the name, then the value, and so on.
            for position, name in enumerate(value[:-1]):
                if _is_header_of_secret(name) and isinstance(value[position + 1], str):
                    cleaned[position + 1] = REMOVED
            return cleaned
    return REMOVED


def _sign_in(around: _Around) -> re.Pattern[str]:
    return _SIGN_IN_ID if around.is_id else _SIGN


def _is_header_of_secret(name: object) -> bool:
    if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
        return False
    known = _name_of(name)
    return known.secret or known.cookies


_SCALARS = (bool, int, float, Decimal, date, time, UUID)


def _sanitized_scalar(value: object, around: _Around) -> object:
    if type(value) is int and not -_MAX_INTEGER <= value < 2 * _MAX_INTEGER:
        return str(value) if abs(value) < _LARGEST_WRITTEN else REMOVED
    if around.is_id and isinstance(value, float) and value.is_integer():
        # A table's 10024.0 is 10024 in the catalogue; more than 64 bits is no JSON for everybody.
        return int(value) if abs(value) < _MAX_INTEGER else value
    return REMOVED if around.free_text and _is_phone(value) else value


def _sanitized_mapping(
    mapping: dict[object, object], around: _Around, depth: int
) -> dict[object, object]:
    pair = _names_of_pair(mapping)
    judged = _fields_of(
        tuple(mapping),
        around,
        _Pair(
            of_person=any(_is_personal(name, of_person=True) for name in pair),
            of_secret=any(_is_secret(_name_of(name), around) for name in pair),
            of_text=any(_name_of(name).free_text for name in pair),
        )
        if pair
        else _NO_PAIR,
    )
    cleaned: dict[object, object] = {}
    for original, name, within, sign in judged:
        value = mapping[original]
        # What most texts are: nothing is in them that may have to be removed.
        if (
            sign is not None
            and type(value) is str
            and value.isascii()
            and " " not in value
            and sign(value) is None
        ):
            cleaned[name.sanitized] = value
            continue
        if name.cookies and isinstance(value, str):
            continue
        kept: object
        if within is None:
            kept = _hashes_only(value, depth + 1, keep_country=name.address)
        else:
            kept = _sanitized(value, within, depth + 1)
        if kept is not _NOTHING:
            cleaned[name.sanitized] = kept
    return cleaned


class _Pair(NamedTuple):
    """What the name in a form field that is a pair says of the value beside it."""

    of_person: bool = False
    of_secret: bool = False
    of_text: bool = False


_NO_PAIR = _Pair()

_Search: TypeAlias = Callable[[str], "re.Match[str] | None"]
_Fields: TypeAlias = tuple[tuple[object, "_Name", _Around | None, _Search | None], ...]


def _fields_of(names: tuple[object, ...], around: _Around, pair: _Pair) -> _Fields:
    """Of a mapping's names those that may stay, each with what it says, the place that its value
    stands in, and how to search a text in it for what may have to be removed; None for both where
    the value is personal."""
    fields = _known_fields.get((names, around, pair))
    if fields is None:
        fields = _judged_fields(names, around, pair)
        if len(names) <= _MOST_KNOWN_NAMES and all(
            isinstance(name, str) and len(name) <= _LONGEST_KNOWN_NAME for name in names
        ):
            if len(_known_fields) >= _MOST_KNOWN_FIELDS:
                _known_fields.clear()
            _known_fields[names, around, pair] = fields
    return fields


def _judged_fields(names: tuple[object, ...], around: _Around, pair: _Pair) -> _Fields:
    known = [_name_of(name) for name in names]
    contact = True in [name.contact for name in known]
    # A person's record in a product's place is a person's; a hotel beside a guest's e-mail is not.
    of_product = around.of_product and not (
        contact and True not in [name.catalogue for name in known]
    )
    fields: list[tuple[object, _Name, _Around | None, _Search | None]] = []
    for original, name in zip(names, known, strict=True):
        names_pair = original in PAIR_NAMES
        if name.secret or (pair.of_secret and not names_pair):
            continue
        if around.of_cookies and not name.advertising_cookie:
            continue
        if pair.of_person:
            personal = not names_pair
        elif of_product:
            personal = name.personal_in_products
        else:
            personal = name.personal or ((around.of_person or contact) and name.of_person)
        within = _Around(
            of_person=(around.of_person and not name.product_place) or name.place_of_person,
            of_product=name.product_place or (of_product and not name.place_of_person),
            free_text=name.free_text or (pair.of_text and not names_pair),
            is_id=name.is_id,
            of_cookies=name.cookies,
        )
        if personal:
            fields.append((original, name, None, None))
        else:
            search = None if within.of_cookies else _sign_in(within).search
            fields.append((original, name, within, search))
    return tuple(fields)


def _is_secret(name: _Name, around: _Around) -> bool:
    return name.secret or name.cookies or (around.of_cookies and not name.advertising_cookie)


class _Name(NamedTuple):
    """What a field's name says of its value.

    `contact` makes the mapping it stands in one about a person. `personal`: the value is; where
    the mapping is about a person, also that of one that is `of_person`. `free_text`: it is what
    somebody wrote. `sanitized` is the name without personal data in it.
    """

    contact: bool = False
    personal: bool = False
    personal_in_products: bool = False
    of_person: bool = False
    address: bool = False
    place_of_person: bool = False
    product_place: bool = False
    free_text: bool = False
    is_id: bool = False
    secret: bool = False
    cookies: bool = False
    advertising_cookie: bool = False
    catalogue: bool = False
    sanitized: object = None


def _name_of(name: object) -> _Name:
    if isinstance(name, str):
        return _known_name(name) if len(name) <= _LONGEST_KNOWN_NAME else _judged(name)
    return _Name(sanitized=name)


def _judged(name: str) -> _Name:
    meaning, plain = meaning_of(name), plain_name(name)
    identifier, place = meaning.identifier, meaning.place
    return _Name(
        contact=identifier is not None and identifier.key in CONTACT_KEYS,
        personal=_is_personal(name, of_person=False),
        personal_in_products=identifier is not None and identifier.key in _PERSONAL_IN_PRODUCTS,
        of_person=_is_personal(name, of_person=True),
        address=_is_address(name),
        place_of_person=place is not None and place.of_person,
        product_place=plain in _PRODUCT_PLACES
        or (place is not None and place.kind in _PRODUCT_KINDS and plain in _WITHOUT_PEOPLE),
        free_text=plain.endswith(_FREE_TEXT_NAMES),
        is_id=_ID_NAMES.fullmatch(plain) is not None,
        secret=meaning.secret,
        catalogue=plain in CATALOGUE_MARKS or plain in JOURNEY_MARKS,
        cookies=holds_cookies(plain),
        advertising_cookie=_ADVERTISING_COOKIE.fullmatch(plain) is not None,
        sanitized=_sanitized_key(name),
    )


# An order or a tracker's `properties` may describe the buyer too, and then they are judged as any
# other object is.
_WITHOUT_PEOPLE = frozenset(("customdata", "ecommerce", "actionfield"))

# Payloads have the same names again and again. A name that holds personal data itself is forgotten
# with the rest when others come.
_LONGEST_KNOWN_NAME = 64
_MOST_KNOWN_NAMES = 64
_known_name = lru_cache(maxsize=4096)(_judged)
_MOST_KNOWN_FIELDS = 512
_known_fields: dict[tuple[tuple[object, ...], _Around, _Pair], _Fields] = {}


def _names_of_pair(mapping: dict[object, object]) -> list[object]:
    """Gives the names in a form field that is a pair: `{"name": "email", "value": "..."}`."""
    if _PAIR_NAMES.isdisjoint(mapping) or _PAIR_VALUES.isdisjoint(mapping):
        return []
    return [mapping[name] for name in PAIR_NAMES if name in mapping]


def _is_personal(name: object, *, of_person: bool) -> bool:
    if not isinstance(name, str):
        return False
    if _is_address(name):
        return True
    meaning = meaning_of(name)
    if meaning.identifier is not None and meaning.identifier.key in _PERSONAL_KEYS:
        return True
    if meaning.special in (Special.FULL_NAME, Special.STREET):
        return True
    return of_person and meaning.special is Special.PERSON_NAME


_NOTHING = object()


def _hashes_only(value: object, depth: int, *, keep_country: bool = False) -> object:
    """Keeps what tells nothing under an identifier's name: hashes, booleans, nulls."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if isinstance(already_hashed(value.strip()), str) else _NOTHING
    if depth >= _MAX_DEPTH:
        return _NOTHING
    if isinstance(value, dict):
        kept = {
            _sanitized_key(name): inner
            if keep_country and _is_country(name, inner)
            else _hashes_only(inner, depth + 1, keep_country=keep_country)
            for name, inner in value.items()
        }
        kept = {name: inner for name, inner in kept.items() if inner is not _NOTHING}
        return kept or _NOTHING
    if isinstance(value, (list, tuple)):
        hashes = [_hashes_only(one, depth + 1, keep_country=keep_country) for one in value]
        return [one for one in hashes if one is not _NOTHING] or _NOTHING
    return _NOTHING


def _is_address(name: object) -> bool:
    return isinstance(name, str) and plain_name(name) in _ADDRESS_NAMES


def _is_country(name: object, value: object) -> bool:
    identifier = meaning_of(name).identifier if isinstance(name, str) else None
    named = identifier is not None and identifier.key == "country"
    return named and isinstance(value, str) and country_code(value) is not None


def _is_phone(value: object) -> bool:
    if type(value) is not int or not 0 <= value < _LARGER_THAN_PHONES:
        return False
    return without_phones(str(value), free=True) == REMOVED


def _sanitized_key(name: object) -> object:
    if not isinstance(name, str):
        return name
    return _sanitized_text(_SURROGATE.sub("", name), _MAX_DEPTH, _TOP)


def _sanitized_text(text: str, depth: int, around: _Around) -> str:
    """Gives a text without what is personal in it; one without a `_SIGN` need not come here."""
    if text.lstrip()[:1] in ("{", "[") and depth < _MAX_DEPTH:
        # JSON inside JSON: its names count as well.
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return json.dumps(_sanitized(decoded, around._replace(free_text=False), depth + 1))
    if "://" in text and "@" in text:
        text = _USER_INFO.sub("", text)
    if "=" in text:
        text = _ASSIGNMENT.sub(_without_personal_value, text)
    if "%" in text and hides_secret(text):
        return REMOVED
    if "@" in text or "%40" in text:
        text = _without_addresses(text)
    if around.is_id or not _NUMBER_SIGN.search(text):
        return text
    return without_phones(text, free=around.free_text)


def _without_addresses(text: str) -> str:
    """What `_EMAIL.sub` gives, looking only around each sign instead of at every character, which
    took a second for a megabyte without spaces.

    The match for a sign begins where the characters before it that a local part may have begin,
    at most 64 of them. None begins before an earlier @, which no local part has; a %40 may be part
    of one.
    """
    kept: list[str] = []
    end = earliest = 0
    for sign in _AT.finditer(text):
        if sign.start() < end:
            continue
        window = max(end, earliest, sign.start() - _LONGEST_LOCAL_PART)
        if sign.group() == "@":
            earliest = sign.start()
        local_part = _LOCAL_PART_BEFORE.search(text, window, sign.start())
        match = _EMAIL.match(text, local_part.start()) if local_part else None
        if match:
            kept += (text[end : match.start()], REMOVED)
            end = match.end()
    return "".join((*kept, text[end:]))


def _without_personal_value(match: re.Match[str]) -> str:
    name, value = match.groups()
    meaning = _name_of(name)
    if (
        meaning.secret
        or meaning.cookies
        or hides_secret(value)
        or (
            plain_name(name) in _SECRET_PARAMETERS
            and match.string[max(match.start() - 1, 0)] in "?&#;"
        )
    ):
        return f"{name}={REMOVED}"
    if not meaning.personal:
        return f"{name}={without_phones(value, free=True)}" if meaning.free_text else match.group(0)
    return match.group(0) if isinstance(already_hashed(value), str) else f"{name}={REMOVED}"


LONGEST_REASON = 160


def plain_reason(reason: str | None) -> str:
    """A reason in one line of at most 160 characters, without personal data. To be shown only: the
    rows are found by the reason as it stands in them."""
    cleaned = sanitize(" ".join((reason or "").split()))
    text = cleaned.rstrip(".") if isinstance(cleaned, str) else ""
    return text[:LONGEST_REASON] or "no reason on record"
