"""Seeded sample rows for the demo and for rehearsals: leads, failed events and their faults, and
two weeks of conversions in the ledger, so that a rehearsal has a health.

The same seed gives the same rows, whatever the machine. What the failed events show:

- most can be delivered, in three payload shapes and for four destinations;
- about a fifth of them is not due yet, and some have been tried up to four times;
- every eighth can never be delivered, for five different reasons (`POISON`);
- `sample_scripts` adds events that the stand-in refuses, and some that meet an outage once.

What the ledger shows:

- most visitors who leave their name carry e-mail, network and browser keys; those who only click
  to call carry network and browser keys alone;
- `BANNER_DAYS` ago the site got another cookie banner, and since then most events come without the
  browser's keys: the score falls, and the check says because of which key.

Every sample lead has its own event in the ledger; the others belong to people who are in no table.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from itertools import cycle
from typing import Any
from uuid import UUID

from tracking_pipeline.sandbox.sample_people import (
    EMAIL_DOMAINS,
    MARKETS,
    PEOPLE,
    PUBLIC_ADDRESSES,
    USER_AGENTS,
    SamplePlace,
)
from tracking_pipeline.sandbox.steps import RawStep

# The shapes that a failed event's payload comes in. Pure.
#
# Three senders wrote them: one that talks to Meta and hashes first (`meta_payload`), one that
# writes the ledger (`ledger_payload`), and a plain form handler (`flat_payload`).

SITE = "https://www.example.com"


@dataclass(frozen=True)
class SampleConversion:
    """What happened: an event of a lead, before anyone gave it a shape.

    `event_id` is the id that the browser's pixel used. `value` is in US dollars.
    """

    event_id: str
    event_name: str
    event_time: datetime
    page_path: str
    value: float | None = None


def meta_payload(conversion: SampleConversion, lead: Mapping[str, Any]) -> dict[str, Any]:
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


def ledger_payload(conversion: SampleConversion, lead: Mapping[str, Any]) -> dict[str, Any]:
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


def flat_payload(conversion: SampleConversion, lead: Mapping[str, Any]) -> dict[str, Any]:
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


def _value(conversion: SampleConversion) -> dict[str, Any]:
    if conversion.value is None:
        return {}
    return {"value": conversion.value, "currency": "USD"}


def _letters(name: str) -> str:
    # Marks belong to letters in many scripts: only punctuation, symbols and spaces go.
    composed = unicodedata.normalize("NFC", name)
    return "".join(sign for sign in composed if unicodedata.category(sign)[0] not in "PSZ")


def _sha256(text: str) -> str:
    return sha256(text.strip().lower().encode()).hexdigest()


Row = dict[str, Any]

# 60 % of the leads come without a place: that is what enrich_leads is for.
SHARE_WITHOUT_PLACE = 0.6
# Of those, some told the site's assistant where they are.
SHARE_PLACE_IN_SESSION = 0.1
SHARE_NOT_DUE = 0.2
SHARE_RETRIED = 0.3
POISON_EVERY = 8
POISON = ("expired", "purchase_without_value", "no_identifiers", "no_event_name", "garbage")

_DESTINATIONS = {"meta_capi": 74, "supabase": 16, "google_ec": 5, "gtm_server": 5}
_EVENT_NAMES = ("Lead", "Lead", "Schedule", "Contact", "CompleteRegistration", "Purchase")
_LEDGER_NAMES = ("lead_captured", "booking_confirmed", "phone_lead_captured")
_PAGES = ("/", "/kitchens", "/quote", "/book-a-visit", "/thank-you")

# How the first send failed: message, code, HTTP status.
_FIRST_ERRORS: dict[str, tuple[tuple[str, str, int | None], ...]] = {
    "meta_capi": (
        ("Service temporarily unavailable", "2", 503),
        ("An unknown error has occurred.", "1", 500),
        ("(#4) Application request limit reached", "4", 403),
        ("Error validating access token: the session has expired", "190", 401),
        ("request timed out after 10000 ms", "ETIMEDOUT", None),
        ("socket hang up", "ECONNRESET", None),
    ),
    "supabase": (
        ("canceling statement due to statement timeout", "57014", 500),
        ("remaining connection slots are reserved", "53300", 503),
        ("connection terminated unexpectedly", "08006", None),
    ),
    "google_ec": (
        ("The service is currently unavailable.", "UNAVAILABLE", 503),
        ("Deadline expired before operation could complete.", "DEADLINE_EXCEEDED", 504),
    ),
    "gtm_server": (
        ("Bad Gateway", "502", 502),
        ("connect ECONNREFUSED", "ECONNREFUSED", None),
    ),
}


def sample_leads(count: int, seed: int, now: datetime | None = None) -> list[Row]:
    """Rows of `leads`, with `client_ip` and `country`, of the two weeks before `now`.

    `now` must know its time zone; without it the time of this machine is taken, which changes the
    times and nothing else.
    """
    lot = random.Random(f"leads {seed}")  # noqa: S311 - sample rows are no secret
    until = now or datetime.now(timezone.utc)
    return [_lead(lot, number, until) for number in range(count)]


def sample_failed_events(leads: Sequence[Row], count: int, seed: int, now: datetime) -> list[Row]:
    """Rows of `tracking_failed_events`, all waiting, with times relative to `now`.

    `now` must know its time zone. What can never be delivered belongs to no lead (`lead_id` null),
    so that no identifier of a lead can mend it. Raises `ValueError` without a lead to belong to.
    """
    if not leads:
        raise ValueError("sample events need at least one sample lead")
    lot = random.Random(f"failed events {seed}")  # noqa: S311 - sample rows are no secret
    poison = cycle(POISON)
    events = [
        _poison_event(lot, next(poison), leads, now)
        if number % POISON_EVERY == POISON_EVERY - 1
        else _good_event(lot, lot.choice(leads), now)
        for number in range(count)
    ]
    lot.shuffle(events)
    return events


def sample_scripts(events: Sequence[Row], seed: int) -> dict[str, list[RawStep]]:
    """Which events meet a fault at Meta's stand-in, by the id that Meta is told.

    Of the events that are due and were never tried, one in ten is refused for ever and one in
    twenty meets a single 503. All events of a request share its 503, so each event that meets one
    stands between two that are refused, in the order in which the queue is claimed (by id): the
    sender bisects, and the 503 is met alone. Spread at random, a few would fail most of a pass.
    """
    lot = random.Random(f"scripts {seed}")  # noqa: S311 - sample rows are no secret
    fresh = [
        delivered_id(event)
        for event in sorted(events, key=lambda event: event["id"].hex)
        if event["destination"] == "meta_capi"
        and event["lead_id"] is not None
        and event["retry_count"] == 0
        and event["next_retry_at"] is None
    ]
    threes = len(fresh) // 3
    scripts: dict[str, list[RawStep]] = {}
    for three in lot.sample(range(threes), min(threes, -(-len(fresh) // 20))):
        before, between, after = fresh[three * 3 : three * 3 + 3]
        scripts.update({before: ["bad"], between: [503], after: ["bad"]})
    return scripts


def delivered_id(event: Mapping[str, Any]) -> str:
    """The event id that a destination is told: the payload's own, else the row's."""
    return str(event["event_payload"].get("event_id") or event["event_id"])


def _lead(lot: random.Random, number: int, until: datetime) -> Row:
    person = lot.choice(PEOPLE)
    market = lot.choices(MARKETS, [market.weight for market in MARKETS])[0]
    place = None if lot.random() < SHARE_WITHOUT_PLACE else lot.choice(market.places)
    created_at = until - timedelta(minutes=lot.uniform(30, 14 * 1440))
    # Some visitors were never seen by a browser: they telephoned.
    address = lot.choice(PUBLIC_ADDRESSES) if lot.random() < 0.95 else None
    from_meta = lot.random() < 0.6
    told = place is None and lot.random() < SHARE_PLACE_IN_SESSION
    return {
        "id": _uuid(lot),
        "email": f"{person.mailbox}{number}@{lot.choice(EMAIL_DOMAINS)}",
        "name": f"{person.first_name} {person.last_name}",
        "first_name": person.first_name,
        "last_name": person.last_name,
        "phone": lot.choice(market.phones).replace("nn", f"{lot.randrange(5, 100):02d}"),
        "city": place.city if place else None,
        "state": place.state if place else None,
        "zip": place.zip if place else None,
        "country": market.country if place else None,
        "client_ip": address,
        "ip_hash": sha256(address.encode()).hexdigest() if address else None,
        "fbp": f"fb.1.{_milliseconds(created_at)}.{lot.randrange(10**9, 10**10)}",
        "fbc": f"fb.1.{_milliseconds(created_at)}.IwAR{_token(lot, 40)}" if from_meta else None,
        "gclid": None if from_meta else f"Cj0KCQ{_token(lot, 48)}",
        "client_user_agent": lot.choice(USER_AGENTS),
        "session_data": _session(lot.choice(market.places)) if told else None,
        "created_at": created_at,
        "updated_at": created_at,
    }


def _session(place: SamplePlace) -> Row:
    return {"aiContext": {"city": place.city, "state": place.state, "zip_code": place.zip}}


def _good_event(lot: random.Random, lead: Row, now: datetime) -> Row:
    destination = lot.choices(list(_DESTINATIONS), list(_DESTINATIONS.values()))[0]
    shape: Callable[[SampleConversion, Row], Row]
    if destination == "supabase":
        shape = ledger_payload
    else:
        shape = lot.choice((meta_payload, meta_payload, ledger_payload, flat_payload))
    name = lot.choice(_LEDGER_NAMES if shape is ledger_payload else _EVENT_NAMES)
    event_id = _uuid(lot)
    # After the lead came, and not so long ago that a platform would call the event too old.
    earliest = max(lead["created_at"], now - timedelta(days=2))
    failed_at = earliest + (now - earliest) * lot.uniform(0.1, 0.9)
    # A pixel's own id is any text; most sites use the id of the row.
    pixel_id = f"{name.lower()}-{_token(lot, 12)}" if lot.random() < 0.15 else str(event_id)
    conversion = SampleConversion(
        event_id=pixel_id if shape is meta_payload else str(event_id),
        event_name=name,
        event_time=failed_at - timedelta(seconds=lot.randrange(2, 90)),
        page_path=lot.choice(_PAGES),
        value=round(lot.uniform(49, 4900), 2) if name == "Purchase" else None,
    )
    row = _row(lot, event_id, shape(conversion, lead), destination, failed_at)
    row["lead_id"] = lead["id"]
    _let_time_pass(lot, row, now)
    return row


def _let_time_pass(lot: random.Random, row: Row, now: datetime) -> None:
    """Tries that failed already, and the next one: past for most, to come for the others."""
    if lot.random() < SHARE_RETRIED:
        row["retry_count"] = lot.randrange(1, 5)
        row["status"] = "retrying"
        row["next_retry_at"] = now - timedelta(minutes=lot.uniform(0.5, 30))
        row["updated_at"] += (now - row["created_at"]) * lot.uniform(0.1, 0.9)
    if lot.random() < SHARE_NOT_DUE:
        row["next_retry_at"] = now + timedelta(minutes=lot.uniform(15, 75))


def _poison_event(lot: random.Random, kind: str, leads: Sequence[Row], now: datetime) -> Row:
    event_id, failed_at = _uuid(lot), now - timedelta(hours=lot.uniform(2, 40))
    if kind == "expired":
        failed_at -= timedelta(days=8)
    name = "Purchase" if kind == "purchase_without_value" else "Lead"
    conversion = SampleConversion(str(event_id), name, failed_at - timedelta(seconds=20), "/quote")
    payload = meta_payload(conversion, lot.choice(leads))
    if kind == "no_identifiers":
        payload["user_data"] = {"client_user_agent": lot.choice(USER_AGENTS), "country": "us"}
    elif kind == "no_event_name":
        payload["event_name"] = ""
    elif kind == "garbage":
        payload = {"0": "[object Object]", "url": SITE, "error": "Unexpected token < in JSON"}
    return _row(lot, event_id, payload, "meta_capi", failed_at)


def _row(
    lot: random.Random, event_id: UUID, payload: Row, destination: str, failed_at: datetime
) -> Row:
    message, code, status = lot.choice(_FIRST_ERRORS[destination])
    return {
        "id": _uuid(lot),
        "event_id": event_id,
        # What is too broken to have a name was filed under the commonest one.
        "event_name": payload.get("event_name", "Lead"),
        "event_type": "conversion",
        "event_payload": payload,
        "user_data": payload.get("user_data"),
        "destination": destination,
        "error_message": message,
        "error_code": code,
        "http_status": status,
        "retry_count": 0,
        "max_retries": 5,
        "next_retry_at": None,
        "status": "pending",
        "resolved_at": None,
        "resolved_by": None,
        "created_at": failed_at,
        "updated_at": failed_at,
        "lead_id": None,
        "session_id": _uuid(lot),
    }


def _uuid(lot: random.Random) -> UUID:
    return UUID(int=lot.getrandbits(128), version=4)


def _token(lot: random.Random, length: int) -> str:
    return "".join(
        lot.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789", k=length)
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


DAYS = 14
BANNER_DAYS = 4
SHARE_LOST_TO_BANNER = 0.6
SHARE_NAMELESS = 0.5
_PEOPLE = 400
_OF_PEOPLE = ("lead_captured", "booking_confirmed", "consultation_booked")
_NAMELESS = "phone_lead_captured"


def sample_ledger(leads: Sequence[Row], count: int, seed: int, now: datetime) -> list[Row]:
    """Rows of `wm_event_log`: one for each of the `leads`, and `count` others of the `DAYS` before
    `now`, which must know its time zone."""
    lot = random.Random(f"ledger {seed}")  # noqa: S311 - sample rows are no secret
    people = sample_leads(_PEOPLE, seed * 1_000_003, now)
    rows = [_ledger_row(lot, "lead_captured", lead, lead["created_at"], now) for lead in leads]
    for _ in range(count):
        moment = now - timedelta(days=lot.uniform(0.001, DAYS))
        rows.append(_ledger_row_of_nobody(lot, lot.choice(people), moment, now))
    return rows


def _ledger_row_of_nobody(lot: random.Random, person: Row, moment: datetime, now: datetime) -> Row:
    """The event of somebody who is no lead of ours."""
    nameless = lot.random() < SHARE_NAMELESS
    name = _NAMELESS if nameless else lot.choice(_OF_PEOPLE)
    row = _ledger_row(lot, name, person, moment, now)
    row["lead_id"] = None
    if nameless:
        row["user_data"] = {
            key: row["user_data"][key] for key in ("client_ip_address", "client_user_agent")
        }
    return row


def _ledger_row(
    lot: random.Random, name: str, person: Mapping[str, Any], moment: datetime, now: datetime
) -> Row:
    event_id = UUID(int=lot.getrandbits(128), version=4)
    conversion = SampleConversion(str(event_id), name, moment, lot.choice(_PAGES))
    row = ledger_payload(conversion, person)
    lost = lot.random() < SHARE_LOST_TO_BANNER and now - moment < timedelta(days=BANNER_DAYS)
    browser = {"fbp": None, "fbc": None} if lost else {}
    return {**row, **browser, "event_time": moment, "created_at": moment}
