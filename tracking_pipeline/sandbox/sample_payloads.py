"""The shapes that a failed event's payload comes in. Pure.

Three senders wrote them: one that talks to Meta and hashes first (`meta_payload`), one that writes
the ledger (`ledger_payload`), and a plain form handler (`flat_payload`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

SITE = "https://www.example.com"


@dataclass(frozen=True)
class Conversion:
    """What happened: an event of a lead, before anyone gave it a shape.

    `event_id` is the id that the browser's pixel used. `value` is in US dollars.
    """

    event_id: str
    event_name: str
    event_time: datetime
    page_path: str
    value: float | None = None


def meta_payload(conversion: Conversion, lead: Mapping[str, Any]) -> dict[str, Any]:
    """The body that was sent to Meta: `user_data` hashed, times in Unix seconds."""
    return {
        "event_name": conversion.event_name,
        "event_time": int(conversion.event_time.timestamp()),
        "event_id": conversion.event_id,
        "action_source": "website",
        "event_source_url": SITE + conversion.page_path,
        "user_data": {**hashed_identifiers(lead), **browser_identifiers(lead)},
        "custom_data": _value(conversion),
    }


def ledger_payload(conversion: Conversion, lead: Mapping[str, Any]) -> dict[str, Any]:
    """A row for `wm_event_log`: the identifiers in `user_data`, the rest in columns."""
    return {
        "event_name": conversion.event_name,
        "event_id": conversion.event_id,
        "event_time": conversion.event_time.isoformat(),
        "event_type": "conversion",
        "lead_id": str(lead["id"]),
        "page_path": conversion.page_path,
        "funnel_stage": "conversion",
        "traffic_source": "facebook" if lead["fbc"] else "google",
        "traffic_medium": "cpc",
        "fbp": lead["fbp"],
        "fbc": lead["fbc"],
        "gclid": lead["gclid"],
        "source_tool": "site",
        "source_system": "web",
        "ingested_by": "log-event",
        "user_data": {
            **hashed_identifiers(lead),
            "client_ip_address": lead["client_ip"],
            "client_user_agent": lead["client_user_agent"],
        },
        "metadata": {"page_location": SITE + conversion.page_path, **_value(conversion)},
    }


def flat_payload(conversion: Conversion, lead: Mapping[str, Any]) -> dict[str, Any]:
    """What a form handler passed on: everything in one object, nothing hashed."""
    return {
        "event_name": conversion.event_name,
        "event_id": conversion.event_id,
        "event_time": conversion.event_time.isoformat(),
        "email": lead["email"],
        "phone": lead["phone"],
        "first_name": lead["first_name"],
        "last_name": lead["last_name"],
        "page_location": SITE + conversion.page_path,
        "client_ip_address": lead["client_ip"],
        "client_user_agent": lead["client_user_agent"],
        "fbp": lead["fbp"],
        "fbc": lead["fbc"],
        "gclid": lead["gclid"],
        **_value(conversion),
    }


def hashed_identifiers(lead: Mapping[str, Any]) -> dict[str, Any]:
    """The lead's e-mail and names as another sender hashed them for Meta.

    No telephone number: these samples write it in every national way, and how to read that is for
    the code under rehearsal to show.
    """
    return {
        "em": [_sha256(lead["email"])],
        "fn": [_sha256(_letters(lead["first_name"]))],
        "ln": [_sha256(_letters(lead["last_name"]))],
    }


def browser_identifiers(lead: Mapping[str, Any]) -> dict[str, Any]:
    """What the browser told, in the clear; absent keys are left out."""
    told = {
        "client_ip_address": lead["client_ip"],
        "client_user_agent": lead["client_user_agent"],
        "fbp": lead["fbp"],
        "fbc": lead["fbc"],
    }
    return {key: value for key, value in told.items() if value is not None}


def _value(conversion: Conversion) -> dict[str, Any]:
    if conversion.value is None:
        return {}
    return {"value": conversion.value, "currency": "USD"}


def _letters(name: str) -> str:
    # Marks belong to letters in many scripts: only punctuation, symbols and spaces go.
    composed = unicodedata.normalize("NFC", name)
    return "".join(sign for sign in composed if unicodedata.category(sign)[0] not in "PSZ")


def _sha256(text: str) -> str:
    return sha256(text.strip().lower().encode()).hexdigest()
