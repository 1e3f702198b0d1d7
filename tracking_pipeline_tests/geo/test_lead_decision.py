"""What becomes of a lead, over all mixtures of what is known."""

from __future__ import annotations

from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.geo.lead_decision import (
    SESSION,
    found_by_address,
    found_without_look_up,
    question,
)
from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.provider import AddressFinding, AddressStatus
from tracking_pipeline.store.lead_places import PLACE_COLUMNS
from tracking_pipeline.store.leads import UnplacedLead

names = st.none() | st.sampled_from(["Miami", "Austin"])
states = st.none() | st.sampled_from(["Florida", "Texas"])
zips = st.none() | st.sampled_from(["33130", "78701"])
countries = st.none() | st.just("US")
sessions = st.fixed_dictionaries({}, optional={"city": names, "state": states, "zip": zips})
addresses = st.none() | st.sampled_from(["8.8.8.8", "10.0.0.1", "unknown"])
places = st.builds(Place, names, states, st.none(), zips, countries)

leads = st.builds(
    UnplacedLead,
    id=st.just(UUID(int=1)),
    created_at=st.just("2026-11-24"),
    city=names,
    state=states,
    zip=zips,
    country=countries,
    session=st.none() | sessions.map(lambda session: orjson.dumps(session).decode()),
    address=addresses,
    attempts=st.integers(0, 9),
    is_new=st.booleans(),
    is_located=st.booleans(),
)


@given(leads, places)
def test_a_column_that_says_something_is_never_written(lead: UnplacedLead, place: Place) -> None:
    asked = question(lead, "US")
    finding = AddressFinding("ok", place, "mmdb x 2026-11")
    for found in (found_by_address(asked, finding), found_without_look_up(asked)):
        for column in PLACE_COLUMNS:
            value, source = getattr(found, column), getattr(found, f"{column}_source")
            assert (value is None) == (source is None)
            assert not (value and getattr(lead, column))
        assert found.state_code is None or found.state is not None


@given(leads, places)
def test_the_session_comes_before_the_address(lead: UnplacedLead, place: Place) -> None:
    asked = question(lead, "US")
    found = found_by_address(asked, AddressFinding("ok", place, "mmdb x 2026-11"))
    for column in PLACE_COLUMNS:
        if getattr(found, column) and getattr(asked.stated, column):
            assert getattr(found, f"{column}_source") == SESSION
            assert getattr(found, column) == getattr(asked.stated, column)


@given(leads)
def test_a_lead_is_looked_up_only_where_something_is_missing_and_there_is_an_address(
    lead: UnplacedLead,
) -> None:
    asked = question(lead, "US")
    known = (lead.city or asked.stated.city, lead.state or asked.stated.state)
    complete = all((*known, lead.zip or asked.stated.zip))
    assert asked.is_complete == complete
    assert (asked.address == "8.8.8.8") == (not complete and lead.address == "8.8.8.8")
    if complete:
        assert found_without_look_up(asked).status == "ok"


@given(leads.filter(lambda lead: lead.address is None))
def test_only_new_leads_wait_for_an_address(lead: UnplacedLead) -> None:
    asked = question(lead, "US")
    found = found_without_look_up(asked)
    open_question = not asked.is_complete and not lead.is_located
    waits = open_question and lead.is_new and lead.attempts < 5
    assert (found.wait_seconds is not None) == waits


@given(leads.filter(lambda lead: lead.is_located), places, st.sampled_from(["ok", "failed"]))
def test_a_lead_whose_place_was_found_stays_found_and_gets_nothing_of_another_place(
    lead: UnplacedLead, place: Place, status: AddressStatus
) -> None:
    found = found_by_address(question(lead, "US"), AddressFinding(status, place, "mmdb x 2026-11"))
    assert (found.status, found.attempts, found.wait_seconds) == ("ok", 0, None)
    if lead.city and place.city and lead.city != place.city:
        assert "mmdb x 2026-11" not in {
            getattr(found, f"{column}_source") for column in PLACE_COLUMNS
        }
