"""An envelope around an event, or JSON text instead of it, changes nothing of what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Withheld
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    AN_HOUR_AGO,
    DESTINATIONS,
    EMAIL,
    each_outcome,
    prepare,
    purchase,
    renamed,
    sent,
    text_of,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES, SECRET, WRITINGS
from tracking_pipeline_tests.events.written_forms import FORMS, Written

SPARE = {
    "event_name": "Lead",
    "event_time": AN_HOUR_AGO,
    "email": EMAIL,
    "client_id": "111.222",
}
"""An event that says no more than it must: what an envelope has must not fill it up."""


def assert_same(wrapped: Any, plain: Any, event_name: str = "Purchase") -> None:
    for destination in DESTINATIONS:
        assert sent(destination, wrapped, event_name=event_name) == sent(
            destination, plain, event_name=event_name
        ), destination


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_an_envelope_changes_nothing(written: Written, envelope: str) -> None:
    assert_same(ENVELOPES[envelope](written.payload), written.payload)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_what_an_envelope_says_of_itself_is_not_the_events(envelope: str) -> None:
    assert_same(ENVELOPES[envelope](SPARE), SPARE, "Lead")


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_nor_does_json_text(written: Written, writing: str) -> None:
    assert_same(WRITINGS[writing](written.payload), written.payload)


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_nor_does_an_envelope_with_or_as_json_text(envelope: str, writing: str) -> None:
    wrap, write = ENVELOPES[envelope], WRITINGS[writing]

    assert_same(write(wrap(purchase())), purchase())
    if writing not in ("a list of one", "a list with JSON text"):
        assert_same(wrap(write(purchase())), purchase())


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_the_row_s_own_column_still_belongs_to_the_event(envelope: str) -> None:
    without = purchase(email=None)
    for destination in DESTINATIONS:
        column = {"user_data": {"em": EMAIL}}
        assert sent(destination, ENVELOPES[envelope](without), **column) == sent(
            destination, without, **column
        )


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("statement", [{"consent": "denied"}, {"marketingConsent": False}])
def test_a_refusal_is_seen_in_each_envelope(envelope: str, statement: dict[str, Any]) -> None:
    payload = ENVELOPES[envelope](purchase(**statement))

    for destination in AD_DESTINATIONS:
        assert isinstance(prepare(destination, payload), Withheld), destination
    assert isinstance(prepare("ledger", payload), Prepared)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_what_is_secret_in_an_envelope_stays_there(envelope: str) -> None:
    for destination, outcome in each_outcome(ENVELOPES[envelope](purchase())):
        assert isinstance(outcome, Prepared), destination
        assert SECRET not in text_of(outcome)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(ENVELOPES)), min_size=2, max_size=3),
    st.sampled_from(sorted(WRITINGS)),
    st.sampled_from(FORMS),
    st.sampled_from(DESTINATIONS),
)
def test_nor_do_envelopes_within_envelopes(
    envelopes: list[str], writing: str, written: Written, destination: str
) -> None:
    wrapped = WRITINGS[writing](written.payload)
    for envelope in envelopes:
        wrapped = ENVELOPES[envelope](wrapped)

    assert sent(destination, wrapped, event_name="Purchase") == sent(
        destination, written.payload, event_name="Purchase"
    )


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ENVELOPES)),
    st.sampled_from(["snake", "camel", "kebab", "pascal"]),
    st.sampled_from(DESTINATIONS),
)
def test_nor_does_the_spelling_of_an_event_in_an_envelope(
    envelope: str, spelling: str, destination: str
) -> None:
    other = renamed(SPARE, spelling)

    assert sent(destination, ENVELOPES[envelope](other)) == sent(destination, other)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_person_beside_the_event_in_an_envelope_is_its_person(envelope: str) -> None:
    event = {name: value for name, value in SPARE.items() if name != "email"}
    beside = {"customer": {"email": EMAIL}, "event": event}

    for destination in ("meta_capi", "google_ec"):
        assert sent(destination, ENVELOPES[envelope](beside)) == sent(destination, SPARE)
        assert sent(destination, json.dumps(beside)) == sent(destination, SPARE)
