"""The match keys of one event: what its payload says, then what its row and its lead add.

Explicit data wins: a key that the payload itself carries is never replaced by the lead's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from tracking_pipeline.events.reading import Reading, read_payload
from tracking_pipeline.events.row import Lead
from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.identity.match import (
    RANKS_OF_A_SOURCE,
    Candidate,
    Resolved,
)
from tracking_pipeline.identity.match_value import normalize
from tracking_pipeline.identity.name import punctuated_name
from tracking_pipeline.identity.platforms import ExternalIdMode

GeoMatchKeys: TypeAlias = Literal["none", "country", "country_state", "all"]

PLACE_FIELDS: dict[GeoMatchKeys, tuple[str, ...]] = {
    "none": (),
    "country": ("country",),
    "country_state": ("country", "state"),
    "all": ("country", "state", "city", "zip"),
}
_CONTACT_KEYS = {
    "email": "em",
    "phone": "ph",
    "first_name": "fn",
    "last_name": "ln",
    "fbp": "fbp",
    "fbc": "fbc",
    "client_user_agent": "client_user_agent",
}
_PLACE_KEYS = {"country": "country", "state": "st", "city": "ct", "zip": "zp"}
_NAMES = ("fn", "ln")
_LEADS_RANK = 2 * RANKS_OF_A_SOURCE


def person_keys(
    reading: Reading,
    platform: str,
    country: str,
    geo_match_keys: GeoMatchKeys,
    *,
    event_time: datetime,
    external_id: ExternalIdMode = "hashed",
) -> Resolved:
    """The platform's match keys of the event's person, and the (key, reason) of each value that was
    there and could not be used. ``country`` reads phones of leads without a country of their own.
    ``external_id`` is ``raw`` where the site's pixel sends that key unhashed.
    """
    lead = reading.lead
    if lead is None:
        return reading.match_keys(platform, country, event_time, external_id)
    return reading.match_keys(
        platform,
        lead.country or country,
        event_time,
        external_id,
        lead_candidates(lead, geo_match_keys),
    )


def punctuated_names(
    reading: Reading, keys: Mapping[str, object], geo_match_keys: GeoMatchKeys
) -> dict[str, str]:
    """For each of Google's hashes of a name (``fn``, ``ln``) whose name is written with an
    apostrophe or a hyphen, the hash of it with those signs."""
    if "fn" not in keys and "ln" not in keys:
        return {}
    lead = reading.lead
    of_lead = (lead.first_name, lead.last_name) if lead else ()
    if not any(map(punctuated_name, (*reading.values_of(_NAMES), *of_lead))):
        return {}
    candidates = reading.candidates()
    found: dict[str, str] = {}
    for key, value, *_ in [*candidates, *(lead_candidates(lead, geo_match_keys) if lead else ())]:
        if key not in _NAMES or key in found:
            continue
        written = punctuated_name(value)
        plain = normalize(key, value, "google") if written else None
        if written and plain and sha256_hex(plain) == keys.get(key):
            found[key] = sha256_hex(written)
    return found


def lead_candidates(lead: Lead, geo_match_keys: GeoMatchKeys) -> list[Candidate]:
    """What the lead itself adds, as far as the setting lets its place be used."""
    found: list[Candidate] = [
        (key, value, _LEADS_RANK, lead.country, False)
        for name, key in _CONTACT_KEYS.items()
        if (value := getattr(lead, name))
    ]
    found += [
        (_PLACE_KEYS[name], value, _LEADS_RANK, lead.country, False)
        for name in PLACE_FIELDS[geo_match_keys]
        if (value := getattr(lead, name))
    ]
    # An address that was cut after its time is a network, and nobody's address.
    if lead.client_ip and "/" not in lead.client_ip:
        found.append(("client_ip_address", lead.client_ip, _LEADS_RANK, None, False))
    return found


def candidates_of(payload: object) -> list[Candidate]:
    """The candidates in a payload alone, whatever its type; its own time, where it has one, is that
    of a click."""
    reading = read_payload(payload)
    return reading.candidates(reading.value("event_time"))
