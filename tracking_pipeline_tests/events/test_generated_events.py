"""Several events in one row are refused, whatever the list and the form; nothing is merged."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected
from tracking_pipeline_tests.delivery.hostile_payloads import PAYLOADS, prepare_as_a_drain_does
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    DESTINATIONS,
    EMAIL,
    EVENT_ID,
    ORDER,
    SPELLINGS,
    destination,
    each_outcome,
    prepare,
    purchase,
    renamed,
    sent,
    sha256,
    spelled,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES
from tracking_pipeline_tests.events.written_forms import FORMS, HASH, Written

_OTHER = "bruno.quintero@example.com"


def another(event: dict[str, Any]) -> dict[str, Any]:
    """An event of the same form with an id, an order and a person of its own."""
    text = json.dumps(event).replace(EVENT_ID, "pixel-8b1c").replace(ORDER, "B-20048")
    text = text.replace(EMAIL, _OTHER).replace(" Jane.Roe@Example.com", _OTHER)
    other: dict[str, Any] = json.loads(text.replace(HASH, sha256(_OTHER)))
    return other


def _text(value: Any) -> str:
    return json.dumps(value)


def _under(name: str) -> Callable[[Any, Any], Any]:
    return lambda one, other: {"id": "7", name: [one, other]}


LISTS: dict[str, Callable[[Any, Any], Any]] = {
    "a list": lambda one, other: [one, other],
    "data": lambda one, other: {"data": [one, other]},
    "events": lambda one, other: {"events": [one, other]},
    "batch": lambda one, other: {"batch": [one, other], "sentAt": "2026-11-24T11:30:00Z"},
    "conversions": lambda one, other: {"conversions": [one, other], "partialFailure": True},
    "a list nobody knows": lambda one, other: {"acme": {"things": [one, other]}},
    "deep": lambda one, other: {"payload": {"body": {"events": [one, other]}}},
    "as text": lambda one, other: {"data": _text([one, other])},
    "the whole as text": lambda one, other: _text({"data": [one, other]}),
    "members as text": lambda one, other: {"data": [_text(one), _text(other)]},
    "by key": lambda one, other: {"events": {"first": one, "second": other}},
    "by number": lambda one, other: {"0": one, "1": other},
    "as SQS records": lambda one, other: {
        "Records": [{"messageId": "1", "body": _text(each)} for each in (one, other)]
    },
    "as Pub/Sub messages": lambda one, other: {
        "receivedMessages": [
            {"message": {"data": base64.b64encode(_text(each).encode()).decode()}}
            for each in (one, other)
        ]
    },
    "in a stored request": lambda one, other: {
        "config": {
            "url": "https://graph.facebook.com/v21.0/1/events",
            "method": "post",
            "data": _text({"data": [one, other]}),
        }
    },
    **{
        f"under {name}": _under(name)
        for name in ("params", "leads", "contacts", "order", "metadata", "user", "custom_data")
    },
    "under metadata, deeper": lambda one, other: {"id": "7", "context": {"events": [one, other]}},
    "as job arguments": lambda one, other: {"class": "SendConversions", "args": [[one, other]]},
}
"""Where two events may stand in one row."""

# It shows by more than one mapping what it is: the request around its events is one of them.
_OF_TWO_MAPPINGS = "measurement_protocol_event"
WAYS = [
    (written, name)
    for written in FORMS
    for name in LISTS
    if written.form != _OF_TWO_MAPPINGS or not name.startswith("under ")
]


@pytest.mark.parametrize(
    ("written", "name"), WAYS, ids=[f"{written.form}, {name}" for written, name in WAYS]
)
def test_several_events_are_refused(written: Written, name: str) -> None:
    payload = LISTS[name](written.payload, another(written.payload))

    for destination_name, outcome in each_outcome(payload, event_name="Purchase"):
        assert isinstance(outcome, Rejected), destination_name
        assert "several events" in outcome.reason


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_in_any_spelling(name: str, spelling: str) -> None:
    payload = renamed(LISTS[name](purchase(), another(purchase())), spelling)

    for destination_name, outcome in each_outcome(payload):
        assert isinstance(outcome, Rejected), destination_name


@settings(max_examples=100)
@given(
    st.sampled_from(WAYS),
    st.sampled_from(sorted(ENVELOPES)),
    st.sampled_from(DESTINATIONS),
)
def test_in_any_envelope(way: tuple[Written, str], envelope: str, where: str) -> None:
    written, name = way
    payload = ENVELOPES[envelope](LISTS[name](written.payload, another(written.payload)))

    assert isinstance(prepare(where, payload, event_name="Purchase"), Rejected)


# Names of what is usually a part of an event, or around one.
_NO_ENVELOPES = (
    "params", "properties", "order", "purchase", "booking", "transaction", "cart", "lead", "user",
    "customer", "contact", "profile", "subscriber", "account", "metadata", "meta", "context",
    "form", "submission", "session", "attributes", "custom_data", "page", "campaign", "device",
    "guest", "billing", "config",
)  # fmt: skip


@pytest.mark.parametrize("name", _NO_ENVELOPES)
@pytest.mark.parametrize("spelling", ["snake", "pascal"])
def test_what_holds_a_whole_event_is_its_envelope_whatever_its_name(
    name: str, spelling: str
) -> None:
    for written in FORMS:
        if written.form == _OF_TWO_MAPPINGS:
            continue
        payload = {"id": "7", "timestamp": 1_700_000_000, spelled(name, spelling): written.payload}
        for where in DESTINATIONS:
            assert sent(where, payload, event_name="Purchase") == sent(
                where, written.payload, event_name="Purchase"
            ), (where, written.form)


@pytest.mark.parametrize("name", LISTS)
def test_of_different_forms_as_well(name: str) -> None:
    forms = [each for each in FORMS if each.form != _OF_TWO_MAPPINGS]
    for one, other in itertools.pairwise(forms):
        payload = LISTS[name](one.payload, another(other.payload))
        for where in AD_DESTINATIONS:
            assert isinstance(prepare(where, payload, event_name="Purchase"), Rejected), one.form


def test_two_events_of_one_measurement_protocol_body_are_two() -> None:
    body = next(each for each in FORMS if each.form == "measurement_protocol_event").payload
    both = {**body, "events": [*body["events"], *another(body)["events"]]}

    for _, outcome in each_outcome(both):
        assert isinstance(outcome, Rejected)


@pytest.mark.parametrize("name", ["data", "events", "batch", "conversions", "as text"])
@pytest.mark.parametrize("written", FORMS, ids=lambda written: written.form)
def test_one_event_in_such_a_list_is_that_event(written: Written, name: str) -> None:
    # The list of one, made of a list of two.
    payload = LISTS[name](written.payload, None)
    if isinstance(payload, dict) and isinstance(payload.get("data"), str):
        payload["data"] = _text([written.payload])
    else:
        payload = {
            key: [value[0]] if isinstance(value, list) else value for key, value in payload.items()
        }

    for where in DESTINATIONS:
        assert sent(where, payload, event_name="Purchase") == sent(
            where, written.payload, event_name="Purchase"
        ), where


_FORM_PAYLOADS = st.sampled_from([written.payload for written in FORMS])


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A payload of a known form in which something was put in the place of something."""
    payload = json.loads(json.dumps(draw(_FORM_PAYLOADS)))
    for _ in range(draw(st.integers(1, 3))):
        here: Any = payload
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], (dict, list)) and here[key] and draw(st.booleans()):
                here = here[key]
                continue
            here[key] = draw(PAYLOADS)
            break
    return payload


@settings(max_examples=100)
@given(spoilt(), st.sampled_from(DESTINATIONS))
def test_nothing_that_json_can_hold_stops_a_run(payload: Any, where: str) -> None:
    outcome = prepare_as_a_drain_does(destination(where), payload)

    if isinstance(outcome, Prepared):
        assert isinstance(json.loads(outcome.body), dict)
