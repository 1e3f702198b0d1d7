"""Seeded sample rows of the ledger: two weeks of conversions, so that a rehearsal has a health.

What they show:

- most visitors who leave their name carry e-mail, network and browser keys; those who only click
  to call carry network and browser keys alone;
- `BANNER_DAYS` ago the site got another cookie banner, and since then most events come without the
  browser's keys: the score falls, and the check says because of which key.

The same seed gives the same rows. Every sample lead has its own event; the others belong to people
who are in no table.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tracking_pipeline.sandbox.sample_data import sample_leads
from tracking_pipeline.sandbox.sample_payloads import Conversion, ledger_payload

Row = dict[str, Any]

DAYS = 14
BANNER_DAYS = 4
SHARE_LOST_TO_BANNER = 0.6
SHARE_NAMELESS = 0.5
_PEOPLE = 400
_OF_PEOPLE = ("lead_captured", "booking_confirmed", "consultation_booked")
_NAMELESS = "phone_lead_captured"
_PAGES = ("/", "/kitchens", "/quote", "/book-a-visit", "/thank-you")


def sample_ledger(leads: Sequence[Row], count: int, seed: int, now: datetime) -> list[Row]:
    """Rows of `wm_event_log`: one for each of the `leads`, and `count` others of the `DAYS` before
    `now`, which must know its time zone."""
    lot = random.Random(f"ledger {seed}")  # noqa: S311 - sample rows are no secret
    people = sample_leads(_PEOPLE, seed * 1_000_003, now)
    rows = [_row(lot, "lead_captured", lead, lead["created_at"], now) for lead in leads]
    for _ in range(count):
        moment = now - timedelta(days=lot.uniform(0.001, DAYS))
        rows.append(_of_nobody(lot, lot.choice(people), moment, now))
    return rows


def _of_nobody(lot: random.Random, person: Row, moment: datetime, now: datetime) -> Row:
    """The event of somebody who is no lead of ours."""
    nameless = lot.random() < SHARE_NAMELESS
    name = _NAMELESS if nameless else lot.choice(_OF_PEOPLE)
    row = _row(lot, name, person, moment, now)
    row["lead_id"] = None
    if nameless:
        row["user_data"] = {
            key: row["user_data"][key] for key in ("client_ip_address", "client_user_agent")
        }
    return row


def _row(
    lot: random.Random, name: str, person: Mapping[str, Any], moment: datetime, now: datetime
) -> Row:
    event_id = UUID(int=lot.getrandbits(128), version=4)
    conversion = Conversion(str(event_id), name, moment, lot.choice(_PAGES))
    row = ledger_payload(conversion, person)
    lost = lot.random() < SHARE_LOST_TO_BANNER and now - moment < timedelta(days=BANNER_DAYS)
    browser = {"fbp": None, "fbc": None} if lost else {}
    return {**row, **browser, "event_time": moment, "created_at": moment}
