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

from tracking_pipeline.delivery.destinations.ledger import (
    ledger_event_id,
    ledger_row,
    refused_purposes,
    storable_json,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName, spec_of
from tracking_pipeline.delivery.engine.outcomes import Withheld
from tracking_pipeline.delivery.engine.readiness import OF_A_RECORD, without_consent
from tracking_pipeline.events.consent_names import Way
from tracking_pipeline.events.conversion import Conversion, Unusable, read_conversion
from tracking_pipeline.events.names import meaning_of
from tracking_pipeline.events.person import person_keys
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline.events.row import StoredRow
from tracking_pipeline.events.texts import impersonal_fields
from tracking_pipeline.events.tree import NOT_AN_OBJECT, SEVERAL_EVENTS
from tracking_pipeline.identity import ExternalIdMode, normalize
from tracking_pipeline.identity.match import resolve_candidates
from tracking_pipeline.store.match_key_rollup import ConversionRule

_LONGEST_NAME = 200
_INGESTED_BY = "tracking_pipeline"
_CORE_FIELDS = frozenset(("event_name", "event_id", "event_time"))
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
    policy: ReadingPolicy = DEFAULT_POLICY


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
    stored = StoredRow(event_id=new_id, event_name="", payload=payload, created_at=now, now=now)
    conversion = read_conversion(stored, policy=rules.policy)
    if isinstance(conversion, Unusable):
        raise UnusableEventError(_refusal(conversion.reason))
    unreadable = conversion.first_unreadable(*OF_A_RECORD)
    if unreadable is not None:
        raise UnusableEventError(unreadable)
    if conversion.event_time > now + rules.policy.longest_wait:
        raise UnusableEventError("event_time lies in the future")
    if len(conversion.event_name) > _LONGEST_NAME:
        raise UnusableEventError(
            f"event_name is longer than {_LONGEST_NAME} characters: shorten it"
        )
    row, _ = ledger_row(stored, conversion, country=rules.country)
    keys = row["user_data"] or {}
    if _ADDRESS not in keys and _AGENT not in keys:
        # Who names neither is the visitor's own browser; a site's server has to tell whose event
        # it is, or its own address would be taken for the visitor's.
        row["user_data"] = {**keys, **_connection_keys(sender)} or None
    # Who wrote it is not the sender's to say.
    row["ingested_by"] = _INGESTED_BY
    destinations = _destinations(conversion, row, rules)
    try:
        return IncomingEvent(
            event_id=ledger_event_id(conversion.event_id),
            sent_as=conversion.event_id,
            is_new_id=conversion.event_id == str(new_id),
            row=storable_json(row),
            hand_over=storable_json(_hand_over(conversion, row, destinations, rules))
            if destinations
            else None,
            destinations=destinations,
        )
    except (TypeError, RecursionError):
        raise UnusableEventError("the event is nested too deeply") from None


def _refusal(reason: str) -> str:
    """Of a request, which has no column ``event_payload``."""
    if reason == SEVERAL_EVENTS:
        return "the body holds several events: send one event a request"
    return "the body is not a JSON object" if reason == NOT_AN_OBJECT else reason


def _connection_keys(sender: Sender) -> dict[str, str]:
    given = {_ADDRESS: sender.address, _AGENT: sender.user_agent}
    read = {key: normalize(key, value) for key, value in given.items()}
    return {key: value for key, value in read.items() if value}


def _destinations(
    conversion: Conversion, row: Mapping[str, Any], rules: IntakeRules
) -> tuple[DestinationName, ...]:
    """Where the event goes. Nowhere against the person's will; to the ledger it has come already.
    A statement that cannot be read is handed over, so that somebody is told of it."""
    is_conversion = row["event_name"] in rules.conversions.names or (
        rules.conversions.by_type and row["event_type"] == "conversion"
    )
    return tuple(
        spec.name
        for spec in map(spec_of, dict.fromkeys(rules.forward_to))
        if not spec.is_store
        and (is_conversion or not spec.conversions_only)
        and not isinstance(without_consent(conversion, spec.needs, rules.policy), Withheld)
    )


def _hand_over(
    conversion: Conversion,
    row: Mapping[str, Any],
    destinations: tuple[DestinationName, ...],
    rules: IntakeRules,
) -> dict[str, Any]:
    reading = conversion.reading
    payload = {
        name: value
        for name, value in impersonal_fields(reading.loose()).items()
        if (field := meaning_of(name).field) is None or field.name not in _CORE_FIELDS
    }
    payload |= _from_around(conversion)
    payload |= {
        "event_name": conversion.event_name,
        "event_id": conversion.event_id,
        "event_time": row["event_time"],
        "user_data": _user_data(conversion, payload, row, rules),
    }
    payload |= _lost(conversion, payload)
    return {
        "event_id": row["event_id"],
        "event_name": row["event_name"],
        "event_type": row["event_type"],
        "event_payload": payload,
        "destinations": destinations,
        "lead_id": row["lead_id"],
        "session_id": row["session_id"],
    }


def _from_around(conversion: Conversion) -> dict[str, Any]:
    """What of the event stands outside of its own object, on an envelope, under the names by which
    it is read again."""
    reading = conversion.reading
    around = {name: found.value for name, found in reading.found.items() if found.node.relation} | {
        name: found.value for name, found in reading.privacy if found.node.relation
    }
    for name, stated in (("event_source_url", "page_url"), ("referrer_url", "referrer_url")):
        if around.pop(stated, None) is not None and (address := getattr(conversion, stated)):
            around[name] = address
    return impersonal_fields(
        {name: value for name, value in around.items() if name not in _CORE_FIELDS}
    )


def _lost(conversion: Conversion, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of consent, and the clicks, where ``payload`` no longer tells: they stood
    around the event, or among what is not kept, as cookies are not."""
    reading = conversion.reading
    # A click under its own name is read again for sure.
    lost = {
        name: found.value
        for name, found in reading.clicks().items()
        if payload.get(name) != found.value
    }
    if not lost and not reading.consents:
        return {}
    kept = read_payload(payload)
    lost = {name: click for name, click in lost.items() if name not in kept.clicks()}
    held = [(found.key, found.value) for _, found in kept.consents]
    statements = [
        (name, found) for name, found in reading.consents if (found.key, found.value) not in held
    ]
    said = [found for name, found in statements if name.way is not Way.GPC]
    if said:
        own = payload.get("consent_state")
        consent = dict(own) if isinstance(own, dict) else {}
        for found in said:
            # Of two under one name both count.
            key = f"{found.key} {len(consent)}" if found.key in consent else found.key
            consent[key] = found.value
        # Whatever was refused is said once more, and that nobody can tell.
        lost["consent_state"] = {**consent, **refused_purposes(conversion.consent)}
    if any(name.way is Way.GPC for name, _ in statements):
        lost["gpc"] = reading.has_privacy_control()
    return impersonal_fields(lost)


def _user_data(
    conversion: Conversion,
    clean: Mapping[str, Any],
    row: Mapping[str, Any],
    rules: IntakeRules,
) -> dict[str, Any]:
    """What the person is matched on: the hashes that the ledger keeps, beside what else stood there
    and is not personal. Google takes the country in clear, and Meta from it."""
    reading = conversion.reading
    given = clean.get("user_data")
    platform_ids = {name: found.value for name, found in reading.platform_ids.items()}
    user_data = {
        **(given if isinstance(given, dict) else {}),
        **impersonal_fields(platform_ids),
        **(row["user_data"] or {}),
    }
    moment = conversion.event_time
    countries = [each for each in reading.candidates(moment) if each[0] == "country"]
    googles, _ = resolve_candidates(countries, "google", rules.country)
    if country := googles.get("country"):
        user_data["country"] = country
    if rules.external_id == "raw":
        own, _ = person_keys(
            reading, "meta", rules.country, "all", event_time=moment, external_id="raw"
        )
        if external_id := own.get("external_id"):
            user_data["external_id"] = external_id
    return user_data
