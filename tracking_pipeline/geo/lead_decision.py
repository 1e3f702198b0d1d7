"""What becomes of one lead: pure decisions over its columns, its session and its address.

What a person said comes first: the lead's own columns, then its session. The place of the address
fills what is still blank. A lead whose city, state and zip are known from a person is not looked
up at all.
"""

from __future__ import annotations

from typing import NamedTuple

from tracking_pipeline.geo.address import RefusedAddress, lead_address
from tracking_pipeline.geo.place import Place, session_place
from tracking_pipeline.geo.provider import NO_PLACE, AddressFinding, next_ask
from tracking_pipeline.store.lead_places import FoundPlace
from tracking_pipeline.store.leads import UnplacedLead

SESSION = "session"


class LeadQuestion(NamedTuple):
    """A lead, what its session says of its place, and what is left to look up.

    ``is_complete``: nothing is. Else ``address`` is public, or the reason why there is none to look
    up, or None where nothing was stored.
    """

    lead: UnplacedLead
    stated: Place
    is_complete: bool
    address: str | RefusedAddress | None = None


def question(lead: UnplacedLead, default_country: str) -> LeadQuestion:
    """What has to be looked up for a lead. ``default_country`` (ISO alpha-2) is that of leads that
    name none: it tells how to read their state."""
    country = lead.country or default_country
    stated = (session_place(lead.session, country) if lead.session else None) or NO_PLACE
    if all((lead.city or stated.city, lead.state or stated.state, lead.zip or stated.zip)):
        return LeadQuestion(lead, stated, is_complete=True)
    return LeadQuestion(lead, stated, is_complete=False, address=lead_address(lead.address))


def found_without_look_up(asked: LeadQuestion) -> FoundPlace:
    """How a lead stands that is complete, or has no public address.

    Without any address it is looked at again for its first day: the event that carries the address
    may be on its way.
    """
    if asked.is_complete:
        return _found(asked, AddressFinding(None), status="ok")
    if isinstance(asked.address, RefusedAddress):
        return _found(asked, AddressFinding(None), status=asked.address.value)
    attempts = asked.lead.attempts + 1
    wait = next_ask(attempts) if asked.lead.is_new else None
    later = AddressFinding(
        None, attempts=attempts, wait_seconds=wait.total_seconds() if wait else None
    )
    return _found(asked, later, status="no_data")


def found_by_address(asked: LeadQuestion, finding: AddressFinding) -> FoundPlace:
    """How a lead stands after its address was looked up."""
    return _found(asked, finding, status=finding.status)


def _found(asked: LeadQuestion, finding: AddressFinding, *, status: str | None) -> FoundPlace:
    lead, stated, place = asked.lead, asked.stated, finding.place
    if lead.is_located:
        # What was found is never unfound, and nothing of another place is put beside it.
        status, finding = "ok", finding._replace(status="ok", attempts=0, wait_seconds=None)
        place = NO_PLACE if _contradicts(lead, place) else place
    city, city_source = _field(lead.city, stated.city, place.city, finding.source)
    state, state_source = _field(lead.state, stated.state, place.state, finding.source)
    zip_code, zip_source = _field(lead.zip, stated.zip, place.zip, finding.source)
    country, country_source = _field(lead.country, stated.country, place.country, finding.source)
    return FoundPlace(
        lead.id,
        status,
        attempts=finding.attempts,
        wait_seconds=finding.wait_seconds,
        city=city,
        city_source=city_source,
        state=state,
        state_source=state_source,
        state_code=(stated if state_source == SESSION else place).state_code if state else None,
        zip=zip_code,
        zip_source=zip_source,
        country=country,
        country_source=country_source,
        hosting=finding.hosting,
        is_refill=lead.is_located,
    )


def _contradicts(lead: UnplacedLead, place: Place) -> bool:
    """Whether a part of the lead's place is another one than this place's."""
    pairs = (
        (lead.city, (place.city,)),
        (lead.state, (place.state, place.state_code)),
        (lead.country, (place.country,)),
    )
    return any(
        present
        and known[0]
        and present.casefold() not in {(each or "").casefold() for each in known}
        for present, known in pairs
    )


def _field(
    present: str | None, stated: str | None, looked_up: str | None, source: str | None
) -> tuple[str | None, str | None]:
    """What to write into a column, and its source: nothing where there is something."""
    if present:
        return None, None
    if stated:
        return stated, SESSION
    return (looked_up, source) if looked_up else (None, None)
