"""Saves a lead with its event in one transaction, and its place where that is known at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg

from tracking_pipeline.geo.lead_decision import found_by_address, found_without_look_up, question
from tracking_pipeline.geo.mmdb import MmdbProvider
from tracking_pipeline.geo.provider import Inquiry
from tracking_pipeline.geo.saving import save
from tracking_pipeline.identity import normalize
from tracking_pipeline.store.importing import TableColumn, read_columns
from tracking_pipeline.store.intake import (
    KnownLead,
    fill_lead,
    find_lead_by_email,
    find_lead_by_id,
    insert_lead,
)
from tracking_pipeline.store.lead_places import FoundPlace
from tracking_pipeline.store.leads import UnplacedLead
from tracking_pipeline.web.context import WebContext
from tracking_pipeline.web.intake.leads import LeadForm

_COLUMNS_SECONDS = 60.0


class LeadColumns:
    """The columns of the site's ``leads``, read again every minute."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._columns: dict[str, TableColumn] = {}
        self._read_at = float("-inf")

    async def read(self) -> dict[str, TableColumn]:
        """The columns by name. Raises DatabaseError."""
        if time.monotonic() - self._read_at > _COLUMNS_SECONDS:
            self._columns = await self._context.query(
                lambda connection: read_columns(connection, "leads")
            )
            self._read_at = time.monotonic()
        return self._columns


class PlacesAtHand:
    """Finds the place of a lead without the network: what the lead says itself, or the local file.
    None: the batch will look."""

    def __init__(self, provider: MmdbProvider | None, default_country: str) -> None:
        self._provider = provider
        self._default_country = default_country

    async def find(self, form: LeadForm) -> FoundPlace | None:
        """What to note of the form's place; None where that is left to the batch."""
        asked = question(_lead_of(form), self._default_country)
        if asked.is_complete:
            return found_without_look_up(asked)
        if self._provider is None or not isinstance(asked.address, str):
            return None
        inquiry = Inquiry((asked.address,))
        await inquiry.ask((self._provider,))
        finding = inquiry.finding(asked.address, 0)
        return found_by_address(asked, finding) if finding.place.city else None

    def close(self) -> None:
        """Closes the file."""
        if self._provider is not None:
            self._provider.close()


def _lead_of(form: LeadForm) -> UnplacedLead:
    values = form.values
    session = values.get("session_data")
    return UnplacedLead(
        id=form.id,
        created_at=None,
        city=values.get("city"),
        state=values.get("state"),
        zip=values.get("zip"),
        country=values.get("country"),
        session=orjson.dumps(session).decode() if session is not None else None,
        address=values.get("client_ip"),
        attempts=0,
        is_new=True,
    )


class LeadConflictError(Exception):
    """A lead that is not this person's is in the way; nothing was stored. One line, which tells
    nothing of the other."""


@dataclass(frozen=True, slots=True)
class SavedLead:
    """``is_new`` False: the lead was there already, and got of the form what it lacked. ``is_told``
    False: it was found by its e-mail address alone, so its id is not the sender's to know."""

    id: UUID
    is_new: bool
    is_located: bool
    is_told: bool = True


async def save_lead(
    connection: psycopg.AsyncConnection[Any], form: LeadForm, place: FoundPlace | None
) -> SavedLead:
    """Inserts the lead, in the caller's transaction, with its place; one that is there
    already is filled instead. Raises :class:`LeadConflictError` and psycopg errors."""
    if await insert_lead(connection, form.columns, form.row):
        saved = await save(connection, [place] if place else [])
        return SavedLead(form.id, True, bool(saved.sources))
    known = await _known_lead(connection, form)
    await fill_lead(connection, known.id, form.said, form.said_row)
    return SavedLead(known.id, False, False, is_told=known.id == form.id)


async def _known_lead(connection: psycopg.AsyncConnection[Any], form: LeadForm) -> KnownLead:
    """The lead that is in the way of the form's, where it is the same person's."""
    known = await find_lead_by_id(connection, form.id)
    if known is None:
        known = await find_lead_by_email(connection, form.email)
        if known is None:
            raise LeadConflictError("another lead has what must be unique in leads: correct it")
    elif normalize("em", known.email) != normalize("em", form.email):
        # A site may also have corrected the address of a lead whose form is sent again.
        raise LeadConflictError(
            "another lead has this id: send another lead_id (without one: another"
            " Idempotency-Key, event_id or session_id)"
        )
    return known
