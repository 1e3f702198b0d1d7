"""What stands in places that are not opened: a refusal counts, an event is the event or none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Rejected, Withheld
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    AN_HOUR_AGO,
    CLIENT_ID,
    EVENT_ID,
    ORDER,
    PAGE,
    each_outcome,
    prepare,
)

FBP = "fb.1.1764000000000.1234567890"


def bought(**fields: Any) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "event_id": EVENT_ID,
        "event_time": AN_HOUR_AGO,
        "action_source": "website",
        "event_source_url": PAGE,
        "email": "jane.roe@example.com",
        "user_agent": "Mozilla/5.0",
        "value": 84.5,
        "currency": "EUR",
        "order_id": ORDER,
        "client_id": CLIENT_ID,
        **fields,
    }


def _base64(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


HIDING: dict[str, Callable[[dict[str, Any]], Any]] = {
    "result": lambda event: {"result": event},
    "list of one": lambda event: {"items": [event]},
    "original event": lambda event: {"original_event": event},
    "JSON text": lambda event: {"originalEvent": json.dumps(event)},
    "answer": lambda event: {"response": {"data": event}},
    "request of an error": lambda event: {"error": {"request": {"body": event}}},
    "product": lambda event: {"product": event},
    "owner": lambda event: {"owner": event},
    "CloudEvents": lambda event: {"specversion": "1.0", "data_base64": _base64(event)},
    "unknown base64": lambda event: {"blob": _base64(event)},
    "request's arguments": lambda event: {
        "method": "POST",
        "url": "https://graph.facebook.com/v23.0/1/events",
        "kwargs": {"json": event},
    },
    "line of a log": lambda event: {"log": f"INFO sent: {json.dumps(event)}"},
}


@pytest.mark.parametrize("place", HIDING)
def test_an_event_in_a_closed_place_is_the_event_where_nothing_else_is(place: str) -> None:
    for name, outcome in each_outcome(HIDING[place](bought()), event_name="Purchase"):
        assert isinstance(outcome, Prepared), (name, outcome)
        if name not in ("google_ec", "measurement_protocol"):
            assert EVENT_ID in outcome.body.decode(), name


@pytest.mark.parametrize("place", HIDING)
def test_a_refusal_in_a_hidden_event_or_around_it_counts(place: str) -> None:
    hide = HIDING[place]
    for event in (bought(consent="denied"), {"consent": "denied", "payload": bought()}):
        for name, outcome in each_outcome(hide(event), event_name="Purchase"):
            if name in AD_DESTINATIONS:
                assert isinstance(outcome, Withheld), (name, outcome)


@pytest.mark.parametrize("place", HIDING)
def test_beside_what_may_be_an_event_a_hidden_one_is_not_understood(place: str) -> None:
    payload = {**HIDING[place](bought()), "order_id": "B-2", "email": "other@example.com"}
    for name, outcome in each_outcome(payload, event_name="Purchase"):
        assert isinstance(outcome, Rejected), (name, outcome)
        assert outcome.fault.message.startswith("event not understood ("), outcome


def test_two_hidden_events_are_several() -> None:
    other = bought(event_id="pixel-2", order_id="B-2", email="other@example.com")
    for name, outcome in each_outcome({"items": [bought(), other], "client_id": CLIENT_ID}):
        assert isinstance(outcome, Rejected), (name, outcome)
        assert "several events" in outcome.fault.message


def test_what_was_before_is_no_hidden_event() -> None:
    weak = {"event": "purchase", "email": "jane.roe@example.com", "client_id": CLIENT_ID}
    assert isinstance(prepare("data_client", {**weak, "previous_event": bought()}), Prepared)


@pytest.mark.parametrize(
    "beside",
    [
        {"company": {"consent": "denied"}},
        {"partner": {"consent": False}},
        {"owner": {"privacy": {"ad_user_data": "denied"}, "consent": "no"}},
        {"store": {"settings": {"consent": "denied"}}},
        {"store": json.dumps({"consent": "denied"})},
        {"auth": {"consent": "denied"}},
        {"session_token": {"consent": "no"}},
        {"config": {"gcs": "G100"}},
        {"items": [{"item_id": "1"}, {"consent": "denied"}]},
    ],
    ids=str,
)
def test_a_refusal_beside_the_event_counts_in_closed_places(beside: dict[str, Any]) -> None:
    for name in AD_DESTINATIONS:
        assert isinstance(prepare(name, bought(**beside)), Withheld), name


@pytest.mark.parametrize(
    "beside",
    [
        {"old_record": {"consent": "denied"}},
        {"shop": {"newsletter_consent": False, "marketing": False}},
        {"seller": {"consent": "granted"}},
        {"items": [{"item_id": "1", "consent": None}]},
    ],
    ids=str,
)
def test_what_is_said_of_something_else_stops_nothing(beside: dict[str, Any]) -> None:
    for name in AD_DESTINATIONS:
        outcome = prepare(name, bought(**beside))
        assert isinstance(outcome, Prepared), (name, outcome)
        assert "CONSENT_GRANTED" not in outcome.body.decode()


_GROUPS = "isGpcEnabled=0&groups=C0001%3A1%2CC0004%3A{}"


@pytest.mark.parametrize(("answer", "kind"), [(0, Withheld), (1, Prepared)])
def test_a_cookie_whose_value_is_a_query_is_one_of_its_header(answer: int, kind: type) -> None:
    header = (
        f"OptanonConsent={_GROUPS.format(answer)}; _fbp={FBP}; _gcl_aw=GCL.1700000000.Cj0abc; x=1"
    )
    payload = bought(headers={"cookie": header})
    for name in AD_DESTINATIONS:
        assert isinstance(prepare(name, payload), kind), name
    if answer:
        assert FBP in prepare("meta_capi", payload).body.decode()
        assert "Cj0abc" in prepare("google_ec", payload).body.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"custom_fields": [{"id": "1", "key": "consent", "field_value": "no"}]},
        {"custom_fields": [{"fieldName": "consent", "fieldValue": "no"}]},
        {"answers": [{"question": "consent", "answer": "no", "position": 0}]},
        {"answers": [{"field": {"ref": "marketing_consent"}, "type": "boolean", "boolean": False}]},
        {"meta_data": [{"id": 1, "key": "_marketing_consent", "value": "no", "display_key": "x"}]},
        {"event_params": [{"key": "ads_consent", "value": {"string_value": None, "int_value": 0}}]},
    ],
    ids=str,
)
def test_a_refusal_in_a_pair_counts(fields: dict[str, Any]) -> None:
    for name in AD_DESTINATIONS:
        assert isinstance(prepare(name, bought(**fields)), Withheld), name


_WEAK = {"email": "jane.roe@example.com", "value": 3, "currency": "EUR"}
_OTHER = {"email": "other@example.com", "value": 4, "currency": "EUR"}


@pytest.mark.parametrize(
    "payload",
    [
        {"rows": [{"gclid": "Cj0a1", "value": 1}, {"gclid": "Cj0a2", "value": 2}]},
        {
            "client_id": CLIENT_ID,
            "user_data": {"email": "jane.roe@example.com"},
            "events": [{"name": "purchase"}, {"name": "refund"}],
        },
        {"a": _WEAK, "b": _OTHER},
        {"a": bought(), "b": bought(event_id="pixel-2", order_id="B-2")},
        {"body": f"{json.dumps(_WEAK)}\n{json.dumps(_OTHER)}"},
        f"{json.dumps(bought())}\n{json.dumps(bought(event_id='pixel-2', order_id='B-2'))}",
    ],
    ids=str,
)
def test_several_weak_events_are_not_one(payload: Any) -> None:
    for name, outcome in each_outcome(payload, event_name="Purchase"):
        assert isinstance(outcome, Rejected), (name, outcome)
        assert "several events" in outcome.fault.message


@pytest.mark.parametrize(
    "payload",
    [
        {"a": _WEAK},
        {"body": f"{json.dumps(bought())}\n"},
        {**_WEAK, "first_touch": {"client_id": "1.1"}, "last_touch": {"client_id": CLIENT_ID}},
        {**_WEAK, "touches": [{"gclid": "Cj0a1"}, {"gclid": "Cj0a2"}]},
    ],
    ids=str,
)
def test_one_event_is_not_several(payload: Any) -> None:
    outcome = prepare("data_client", payload, event_name="purchase")
    assert isinstance(outcome, Prepared), outcome


def test_what_is_known_of_another_user_of_a_batch_is_not_the_events() -> None:
    identify = {"type": "identify", "userId": "u2", "traits": {"email": "bob@example.com"}}
    track = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m1",
        "userId": "u1",
        "timestamp": AN_HOUR_AGO,
        "properties": {"order_id": ORDER, "total": 5, "currency": "EUR"},
        "context": {"ip": "203.0.113.9", "userAgent": "Mozilla/5.0"},
    }
    for other, is_read in ((identify, False), ({**identify, "userId": "u1"}, True)):
        outcome = prepare("meta_capi", {"batch": [other, track]}, event_name="Purchase")
        assert isinstance(outcome, Prepared), outcome
        person = json.loads(outcome.body)["user_data"]
        assert ("em" in person) is is_read
        assert isinstance(person["external_id"], str) or len(person["external_id"]) == 1


def _person(payload: dict[str, Any]) -> dict[str, Any]:
    outcome = prepare("meta_capi", payload)
    assert isinstance(outcome, Prepared), outcome
    person: dict[str, Any] = json.loads(outcome.body)["user_data"]
    return person


def test_of_two_people_in_like_places_neither_is_taken() -> None:
    event = bought(email=None, fbp=FBP)
    both = {"user": {"email": "b@example.com"}, "customer": {"email": "a@example.com"}}
    assert "em" not in _person({**event, **both})
    assert "em" in _person({**event, "user": both["user"]})


_ADDRESS = {"city": "Rome", "state": "RM", "zip": "00100"}


@pytest.mark.parametrize(
    "beside",
    [
        *(
            {name: {"email": "staff@example.com"}}
            for name in "createdBy updated_by assigned_to accountManager support leadOwner".split()
        ),
        {"scheduled_event": {"event_memberships": [{"user_email": "staff@example.com"}]}},
        {"reply_to": "staff@example.com"},
        {"replyTo": {"email": "staff@example.com"}},
        *(
            {name: _ADDRESS}
            for name in (
                "store_address pickupLocation venue-address business_address propertyAddress "
                "origin_address warehouse_location"
            ).split()
        ),
        {"student": {"dob": "1999-01-01"}},
        {"pet": {"dob": "1999-01-01"}},
        {"server": {"ip": "203.0.113.9", "city": "Rome"}},
    ],
    ids=str,
)
def test_staff_places_and_pets_are_not_the_buyer(beside: dict[str, Any]) -> None:
    event = bought(email=None, fbp=FBP)
    assert _person({**event, **beside}) == _person(event)
