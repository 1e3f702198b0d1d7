"""A refusal, wherever it is read, stops every ad destination, in any form and envelope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    SPELLINGS,
    each_outcome,
    renamed,
    spelled,
)
from tracking_pipeline_tests.events.written_consent import (
    GRANTED,
    OBJECTS,
    REFUSED,
    STATEMENTS,
    UNCLEAR,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES, WRITINGS
from tracking_pipeline_tests.events.written_forms import FORMS

# What is told of other things: nobody's identifiers are read there, and no statement.
_OF_OTHERS = frozenset(("items", "products"))
_ITS_OWN = frozenset(("consent", "consent_state"))


def mappings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each object in which a person's identifiers would be read."""
    if isinstance(value, dict):
        yield path
        for name, each in value.items():
            if name not in _OF_OTHERS | _ITS_OWN:
                yield from mappings(each, (*path, name))
    elif isinstance(value, list):
        for position, each in enumerate(value):
            yield from mappings(each, (*path, position))


@st.composite
def added(draw: st.DrawFn, values: tuple[Any, ...]) -> Any:
    """A purchase in some form, with a statement of one of these values in any object of it."""
    form = draw(st.sampled_from(FORMS))
    payload = json.loads(json.dumps(form.payload))
    path = draw(st.sampled_from(list(mappings(payload))))
    here = payload
    for key in path:
        here = here[key]
    name = spelled(draw(st.sampled_from(STATEMENTS)), draw(st.sampled_from(sorted(SPELLINGS))))
    here[name] = draw(st.sampled_from(values))
    if draw(st.booleans()):
        payload = renamed(payload, draw(st.sampled_from(sorted(SPELLINGS))))
    payload = WRITINGS[draw(st.sampled_from(sorted(WRITINGS)))](payload)
    if draw(st.booleans()):
        payload = ENVELOPES[draw(st.sampled_from(sorted(ENVELOPES)))](payload)
    return payload


@settings(max_examples=200)
@given(added(REFUSED))
def test_a_refusal_added_anywhere_stops_every_ad_destination(payload: Any) -> None:
    for name, outcome in each_outcome(payload, event_name="Purchase"):
        if name in AD_DESTINATIONS:
            assert isinstance(outcome, Withheld), (name, outcome)
            assert outcome.reason == "consent denied"
        else:
            assert isinstance(outcome, Prepared)


@settings(max_examples=100)
@given(added(GRANTED))
def test_consent_added_anywhere_stops_none(payload: Any) -> None:
    for name, outcome in each_outcome(payload, event_name="Purchase"):
        assert isinstance(outcome, Prepared), (name, outcome)


@settings(max_examples=100)
@given(added(UNCLEAR))
def test_what_nobody_understands_stops_them_too(payload: Any) -> None:
    for name, outcome in each_outcome(payload, event_name="Purchase"):
        if name in AD_DESTINATIONS:
            assert isinstance(outcome, Rejected), (name, outcome)
            assert outcome.reason.startswith("unreadable consent")
        else:
            assert isinstance(outcome, Prepared)


@settings(max_examples=100)
@given(
    st.sampled_from(FORMS),
    st.sampled_from(OBJECTS),
    st.lists(st.sampled_from(["ad_storage", "ad_user_data"]), min_size=1, max_size=2, unique=True),
    st.sampled_from(sorted(SPELLINGS)),
    st.sampled_from(sorted(ENVELOPES)),
)
def test_an_object_of_googles_purposes_is_read_in_every_form(
    form: Any, name: str, refused: list[str], spelling: str, envelope: str
) -> None:
    said = dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), "granted")
    said |= dict.fromkeys(refused, "denied")
    payload = renamed({**form.payload, name: said}, spelling)

    for where, outcome in each_outcome(ENVELOPES[envelope](payload), event_name="Purchase"):
        assert isinstance(outcome, Withheld if where in AD_DESTINATIONS else Prepared), where


@settings(max_examples=100)
@given(st.sampled_from(FORMS), st.sampled_from(REFUSED), st.sampled_from(sorted(ENVELOPES)))
def test_a_refusal_beside_the_event_counts(form: Any, value: Any, envelope: str) -> None:
    payload = {"event": form.payload, "consent": value}

    for where, outcome in each_outcome(ENVELOPES[envelope](payload), event_name="Purchase"):
        assert isinstance(outcome, Withheld if where in AD_DESTINATIONS else Prepared), where
