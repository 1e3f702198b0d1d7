"""No reading merges two people, and no reading depends on what was read before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline_tests.delivery.claimed import claimed
from tracking_pipeline_tests.events.written import (
    DESTINATIONS,
    SPELLINGS,
    destination,
    facts,
    purchase,
    renamed,
    sent,
    sha256,
    text_of,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES

_FIRST_NAMES = ("Alba", "Bruno", "Chiara", "Dmitri", "Esther", "Farouk", "Greta", "Hideo")
_LAST_NAMES = ("Quintero", "Rasmussen", "Sikorska", "Takahashi", "Ueberroth", "Vandenberg")


class Somebody(NamedTuple):
    first: str
    last: str
    phone: str

    @property
    def email(self) -> str:
        return f"{self.first}.{self.last}@example.com".lower()

    def written(self, parts: frozenset[str]) -> dict[str, Any]:
        """The e-mail, and those of the other parts that are asked for."""
        told = {
            "email": self.email,
            "phone": self.phone,
            "first_name": self.first,
            "last_name": self.last,
            "name": f"{self.first} {self.last}",
        }
        return {name: value for name, value in told.items() if name in {"email", *parts}}

    def is_in(self, text: str) -> bool:
        """Whether anything of them stands in what is sent, in the clear or hashed."""
        digits = self.phone.lstrip("+")
        said = (self.email, digits, self.first.lower(), self.last.lower())
        hashes = [sha256(each) for each in (*said, self.phone)]
        return any(mark in text.lower() for mark in (*said, *hashes))


@st.composite
def two_people(draw: st.DrawFn) -> tuple[Somebody, Somebody]:
    firsts = draw(st.permutations(_FIRST_NAMES))
    lasts = draw(st.permutations(_LAST_NAMES))
    numbers = draw(st.lists(st.integers(2_000_000, 9_999_999), min_size=2, max_size=2, unique=True))
    assume(numbers[0] % 10_000 != numbers[1] % 10_000)
    one, other = (
        Somebody(firsts[n], lasts[n], f"+1650{number}") for n, number in enumerate(numbers)
    )
    return one, other


PARTS = st.frozensets(st.sampled_from(["phone", "first_name", "last_name", "name"]))
Into = Callable[[dict[str, Any], dict[str, Any]], Any]


def _under(name: str) -> Into:
    return lambda event, person: event.setdefault(name, person)


_INTO: dict[str, Into] = {
    name: _under(name)
    for name in (
        "user_data", "customer", "user", "traits", "billing", "shipping", "contact", "lead",
        "profile", "guest", "attendee", "recipient", "seller", "referrer", "friend", "author",
        "acme_extra", "second", "spouse", "passenger", "form_data", "owner",
    )
}  # fmt: skip
_INTO |= {
    "traits in context": lambda event, person: event.setdefault("context", {"traits": person}),
    "beside it in properties": lambda event, person: event.setdefault("properties", person),
    "custom_data": lambda event, person: event.setdefault("custom_data", person),
    "passengers": lambda event, person: event.setdefault("passengers", [person]),
    "customers": lambda event, person: event.setdefault("customers", [person]),
    "order's customer": lambda event, person: event.setdefault("order", {"customer": person}),
    "user_data as text": lambda event, person: event.setdefault("userData", json.dumps(person)),
    "the event itself": lambda event, person: event.update(person),
    "what was before": lambda event, person: event.setdefault("previous", person),
}
PLACES = st.sampled_from(sorted(_INTO))


@settings(max_examples=200)
@given(
    two_people(),
    st.lists(PLACES, min_size=2, max_size=2, unique=True),
    st.tuples(PARTS, PARTS),
    st.sampled_from(sorted(ENVELOPES)),
)
def test_what_is_sent_holds_one_person(
    people: tuple[Somebody, Somebody],
    places: list[str],
    parts: tuple[frozenset[str], frozenset[str]],
    envelope: str,
) -> None:
    one, other = people
    payload = purchase(email=None)
    for place, person, told in zip(places, people, parts, strict=True):
        _INTO[place](payload, person.written(told))

    for name in DESTINATIONS:
        for stored in (payload, ENVELOPES[envelope](payload)):
            outcome = destination(name).prepare(claimed(stored))
            if isinstance(outcome, Prepared):
                text = text_of(outcome)
                assert not (one.is_in(text) and other.is_in(text)), (name, payload)


@settings(max_examples=100)
@given(two_people(), PARTS, PARTS, st.sampled_from(["customers", "leads", "user", "people"]))
def test_of_several_people_in_a_list_nobody_is_the_events(
    people: tuple[Somebody, Somebody],
    first_parts: frozenset[str],
    second_parts: frozenset[str],
    name: str,
) -> None:
    one, other = people
    payload = purchase(email=None, fbp="fb.1.1764000000000.1234567890")
    payload[name] = [one.written(first_parts), other.written(second_parts)]

    assert not {"em", "ph", "fn", "ln"} & sent("meta_capi", payload)["user_data"].keys()


@settings(max_examples=100)
@given(two_people(), PLACES, PARTS)
def test_who_stands_in_the_event_is_its_person(
    people: tuple[Somebody, Somebody], place: str, parts: frozenset[str]
) -> None:
    assume(place != "the event itself")
    one, other = people
    payload = purchase(user_data=one.written(frozenset(("phone",))), email=None)
    _INTO[place](payload, other.written(parts))

    for name in DESTINATIONS:
        assert facts(name, sent(name, payload))["emails"] == [sha256(one.email)], name


_SAME = (
    lambda person: person.email.upper(),
    lambda person: f" {person.email} ",
    lambda person: sha256(person.email),
)


@settings(max_examples=60)
@given(two_people(), PLACES, st.sampled_from(_SAME))
def test_one_person_in_two_places_is_one_person(
    people: tuple[Somebody, Somebody], place: str, again: Callable[[Somebody], str]
) -> None:
    assume(place != "the event itself")
    person, _ = people
    payload = purchase(email=None, customer={"email": person.email})
    _INTO[place](payload, {"email": again(person)})

    for name in DESTINATIONS:
        assert set(facts(name, sent(name, payload))["emails"]) == {sha256(person.email)}, name


@settings(max_examples=100)
@given(two_people(), PLACES, PARTS, PARTS)
def test_nobody_else_is_taken_from_the_rows_own_column(
    people: tuple[Somebody, Somebody],
    place: str,
    parts: frozenset[str],
    column_parts: frozenset[str],
) -> None:
    one, other = people
    payload = purchase(email=None)
    _INTO[place](payload, one.written(parts))

    for name in DESTINATIONS:
        column = other.written(column_parts)
        outcome = destination(name).prepare(claimed(payload, user_data=column))
        if isinstance(outcome, Prepared):
            text = text_of(outcome)
            assert not (one.is_in(text) and other.is_in(text)), name


# -- built alike, and yet another payload ----------------------------------------------------------

_VALUES = st.sampled_from(
    ["alba@example.com", "bruno@example.com", "", "undefined", None, sha256("alba@example.com"), 7]
)


def _alike(first: Any, second: Any, third: Any, event: Any, number: Any) -> dict[str, Any]:
    """A payload whose outline is the same for all values."""
    return purchase(email=None) | {
        "event_name": event,
        "order_id": number,
        "customer": {"email": first, "phone": "+1 650 555 1212"},
        "billing": {"email": second, "first_name": "Alba"},
        "acme_extra": {"email": third},
        "custom_data": {"order_id": "B-2", "content_type": "hotel", "city": "Paris"},
        "fbp": "fb.1.1764000000000.1234567890",
    }


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(
            _VALUES,
            _VALUES,
            _VALUES,
            st.sampled_from(["Purchase", "undefined", "Lead"]),
            st.sampled_from(["A-1", "null", 7, 0]),
        ),
        min_size=2,
        max_size=4,
    ),
    st.integers(0, 10**9),
)
def test_what_was_read_before_changes_nothing(values: list[Any], unique: int) -> None:
    """What is worked out once for payloads built alike holds for each of them."""
    payloads = [_alike(*each) for each in values]
    for name in ("meta_capi", "google_ec"):
        for payload in payloads:
            destination(name).prepare(claimed(payload))
        # Nobody has read one with this name in it.
        alone = destination(name).prepare(claimed({**payloads[0], f"acme_{unique}_{name}": 1}))
        again = destination(name).prepare(claimed(payloads[0]))
        assert type(alone) is type(again)
        if isinstance(alone, Prepared) and isinstance(again, Prepared):
            assert alone.body == again.body


@settings(max_examples=60)
@given(two_people(), PLACES, PARTS, st.sampled_from(sorted(SPELLINGS)))
def test_the_spelling_of_a_persons_fields_changes_nothing(
    people: tuple[Somebody, Somebody], place: str, parts: frozenset[str], spelling: str
) -> None:
    payload = purchase(email=None, fbp="fb.1.1764000000000.1234567890")
    _INTO[place](payload, people[0].written(parts))

    other = renamed(payload, spelling)
    for name in ("meta_capi", "google_ec"):
        first, second = (destination(name).prepare(claimed(each)) for each in (payload, other))
        assert type(first) is type(second)
        if isinstance(first, Prepared) and isinstance(second, Prepared):
            mine, theirs = json.loads(first.body), json.loads(second.body)
            assert mine.get("user_data") == theirs.get("user_data")
            assert mine.get("userData") == theirs.get("userData")


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_who_was_in_a_row_before_it_changed_is_not_its_person(envelope: str) -> None:
    before = Somebody("Alba", "Quintero", "+16502345678")
    payload = {
        "type": "UPDATE",
        "record": purchase(email="greta.sikorska@example.com"),
        "old_record": purchase(email=before.email, phone=before.phone),
    }

    for name in DESTINATIONS:
        outcome = destination(name).prepare(claimed(ENVELOPES[envelope](payload)))
        assert not isinstance(outcome, Prepared) or not before.is_in(text_of(outcome))
