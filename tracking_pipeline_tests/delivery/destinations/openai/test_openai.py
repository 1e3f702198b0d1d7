from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.openai.ads import OpenAiAds, openai_request
from tracking_pipeline.delivery.destinations.openai.answers import classify
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    Refused,
    Rejected,
    Retry,
    Uniform,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import GOOD

KEY = "key-of-a-test"


def made(**options: Any) -> OpenAiAds:
    request = openai_request("https://openai.example", "pixel-1", KEY)
    return OpenAiAds(request, httpx.AsyncClient(), ReadingRules(), secrets=(KEY,), **options)


def form_of(payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    prepared = made(**options).prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


@pytest.mark.parametrize(
    ("name", "kind", "shape", "custom"),
    [
        ("Lead", "lead_created", "customer_action", None),
        ("generate_lead", "lead_created", "customer_action", None),
        ("Order Completed", "order_created", "contents", None),
        ("StartTrial", "trial_started", "plan_enrollment", None),
        ("Quote Asked!", "lead_created", "customer_action", None),
        ("Brochure Sent (PDF)", "custom", "custom", "brochure_sent_pdf"),
        ("\u60c5\u5831", "custom", "custom", "custom"),
        ("x" * 80, "custom", "custom", "x" * 64),
    ],
)
def test_an_event_has_openais_name_and_its_datas_shape(
    name: str, kind: str, shape: str, custom: str | None
) -> None:
    form = form_of({"event_name": name}, names={"quote_asked": "lead_created"})
    assert (form["type"], form["data"]["type"]) == (kind, shape)
    assert form.get("custom_event_name") == custom


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [(129.99, "USD", 12999), (0.285, "EUR", 29), (500, "JPY", 500), (1.5, "KWD", 1500)],
)
def test_amounts_are_whole_numbers_of_the_smallest_unit(
    value: float, currency: str, amount: int
) -> None:
    data = form_of({"value": value, "currency": currency})["data"]
    assert (data["amount"], data["currency"]) == (amount, currency)


def test_a_click_a_place_and_a_cart_are_told_and_no_phone() -> None:
    form = form_of(
        {
            "event_name": "Purchase",
            "event_source_url": "https://shop.example/?oppref=click-1",
            "city": "Berlin",
            "zip": "10115",
            "country": "de",
            "items": [{"item_id": "A", "quantity": 2, "price": 5.5}, {"item_id": "B"}],
        }
    )
    assert form["oppref"] == "click-1"
    assert form["user"].keys() == {
        "email_sha256",
        "city",
        "zip_code",
        "country",
        "ip_address",
        "user_agent",
    }
    assert (form["user"]["zip_code"], form["user"]["country"]) == ("10115", "DE")
    assert form["data"]["contents"] == [
        {"id": "A", "content_type": "product", "quantity": 2, "amount": 550, "currency": "USD"},
        {"id": "B", "content_type": "product"},
    ]


@pytest.mark.parametrize("limits", [{"opt_out": True}, {"Sec-GPC": "1"}, {"opt_out": "who knows"}])
def test_whose_data_is_limited_is_opted_out(limits: dict[str, Any]) -> None:
    assert form_of(limits)["opt_out"] is True
    assert "opt_out" not in form_of({})


def test_an_event_of_the_web_needs_a_page_and_one_of_a_shop_does_not() -> None:
    without = {**GOOD, "event_source_url": None}
    found = made().prepare(claimed(without))
    assert isinstance(found, Rejected)
    assert found.reason == "missing source_url"
    in_a_shop = made().prepare(claimed({**without, "action_source": "physical_store"}))
    assert isinstance(in_a_shop, Prepared)


def test_openai_names_the_culprit_by_its_position() -> None:
    error = {"message": "too old", "param": "events[3].timestamp_ms"}
    verdict = classify(Answer(400, {}, orjson.dumps({"error": error})), NOW, made().judge)
    assert isinstance(verdict, Refused)
    assert {at: each.fault.message for at, each in verdict.named.items()} == {3: "too old"}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200, {}, b"{}"), Delivered),
        (Answer(200, {}, b'{"accepted_events": 2}'), Delivered),
        (Answer(200, {}, b"<html>"), Retry),
        (Answer(200, {}, b'{"error": {"message": "who knows"}}'), Paused),
        (Answer(401, {}, b'{"error": {"message": "bad key"}}'), Paused),
        (Answer(503, {}, b'{"error": {"message": "later"}}'), Retry),
    ],
)
def test_an_answer_is_told_apart(answer: Answer, outcome: type) -> None:
    verdict = classify(answer, NOW, made().judge, events=2)
    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, outcome)


def test_an_acceptance_of_fewer_than_were_sent_is_a_warning() -> None:
    answer = Answer(200, {}, b'{"accepted_events": 1}')
    verdict = classify(answer, NOW, made().judge, events=3)
    assert verdict == Uniform(Delivered(200, warnings=("fewer_received",)))


@pytest.mark.parametrize(
    ("key", "state", "failure"),
    [(KEY, "ok", None), ("", "refused", Failure.OPENAI_KEY_REFUSED)],
)
def test_a_check_saves_nothing(key: str, state: str, failure: Failure | None) -> None:
    async def check(url: str) -> DestinationCheck:
        async with http_client(max_connections=1) as client:
            request = openai_request(url, "pixel-1", key)
            return await OpenAiAds(request, client, ReadingRules(), secrets=()).check(NOW)

    with Sandbox(clock=NOW.timestamp) as sandbox:
        found = asyncio.run(check(sandbox.address_of("openai_ads")))
        assert (found.state, found.failure) == (state, failure)
        assert not sandbox.memory.requests
