"""Who an event of a server container is about: the ids, address and match keys of its visitor.

A container knows the visitor only from what the event says. What is missing it takes from the
request, which here comes from this worker, or makes up anew at each try; so whatever is known is
told, and the client id always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.person import GeoMatchKeys, lead_candidates, person_keys
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.texts import id_text, text
from tracking_pipeline.identity import normalize, sanitize
from tracking_pipeline.identity.hashing import is_final_hash, sha256_hex
from tracking_pipeline.identity.platforms import CONTAINER

# Who Google Analytics takes a visitor for, and in which session: as its cookies have it.
#
# ``_ga`` has the client id: ``GA1.1.1234567890.1700000000``, also ``GA1.1-2.…`` for a path, the two
# numbers alone, and ``amp-…`` of AMP pages. ``_ga_<stream>`` has the session:
# ``GS1.1.<session>.…``, since May 2025 ``GS2.1.s<session>$o…``, in any order of its letters.

_CLIENT = re.compile(r"(?:GA\d\.[\d-]+\.)?(\d{1,20}\.\d{1,20}|amp-[\w-]{10,100})", re.ASCII)
_STREAM = re.compile(r"_ga_[A-Z0-9]{4,16}", re.ASCII | re.IGNORECASE)
_OLD_SESSION = re.compile(r"GS1\.[\d-]+\.(\d{1,20})\..*", re.ASCII)
_NEW_SESSION = re.compile(r"GS2\.[\d-]+\.(?:.*\$)?s(\d{1,20})(?:\$.*)?", re.ASCII)
_SESSION = re.compile(r"\d{1,20}", re.ASCII)
# Two numbers with a point are no telephone number.
_PLAIN_CLIENT = re.compile(r"\d{1,20}\.\d{1,20}", re.ASCII).fullmatch


def client_id_of(cookie: str) -> str | None:
    """The client id in a ``_ga`` cookie, None where there is none."""
    found = _CLIENT.fullmatch(_decoded(cookie))
    return found[1] if found else None


def analytics_session(reading: Reading) -> str | None:
    """The event's session of Google Analytics, as digits: as the event states it, else as the
    cookie of a stream has it. None where cookies of several streams tell different ones, and for a
    session of the site's own (a uuid, say)."""
    stated = id_text(reading.value("session_id"))
    if stated and (session := _session_of(stated)):
        return session
    streams, mappings = reading.asked_of_names(_streams), reading.tree.mappings
    if not streams:
        return None
    told = {session for index, name in streams if (session := _session_of(mappings[index][name]))}
    return told.pop() if len(told) == 1 else None


def _streams(reading: Reading) -> list[tuple[int, str]]:
    """Where cookies of streams stand: in which mapping, under which name."""
    return [
        (node.index, name)
        for node in reading.nodes
        for name in node.mapping
        if isinstance(name, str) and _STREAM.fullmatch(name)
    ]


def _session_of(value: Any) -> str | None:
    text = _decoded(value) if isinstance(value, str) else ""
    if _SESSION.fullmatch(text):
        return text
    found = _OLD_SESSION.fullmatch(text) or _NEW_SESSION.fullmatch(text)
    return found[1] if found else None


def _decoded(cookie: str) -> str:
    return unquote(cookie.strip()) if "%" in cookie else cookie.strip()


_LONGEST_ID = 256
# The match keys that are sent hashed where only their hash is known.
_HASHED_KEYS = frozenset(("em", "ph", "fn", "ln"))
_COOKIES = frozenset(("fbp", "fbc"))


# Not frozen, which would treble what it costs to make one; nobody changes one.
@dataclass(slots=True)
class Visitor:
    """``keys`` are Google's match keys under Meta's names, hashed as Google hashes them where it
    wants a hash; ``plain`` has, for each of these hashes of an e-mail, phone or name that is there
    in the clear, the value itself; ``street`` is a line of the address, in the clear. ``fbp`` and
    ``fbc`` are Meta's cookies; ``session_id`` is a session of Google Analytics, in digits.
    ``dropped`` has the (key, reason) of each value that was there and could not be used.
    """

    client_id: str
    user_id: str | None
    session_id: str | None
    ip_address: str | None
    user_agent: str | None
    fbp: str | None
    fbc: str | None
    keys: Mapping[str, str]
    plain: Mapping[str, str] = field(repr=False)
    street: str | None = field(repr=False)
    dropped: tuple[tuple[str, str], ...]


def visitor_of(
    event: FailedEvent, conversion: Conversion, country: str, geo_match_keys: GeoMatchKeys
) -> Visitor:
    """The visitor as the payload, then the row, then the lead know it."""
    reading = conversion.reading
    found, dropped = person_keys(
        reading, CONTAINER, country, geo_match_keys, event_time=conversion.event_time
    )
    # One value a key: what reads a container's event data expects a text.
    keys = {key: value[0] if isinstance(value, list) else value for key, value in found.items()}
    return Visitor(
        client_id=_client_id(event, conversion),
        user_id=_id(reading.value("user_id")),
        session_id=analytics_session(reading),
        ip_address=keys.pop("client_ip_address", None),
        user_agent=text(keys.pop("client_user_agent", None)),
        fbp=keys.pop("fbp", None),
        fbc=keys.pop("fbc", None),
        keys=keys,
        plain=_unhashed(conversion, keys, country),
        street=text(reading.street()),
        # Of cookies, another one or none is sent: nobody misses a match key.
        dropped=tuple([each for each in dropped if each[0] not in _COOKIES]),
    )


def _unhashed(conversion: Conversion, keys: Mapping[str, str], country: str) -> dict[str, str]:
    """The values in the clear by Google's hash of them, of the hashes among the match keys.

    A phone is in E.164; an e-mail keeps the dots that Google leaves out and Meta wants; a name is
    as the site has it, since each tag hashes by its own rule.
    """
    reading = conversion.reading
    if reading.lead is None and all(map(is_final_hash, reading.values_of(_HASHED_KEYS))):
        return {}
    candidates = reading.candidates(conversion.event_time)
    if lead := reading.lead:
        candidates = [*candidates, *lead_candidates(lead, "none")]
        country = lead.country or country
    plain: dict[str, str] = {}
    missing = {key: keys[key] for key in _HASHED_KEYS if key in keys}
    for key, value, _, where, _ in candidates:
        if key not in missing or is_final_hash(value):
            continue
        home = where if isinstance(where, str) else country
        clear = hashed_text = normalize(key, value, "google", home)
        if hashed_text is None or sha256_hex(hashed_text) != missing[key]:
            continue
        if key == "em":
            clear = normalize(key, value, "meta", home)
        elif key in ("fn", "ln"):
            clear = text(value)
        if clear:
            plain.setdefault(missing.pop(key), clear)
    return plain


def _client_id(event: FailedEvent, conversion: Conversion) -> str:
    """The visitor's own id, else one made of what never changes between two tries: the same for
    all events of a lead or a session, in the form of Google Analytics' ids."""
    reading = conversion.reading
    for name in ("client_id", "ga_cookie"):
        known = _id(reading.value(name))
        if known is not None:
            in_cookie = client_id_of(known)
            if in_cookie or name == "client_id":
                return in_cookie or known
    seed = str(event.lead_id or event.session_id or conversion.event_id)
    digest = blake2b(seed.encode("utf-8", "replace"), digest_size=8).digest()
    return f"{int.from_bytes(digest[:4], 'big')}.{int.from_bytes(digest[4:], 'big')}"


def _id(value: Any) -> str | None:
    """An id that is no e-mail and no phone."""
    found = id_text(value)
    if not found or len(found) > _LONGEST_ID:
        return None
    return found if _PLAIN_CLIENT(found) or found == sanitize(found) else None
