"""Intake: who may post and how often, and what becomes of what was posted."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from pydantic import SecretStr

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
from tracking_pipeline.web.intake.recorder import Recorded, Recorder, recorded_as, recorder
from tracking_pipeline.web.security.client_address import Network, is_local
from tracking_pipeline.wiring.geo import local_provider
from tracking_pipeline.wiring.health import conversion_rule_from

MOST_CLIENTS = 50_000
_MINUTE = 60.0
# What one household or one server gets of IPv6: whoever has it has all its addresses.
_V6_PREFIX = 64


class IntakeKey:
    """``INTAKE_KEY``, sent as ``X-API-Key``, as ``apikey`` (Supabase's clients) or as a bearer; or
    as ``apikey`` in the query, by ``navigator.sendBeacon``, which can set no header. It is known to
    every visitor of the site, and no query is logged here.

    Without a key configured only a process of this machine may post; ``trusted`` are the proxies of
    ours, which may stand on it.
    """

    def __init__(self, key: SecretStr | None, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._digest = _digest(key.get_secret_value()) if key else None

    def require(self, request: Request) -> None:
        """Raises :class:`ApiError`: 401 without the right key, 403 where none is configured."""
        if self._digest is None:
            if not is_local(request, self._trusted):
                raise ApiError(403, "intake is closed to the network: set INTAKE_KEY")
            return
        headers = request.headers
        given = headers.get("x-api-key") or headers.get("apikey")
        if given is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            given = token.strip() if scheme.lower() == "bearer" else ""
        if not given:
            given = request.query_params.get("apikey", "")
        if not hmac.compare_digest(_digest(given), self._digest):
            raise ApiError(
                401,
                "the intake key is needed: send it as X-API-Key",
                headers={"WWW-Authenticate": 'Bearer realm="tracking_pipeline intake"'},
            )


def _digest(key: str) -> bytes:
    # Of one length whatever was sent, so that a comparison tells nothing about the key's own.
    return hashlib.sha256(key.encode()).digest()


class RateLimit:
    """So many requests a minute for each client, of which a whole minute's may come at once.

    One number a client (the generic cell rate algorithm): when it will have used up what it took.
    Of more than :data:`MOST_CLIENTS` the one that was away longest is forgotten.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = _MINUTE / per_minute
        self._clock = clock
        self._used_up: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_up)

    def seconds_to_wait(self, client: str) -> float:
        """0 where the client may go on, and takes its turn; else when it may come again."""
        now = self._clock()
        used_up = max(self._used_up.get(client, now), now) + self._interval
        # A hair's breadth, because sixty times a sixtieth is not quite one.
        wait = used_up - now - _MINUTE
        if wait > self._interval / 1000:
            return wait
        self._used_up[client] = used_up
        self._used_up.move_to_end(client)
        if len(self._used_up) > MOST_CLIENTS:
            self._used_up.popitem(last=False)
        return 0.0


def client_of(address: str | None) -> str:
    """What a client is told apart by: its IPv4 address, or the /64 that its IPv6 address is in."""
    if address is None or ":" not in address:
        return address or ""
    parsed = ip_address(address)
    assert isinstance(parsed, IPv6Address)  # noqa: S101
    return str(IPv6Network((int(parsed), _V6_PREFIX), strict=False))


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
