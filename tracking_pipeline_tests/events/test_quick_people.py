"""What is remembered of payloads that are built alike changes nothing that is read of one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.events import people, tree
from tracking_pipeline.events.node import Node
from tracking_pipeline.events.people import find_people, find_person
from tracking_pipeline.events.person import lead_candidates, person_keys
from tracking_pipeline.events.plan import plan_of
from tracking_pipeline.events.reading import Reading
from tracking_pipeline.events.row import Lead
from tracking_pipeline.events.tree import open_payload
from tracking_pipeline.identity.match import resolve_candidates
from tracking_pipeline.identity.platforms import VISITOR_IDS, ExternalIdMode
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

_HASH, _OTHER_HASH = "ab" * 32, "cd" * 32
_VALUES = st.sampled_from(
    [
        *("8.8.8.8", "10.0.0.1", "fb.1.1796044082000.12", "DE", "us", "75460", "Berlin"),
        *("ann@shop.example", "bob@shop.example", "+1 415 555 0123", "415-555-0199", "ann"),
        *(_HASH, _OTHER_HASH, _HASH.upper(), "undefined", "", " ", None, True, 1, 4155550123),
        *([_HASH], [_HASH, "ann@shop.example"], {"value": "bob@shop.example"}, []),
    ]
)
_NAMES = (
    *("em", "ph", "fn", "email", "phone", "full_name", "fbp", "fbc", "client_ip_address", "city"),
    *("country", "sha256_email_address", "external_id", "zip", "client_user_agent"),
)


@st.composite
def _persons(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """The person as the event has it and as the row's column does: often a copy."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4, unique=True))
    person = {name: draw(_VALUES) for name in names}
    column = {name: person[name] if draw(st.booleans()) else draw(_VALUES) for name in names}
    return person, column


_PLACES = ("user_data", "userData", "customer", "lead", "billing", "properties")


@given(_persons(), st.sampled_from(_PLACES))
def test_the_person_is_the_same_as_if_nothing_were_remembered(
    persons: tuple[dict[str, Any], dict[str, Any]], place: str
) -> None:
    person, column = persons
    for kept in (column, dict(person), None):
        opened = open_payload({"event_name": "Lead", "event_id": "e-1", place: person}, kept)
        remembered = find_person(opened, plan_of(opened).people)
        described = find_people(sorted(opened.nodes, key=_nearness))
        nodes = [opened.nodes[index] for index in described.people]
        told = [opened.nodes[index] for index in described.told]
        whose = people._without_strangers(nodes, told) if told else (nodes, [])
        assert remembered == people._described_in(*whose)


@given(
    _persons(),
    st.sampled_from(_PLACES),
    st.sampled_from(
        [{}, {"country": "DE"}, {"fbclid": "IwAR1"}, {"url": "https://a.example/?ttclid=t"}]
    ),
    st.sampled_from(["meta", "google", "tiktok", "reddit", VISITOR_IDS]),
    st.sampled_from(["hashed", "raw"]),
    st.sampled_from([None, Lead(email="ann@shop.example", phone=_HASH, fbp="x", country="DE")]),
)
def test_the_keys_are_those_that_the_candidates_make(  # noqa: PLR0917  one for each strategy
    persons: tuple[dict[str, Any], dict[str, Any]],
    place: str,
    beside: dict[str, Any],
    platform: str,
    external_id: ExternalIdMode,
    lead: Lead | None,
) -> None:
    person, column = persons
    payload = {"event_name": "Lead", "event_id": "e-1", **beside, place: person}
    for kept in (column, dict(person), None):
        reading = Reading(claimed(payload, user_data=kept, lead=lead))
        keys, dropped = person_keys(
            reading, platform, "US", "all", event_time=NOW, external_id=external_id
        )
        candidates = _reading_of(payload, kept).candidates(NOW)
        country = "US"
        if lead is not None:
            candidates += lead_candidates(lead, "all")
            country = "DE"
        made = resolve_candidates(candidates, platform, country, external_id)
        assert keys == made.keys
        assert sorted(dropped) == sorted(made.dropped)


def _reading_of(payload: Any, column: Any) -> Reading:
    return Reading(claimed(payload, user_data=column))


_SCALARS = st.sampled_from(
    [
        *(None, 1, True, "", "Lead", "a much longer text", "ann@shop.example", "DE", _HASH),
        *('{"em": "ann@shop.example"}', "email=ann%40shop.example&x=1", "eyJlbSI6ICJhIn0="),
    ]
)
_PLACES_AND_NAMES = (
    *("event_name", "event_id", "event_time", "event", "email", "country", "value", "currency"),
    *("user_data", "custom_data", "customer", "data", "payload", "properties", "context", "url"),
    *("body", "items", "consent", "address", "gclid", "something", "cookies", "history"),
)
_OBJECTS = st.recursive(
    _SCALARS,
    lambda inner: (
        st.dictionaries(st.sampled_from(_PLACES_AND_NAMES), inner, max_size=5)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)


@st.composite
def _alike(draw: st.DrawFn) -> tuple[Any, Any]:
    """An object, and one with the same names at the top, of which some hold something else."""
    one = draw(st.dictionaries(st.sampled_from(_PLACES_AND_NAMES), _OBJECTS, max_size=6))
    return one, {name: draw(_OBJECTS) if draw(st.booleans()) else one[name] for name in one}


@given(_alike(), _alike() | st.just((None, None)))
def test_a_payload_is_read_as_if_none_like_it_had_been(
    payloads: tuple[Any, Any], columns: tuple[Any, Any]
) -> None:
    pairs = [(payload, column) for payload in payloads for column in columns]
    afresh = []
    for payload, column in pairs:
        tree._layouts.clear()
        tree._outlines.clear()
        afresh.append(_told(_reading_of(payload, column)))
    for _ in range(2):
        assert [_told(_reading_of(payload, column)) for payload, column in pairs] == afresh


@pytest.mark.parametrize("beside", [{}, {"user_data": {"em": "ann@shop.example"}}])
def test_two_built_alike_are_one_event_or_two_whatever_was_read_before(
    beside: dict[str, Any],
) -> None:
    def problem_of(one: str, other: str) -> str | None:
        parts = {name: {"value": 5, "email": email} for name, email in (("a", one), ("b", other))}
        return open_payload({**beside, **parts}).problem

    for _ in range(2):
        assert problem_of("ann@shop.example", "ann@shop.example") is None
        assert problem_of("ann@shop.example", "bob@shop.example") == tree.SEVERAL_EVENTS


def _told(reading: Reading) -> list[Any]:
    opened = reading.tree
    nodes = [
        [node.parent and node.parent.index, *(getattr(node, name) for name in _OF_A_NODE)]
        for node in opened.nodes
    ]
    found = {name: (each.value, each.path) for name, each in reading.found.items()}
    clicks = {name: (each.value, each.path) for name, each in reading.clicks().items()}
    return [
        *(nodes, opened.event and opened.event.index, opened.problem),
        *(opened.mappings, list(opened.countries)),
        *(found, clicks, reading.loose(), reading.candidates(NOW)),
    ]


_OF_A_NODE = [name for name in Node.__slots__ if name != "parent"]


def _nearness(node: Any) -> tuple[int, ...]:
    return (node.relation, node.depth, node.place.kind, node.index)
