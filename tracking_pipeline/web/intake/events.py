"""What a posted event becomes: a row of the ledger, and what delivery gets of it. Pure.

Neither holds raw personal data. What the destinations need is hashed here, for both platforms side
by side, as the ledger keeps it; the rest of the payload goes through ``sanitize``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tracking_pipeline.delivery.conversion import (
    EVENT_ID,
    Conversion,
    as_mapping,
    denies_consent,
    first,
    holds_several,
    impersonal_fields,
    read_conversion,
    text,
)
from tracking_pipeline.delivery.events import DestinationName, FailedEvent
from tracking_pipeline.delivery.ledger import ledger_event_id, ledger_row, storable_json
from tracking_pipeline.delivery.outcomes import Rejected
from tracking_pipeline.delivery.person import person_keys
from tracking_pipeline.identity import ExternalIdMode, match_keys, normalize
from tracking_pipeline.store.match_key_rollup import ConversionRule

_LONGEST_NAME = 200
_INGESTED_BY = "tracking_pipeline"
_ADDRESS, _AGENT = "client_ip_address", "client_user_agent"


class UnusableEventError(ValueError):
    """The event cannot be taken. The message names the field and no value."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What the request tells of whose it is, beside its body. ``address`` is as it was written: the
    client's, through trusted proxies only, or the visitor's that a forwarder names."""

    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """How events are read and where they go. ``country`` reads phones that have no country code;
    ``conversions`` says what Google gets, since it has one conversion action for all it is sent."""

    country: str
    forward_to: tuple[DestinationName, ...]
    conversions: ConversionRule
    external_id: ExternalIdMode = "hashed"


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An event ready to be recorded.

    ``event_id`` is the ledger's, ``sent_as`` the same as the sender wrote it, and as destinations
    get it; ``is_new_id`` where the sender gave none. ``row`` and ``hand_over`` are JSON objects as
    :func:`~tracking_pipeline.store.intake.accept_events` takes them.
    """

    event_id: UUID
    sent_as: str
    is_new_id: bool
    row: bytes
    hand_over: bytes | None
    destinations: tuple[DestinationName, ...]


def read_event(payload: Any, sender: Sender, rules: IntakeRules, now: datetime) -> IncomingEvent:
    """The event in a posted payload, in any shape that delivery reads. ``now`` is the database's
    clock: the time of events that say none. Raises :class:`UnusableEventError`.
    """
    new_id = uuid4()
    event = _event(payload, new_id, now)
    conversion = read_conversion(event, for_advertising=False)
    if isinstance(conversion, Rejected):
        raise UnusableEventError(_refusal(payload, conversion.reason))
    if len(conversion.event_name) > _LONGEST_NAME:
        raise UnusableEventError(
            f"event_name is longer than {_LONGEST_NAME} characters: shorten it"
        )
    fields = conversion.fields
    keys, _ = person_keys(event, fields, "meta", rules.country, "all")
    if _ADDRESS not in keys and _AGENT not in keys:
        # Who names neither is the visitor's own browser; a site's server has to tell whose event
        # it is, or its own address would be taken for the visitor's.
        keys.update(_connection_keys(sender))
    row = ledger_row(event, conversion, keys, country=rules.country)
    # Who wrote it is not the sender's to say.
    row["ingested_by"] = _INGESTED_BY
    destinations = _destinations(fields, row, rules)
    try:
        return IncomingEvent(
            event_id=ledger_event_id(conversion.event_id),
            sent_as=conversion.event_id,
            is_new_id=text(first(fields, EVENT_ID)) is None,
            row=storable_json(row),
            hand_over=storable_json(_hand_over(conversion, row, destinations, rules))
            if destinations
            else None,
            destinations=destinations,
        )
    except (TypeError, RecursionError):
        raise UnusableEventError("the event is nested too deeply") from None


def _refusal(payload: Any, reason: str) -> str:
    """Of a request, which has no column ``event_payload``."""
    fields = as_mapping(payload)
    is_list = isinstance(payload, list) and len(payload) > 1
    if is_list or (fields is not None and holds_several(fields)):
        return "the body holds several events: send one event a request"
    return "the body is not a JSON object" if fields is None else reason


def _event(payload: Any, new_id: UUID, now: datetime) -> FailedEvent:
    return FailedEvent(
        id=new_id,
        event_id=new_id,
        event_name="",
        event_type=None,
        payload=payload,
        user_data=None,
        lead_id=None,
        session_id=None,
        retry_count=0,
        max_retries=1,
        created_at=now,
        now=now,
        lease_token=0,
    )


def _connection_keys(sender: Sender) -> dict[str, str]:
    given = {_ADDRESS: sender.address, _AGENT: sender.user_agent}
    read = {key: normalize(key, value) for key, value in given.items()}
    return {key: value for key, value in read.items() if value}


def _destinations(
    fields: Mapping[str, Any], row: Mapping[str, Any], rules: IntakeRules
) -> tuple[DestinationName, ...]:
    """Where the event goes. Nowhere without consent; to the ledger it has come already."""
    if not rules.forward_to or denies_consent(fields):
        return ()
    is_conversion = row["event_name"] in rules.conversions.names or (
        rules.conversions.by_type and row["event_type"] == "conversion"
    )
    return tuple(
        name
        for name in dict.fromkeys(rules.forward_to)
        if name != "supabase" and (is_conversion or name != "google_ec")
    )


def _hand_over(
    conversion: Conversion,
    row: Mapping[str, Any],
    destinations: tuple[DestinationName, ...],
    rules: IntakeRules,
) -> dict[str, Any]:
    payload = impersonal_fields(conversion.fields)
    payload |= {
        "event_name": conversion.event_name,
        "event_id": conversion.event_id,
        "user_data": _user_data(conversion.fields, payload, row, rules),
    }
    # The ledger's: a time that is written as text may have been taken for a phone number.
    if not isinstance(payload.get("event_time"), (int, float)):
        payload["event_time"] = row["event_time"]
    return {
        "event_id": row["event_id"],
        "event_name": row["event_name"],
        "event_type": row["event_type"],
        "event_payload": payload,
        "destinations": destinations,
        "lead_id": row["lead_id"],
        "session_id": row["session_id"],
    }


def _user_data(
    fields: Mapping[str, Any], clean: Mapping[str, Any], row: Mapping[str, Any], rules: IntakeRules
) -> dict[str, Any]:
    """What the person is matched on: the hashes that the ledger keeps, beside what else stood there
    and is not personal. Google takes the country in clear, and Meta from it."""
    given = clean.get("user_data")
    user_data = {**(given if isinstance(given, dict) else {}), **(row["user_data"] or {})}
    if country := match_keys(clean, "google", rules.country).get("country"):
        user_data["country"] = country
    if rules.external_id == "raw":
        own = match_keys(fields, "meta", rules.country, external_id="raw")
        if external_id := own.get("external_id"):
            user_data["external_id"] = external_id
    return user_data
