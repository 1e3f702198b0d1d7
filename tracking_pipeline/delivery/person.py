"""The match keys of one event: what its payload says, then what its row and its lead add.

Explicit data wins: a key that the payload itself carries is never replaced by the lead's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from tracking_pipeline.delivery.events import FailedEvent, Lead
from tracking_pipeline.identity import ExternalIdMode, read_match_keys

GeoMatchKeys: TypeAlias = Literal["none", "country", "country_state", "all"]

PLACE_FIELDS: dict[GeoMatchKeys, tuple[str, ...]] = {
    "none": (),
    "country": ("country",),
    "country_state": ("country", "state"),
    "all": ("country", "state", "city", "zip"),
}
_CONTACT_FIELDS = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "fbp",
    "fbc",
    "client_user_agent",
)


def person_keys(
    event: FailedEvent,
    fields: Mapping[str, Any],
    platform: Literal["meta", "google"],
    country: str,
    geo_match_keys: GeoMatchKeys,
    *,
    external_id: ExternalIdMode = "hashed",
) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """The platform's match keys of the event's person, and the (key, reason) of each value that was
    there and could not be used. ``country`` reads phones of leads without a country of their own.
    ``external_id`` is ``raw`` where the site's pixel sends that key unhashed.
    """
    lead = event.lead
    home = (lead.country if lead else None) or country
    found = read_match_keys(fields, platform, home, external_id=external_id)
    keys, dropped = found.keys, [*found.dropped.elements()] if found.dropped else []
    sources: list[Mapping[str, Any]] = []
    if isinstance(event.user_data, dict) and event.user_data:
        sources.append(event.user_data)
    if lead:
        sources.append(_lead_fields(lead, geo_match_keys))
    for source in sources:
        added = read_match_keys({"user_data": source}, platform, home, external_id=external_id)
        keys = {**added.keys, **keys}
        dropped += added.dropped.elements()
    return keys, tuple(dropped)


def _lead_fields(lead: Lead, geo_match_keys: GeoMatchKeys) -> dict[str, Any]:
    names = (*_CONTACT_FIELDS, *PLACE_FIELDS[geo_match_keys])
    fields = {name: value for name in names if (value := getattr(lead, name))}
    # An address that was cut after its time is a network, and nobody's address.
    if lead.client_ip and "/" not in lead.client_ip:
        fields["client_ip_address"] = lead.client_ip
    return fields
