from __future__ import annotations

from hashlib import sha256
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.tiktok.answers import classify
from tracking_pipeline.delivery.destinations.tiktok.events_api import (
    TikTokEvents,
    tiktok_request,
)
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Withheld,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import EMAIL, GOOD

TOKEN = "token-of-a-test"


def made(**options: Any) -> TikTokEvents:
    request = tiktok_request("https://tiktok.example", "PIXEL", TOKEN)
    return TikTokEvents(request, httpx.AsyncClient(), ReadingRules(), secrets=(TOKEN,), **options)


def form_of(payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    prepared = made(**options).prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


def told(code: int, message: str = "no", status: int = 200, events: int = 3) -> Any:
    body = orjson.dumps({"code": code, "message": message, "request_id": "R1", "data": {}})
    return classify(Answer(status, {}, body), NOW, made().judge, events=events)


def test_a_person_is_told_in_tiktoks_way() -> None:
    form = form_of(
        {
            "city": "Saint-Étienne",
            "state": "California",
            "zip": "94035-1234",
            "country": "US",
            "_ttp": "browser-1",
            "event_source_url": "https://shop.example/?ttclid=click-1",
        }
    )

    user = form["user"]
    assert user["email"] == sha256(EMAIL.encode()).hexdigest()
    assert user["phone"] == sha256(b"+14155550132").hexdigest()
    assert user["zip_code"] == sha256(b"94035").hexdigest()
    assert (user["city"], user["state"], user["country"]) == ("saintétienne", "ca", "us")
    assert (user["ttclid"], user["ttp"]) == ("click-1", "browser-1")
    assert form["page"]["url"] == "https://shop.example/?ttclid=click-1"


@pytest.mark.parametrize(
    ("name", "sent_as"),
    [
        ("Purchase", "Purchase"),
        ("CompletePayment", "Purchase"),
        ("SubmitForm", "Lead"),
        ("page_view", "Pageview"),
        ("Quote Asked", "Lead"),
        ("Something else", "Something else"),
    ],
)
def test_an_event_has_tiktoks_name_or_the_operators(name: str, sent_as: str) -> None:
    assert form_of({"event_name": name}, names={"quote_asked": "Lead"})["event"] == sent_as


def test_what_was_bought_is_told() -> None:
    items = [{"item_id": "A", "quantity": 2, "price": 5}, {"item_id": "B"}]

    properties = form_of({"items": items, "order_id": "O1"})["properties"]

    assert properties == {
        "value": 19.9,
        "currency": "USD",
        "order_id": "O1",
        "content_type": "product",
        "contents": [{"content_id": "A", "quantity": 2, "price": 5.0}, {"content_id": "B"}],
    }


@pytest.mark.parametrize(
    "limits", [{"opt_out": True}, {"Sec-GPC": "1"}, {"consent": {"ad_personalization": "denied"}}]
)
def test_whose_data_is_limited_is_sent_with_limited_use(limits: dict[str, Any]) -> None:
    assert form_of(limits)["limited_data_use"] is True
    assert "limited_data_use" not in form_of({})


def test_who_refused_and_what_is_doubtful_is_not_sent() -> None:
    refused = made().prepare(claimed({**GOOD, "consent": {"ad_storage": "denied"}}))
    doubtful = made().prepare(claimed({**GOOD, "consent": {"ad_storage": "perhaps"}}))

    assert isinstance(refused, Withheld)
    assert isinstance(doubtful, Rejected)


def test_a_place_and_a_name_find_nobody() -> None:
    outcome = made().prepare(claimed({"event_name": "Lead", "first_name": "Jo", "city": "Rome"}))

    assert isinstance(outcome, Rejected)
    assert outcome.fault.failure is Failure.EVENT_UNIDENTIFIED


def test_code_0_alone_is_an_acceptance() -> None:
    assert told(0, "OK") == Uniform(Delivered(200))
    assert isinstance(told(12345), Uniform)
    assert isinstance(told(12345).outcome, Paused)
    assert not told(12345).outcome.certain


@pytest.mark.parametrize(
    ("code", "message", "kind", "failure"),
    [
        (40100, "too fast", Throttled, Failure.TIKTOK_RATE_LIMITED),
        (40001, "no right", Paused, Failure.TIKTOK_PERMISSION_MISSING),
        (40104, "no token", Paused, Failure.TIKTOK_TOKEN_REFUSED),
        (40105, "bad token", Paused, Failure.TIKTOK_TOKEN_REFUSED),
        (40002, "event_source_id: unknown", Paused, Failure.TIKTOK_PIXEL_UNKNOWN),
        (50000, "later", Retry, Failure.TIKTOK_UNAVAILABLE),
    ],
)
def test_a_code_says_what_becomes_of_all(
    code: int, message: str, kind: type, failure: Failure
) -> None:
    verdict = told(code, message)

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, kind)
    assert verdict.outcome.fault.failure is failure
    assert verdict.outcome.fault.trace_id == "R1"


def test_a_bad_event_is_searched_for_unless_it_is_named() -> None:
    unnamed, named = told(40002, "invalid event_time"), told(40002, "data.1.event_time: too old")

    assert isinstance(unnamed, Refused)
    assert not unnamed.named
    assert isinstance(named, Refused)
    assert set(named.named) == {1}


def test_a_part_that_was_taken_is_searched_for_and_alone_is_a_warning() -> None:
    assert isinstance(told(20001, "partly", events=2), Refused)
    alone = told(20001, "partly", events=1)
    assert alone == Uniform(Delivered(200, warnings=("partly_ignored",), said="partly"))


def test_with_a_test_code_one_event_goes_at_a_time() -> None:
    assert made(tests=True).limits.request_events == 1
    assert b"TEST1" in tiktok_request("u", "P", "t", test_event_code="TEST1").body([b"{}"])
