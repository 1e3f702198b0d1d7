"""The intake of one application: who may post, and what becomes of what was posted."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from fastapi import FastAPI, Request

from tracking_pipeline.events.policy import reading_policy
from tracking_pipeline.store.intake import accept_events
from tracking_pipeline.store.refusals import is_of_the_row
from tracking_pipeline.web.context import WebContext
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.intake.events import (
    IncomingEvent,
    IntakeRules,
    Sender,
    UnusableEventError,
    read_event,
)
from tracking_pipeline.web.intake.lead_saving import (
    LeadColumns,
    PlacesAtHand,
    SavedLead,
    save_lead,
)
from tracking_pipeline.web.intake.leads import LeadForm
from tracking_pipeline.web.intake.limits import IntakeKey, RateLimit, client_of
from tracking_pipeline.web.intake.recorder import Recorded, Recorder, recorded_as, recorder
from tracking_pipeline.wiring.geo import local_provider
from tracking_pipeline.wiring.health import conversion_rule_from

_LONGEST_AGENT = 1_000
# Who forwards a visitor's request unchanged names the visitor here. Anybody may: it is worth as
# much as an address in the body, and says nothing about who is asked to wait.
VISITOR_ADDRESS = "x-visitor-address"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intake:
    """At work for as long as the application lives."""

    context: WebContext
    key: IntakeKey
    rate: RateLimit
    rules: IntakeRules
    recorder: Recorder
    columns: LeadColumns
    places: PlacesAtHand

    def admit(self, request: Request) -> Sender:
        """Who posts. Raises :class:`ApiError`: 401, 403 or 429."""
        self.key.require(request)
        address = self.context.client_address(request)
        wait = self.rate.seconds_to_wait(client_of(address))
        if wait > 0:
            raise ApiError(
                429,
                "too many requests from this client",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        return Sender(
            request.headers.get(VISITOR_ADDRESS, address),
            request.headers.get("user-agent", "")[:_LONGEST_AGENT],
        )

    def read_event(self, payload: Any, sender: Sender) -> IncomingEvent:
        """The event in a payload. Raises :class:`UnusableEventError`."""
        return read_event(payload, sender, self.rules, self.recorder.now())

    def event_of_lead(self, form: LeadForm, lead: SavedLead, sender: Sender) -> IncomingEvent:
        """The event of a saved lead. It is for the ledger alone, unless the form says which event
        it is. Raises :class:`UnusableEventError`."""
        rules = self.rules if form.names_event else replace(self.rules, forward_to=())
        return read_event(form.event_payload(lead.id), sender, rules, self.recorder.now())

    async def save_lead(
        self, form: LeadForm, sender: Sender
    ) -> tuple[SavedLead, IncomingEvent | None, Recorded]:
        """Saves a lead with its event, both or none; the event is None where it cannot be used or
        the ledger does not take it, for a lead without its event is still a lead.

        Raises :class:`UnusableEventError` for a lead that the site's table does not take.
        """
        place = await self.places.find(form)
        async with self.context.pool.connection() as connection, connection.transaction():
            try:
                lead = await save_lead(connection, form, place)
            except psycopg.Error as error:
                if is_of_the_row(error):
                    raise UnusableEventError(
                        f"refused by leads (SQLSTATE {error.sqlstate})"
                    ) from None
                raise
            try:
                event = self.event_of_lead(form, lead, sender)
                async with connection.transaction():
                    return lead, event, await _accept(connection, event)
            except UnusableEventError as error:
                log.warning("a lead's event cannot be used: %s", error)
            except psycopg.Error as error:
                if not is_of_the_row(error):
                    raise
                log.warning("the ledger refuses a lead's event (SQLSTATE %s)", error.sqlstate)
            return lead, None, Recorded()


async def _accept(connection: psycopg.AsyncConnection[Any], event: IncomingEvent) -> Recorded:
    accepted = await accept_events(
        connection,
        b"[" + event.row + b"]",
        b"[" + (event.hand_over or b"") + b"]",
        (event.event_id,),
    )
    return recorded_as(event, accepted)


@asynccontextmanager
async def intake_at_work(app: FastAPI) -> AsyncIterator[None]:
    """Puts the :class:`Intake` of the application's context into ``app.state.intake``."""
    context: WebContext = app.state.context
    settings = context.settings
    rules = IntakeRules(
        settings.default_country,
        settings.log_event_forward_to,
        conversion_rule_from(settings),
        settings.external_id,
        reading_policy(settings),
    )
    # The places of a rehearsal are the sandbox's, which is not at hand.
    provider = None if context.installation.database.rehearsal else local_provider(settings)
    places = PlacesAtHand(provider, settings.default_country)
    try:
        async with recorder(context.pool) as recording:
            app.state.intake = Intake(
                context,
                IntakeKey(settings.intake_key, settings.trusted_proxies),
                RateLimit(settings.intake_requests_per_minute),
                rules,
                recording,
                LeadColumns(context),
                places,
            )
            yield
    finally:
        places.close()
