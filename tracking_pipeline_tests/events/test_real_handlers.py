"""What public projects' handlers, forms and webhooks store, retold with people who do not exist.

Each shape was seen in a public repository or on a platform's own page; of each is said what the
destinations must be told.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Withheld
from tracking_pipeline_tests.events.real_shapes import SHAPES, Shape
from tracking_pipeline_tests.events.real_webhooks import WEBHOOKS
from tracking_pipeline_tests.events.written import (
    AD_DESTINATIONS,
    DESTINATIONS,
    facts,
    prepare,
    sent,
    sha256,
    text_of,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES


def told(payload: Any, shape: Shape) -> dict[str, Any]:
    """What Meta is told, and the click that Google is."""
    row = {"event_name": shape.row_name}
    body = sent("meta_capi", payload, **row)
    google = sent("google_ec", payload, **row) if shape.google else {}
    return {
        **facts("meta_capi", body),
        "keys": body["user_data"],
        "click": google.get("adIdentifiers", {}).get("gclid"),
        "transaction": google.get("transactionId"),
        "consent": google.get("consent"),
    }


def assert_told(payload: Any, shape: Shape) -> None:
    found = told(payload, shape)
    wanted = dict(shape.told)
    if "email" in wanted:
        wanted["emails"] = [sha256(wanted.pop("email"))]
    if "phone" in wanted:
        wanted["phones"] = [sha256(wanted.pop("phone"))]
    keys = wanted.pop("keys", {})
    assert {name: found[name] for name in wanted} == wanted
    assert {name: found["keys"].get(name) for name in keys} == keys


_ALL = (*SHAPES, *WEBHOOKS)
_SENT = [shape for shape in _ALL if not shape.withheld]


@pytest.mark.parametrize("shape", _SENT, ids=lambda shape: shape.name)
def test_a_handlers_payload_is_understood(shape: Shape) -> None:
    assert_told(shape.payload, shape)


_QUEUES = ("SQS", "BullMQ", "Supabase webhook", "Pub/Sub push", "EventBridge", "Debezium")


@pytest.mark.parametrize("shape", _SENT, ids=lambda shape: shape.name)
def test_also_as_text_and_out_of_a_queue(shape: Shape) -> None:
    assert_told(json.dumps(shape.payload), shape)
    for envelope in _QUEUES:
        assert_told(ENVELOPES[envelope](shape.payload), shape)


@pytest.mark.parametrize("shape", _SENT, ids=lambda shape: shape.name)
def test_what_must_not_go_out_does_not(shape: Shape) -> None:
    for name in DESTINATIONS:
        outcome = prepare(name, shape.payload, event_name=shape.row_name)
        if isinstance(outcome, Prepared):
            text = text_of(outcome)
            told = [each for each in shape.hides if each in text or sha256(each) in text]
            assert told == [], name


@pytest.mark.parametrize(
    "shape", [shape for shape in _ALL if shape.withheld], ids=lambda shape: shape.name
)
def test_a_handlers_refusal_is_heeded(shape: Shape) -> None:
    for name in AD_DESTINATIONS:
        assert isinstance(prepare(name, shape.payload, event_name=shape.row_name), Withheld), name
