from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.pinterest.answers import WARNED, classify
from tracking_pipeline.delivery.destinations.pinterest.capi import (
    PinterestCapi,
    pinterest_request,
)
from tracking_pipeline.delivery.destinations.pinterest.quality import quality_words
from tracking_pipeline.delivery.engine.backoff import wait_seconds
from tracking_pipeline.delivery.engine.destination_check import DestinationCheck
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.claimed import NOW, ROW_EVENT_ID, claimed
from tracking_pipeline_tests.delivery.conformance import GOOD

TOKEN = "token-of-a-test"


def made(**options: Any) -> PinterestCapi:
    request = pinterest_request("https://pinterest.example", "549", TOKEN)
    return PinterestCapi(request, httpx.AsyncClient(), ReadingRules(), secrets=(TOKEN,), **options)


def prepared(payload: dict[str, Any], **options: Any) -> Prepared:
    found = made(**options).prepare(claimed({**GOOD, **payload}))
    assert isinstance(found, Prepared), found
    return found


def form_of(payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    form: dict[str, Any] = orjson.loads(prepared(payload, **options).body)
    return form


def told(status: int, body: dict[str, Any], events: int = 2) -> Any:
    return classify(Answer(status, {}, orjson.dumps(body)), NOW, made().judge, events=events)


def rows(*statuses: str, warning: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "status": "processed" if each == "processed" else "failed",
            "error_message": None if each == "processed" else each,
            "warning_message": warning,
        }
        for each in statuses
    ]


@pytest.mark.parametrize(
    ("name", "sent_as"),
    [
        ("Purchase", "checkout"),
        ("checkout", "checkout"),
        ("sign_up", "signup"),
        ("watch_video", "watch_video"),
        ("Schedule", "custom"),
        ("Quote Asked", "lead"),
    ],
)
def test_an_event_has_pinterests_name_or_the_operators(name: str, sent_as: str) -> None:
    assert form_of({"event_name": name}, names={"quote asked": "lead"})["event_name"] == sent_as


def test_amounts_are_texts_and_hashes_are_lists() -> None:
    form = form_of({"items": [{"item_id": "A", "quantity": 2, "price": 5.5}], "city": "Rome"})

    assert form["custom_data"] == {
        "value": "19.9",
        "currency": "USD",
        "content_ids": ["A"],
        "num_items": 2,
        "contents": [{"id": "A", "quantity": 2, "item_price": "5.5"}],
    }
    assert form["user_data"]["ct"] == [sha256(b"rome").hexdigest()]


def test_a_click_and_a_device_are_told() -> None:
    device = "38400000-8CF0-11BD-B23E-10B96E40000D"

    user = form_of({"user_data": {"_epik": "dj0y", "madid": device}})["user_data"]

    assert user["click_id"] == "dj0y"
    assert user["hashed_maids"] == [sha256(device.lower().encode()).hexdigest()]


@pytest.mark.parametrize(
    ("stated", "agent", "source"),
    [
        ("website", "Mozilla/5.0", "web"),
        (None, "Mozilla/5.0", "web"),
        ("physical_store", "Mozilla/5.0", "offline"),
        ("phone_call", None, "offline"),
        ("app", "Shop/1 CFNetwork/1 Darwin/2", "app_ios"),
        ("app", "okhttp/4", "app_android"),
    ],
)
def test_where_it_took_place_is_told(stated: str | None, agent: str | None, source: str) -> None:
    payload = {"client_user_agent": agent, **({"action_source": stated} if stated else {})}

    assert form_of(payload)["action_source"] == source


def test_what_comes_an_hour_late_says_that_it_counts_as_offline() -> None:
    late = ("event_time", "over an hour old: counted as offline")

    def dropped(age: timedelta, **more: Any) -> tuple[tuple[str, str], ...]:
        return prepared({"event_time": (NOW - age).isoformat(), **more}).dropped

    assert late in dropped(timedelta(minutes=61))
    assert late not in dropped(timedelta(minutes=59))
    assert late not in dropped(timedelta(minutes=61), action_source="physical_store")


def test_its_retries_come_within_the_hour() -> None:
    base = made().limits.retry_base_seconds

    waits = [wait_seconds(count, None, 0.0, base) for count in (1, 2, 3, 4)]

    assert waits == [120, 240, 480, 960]


def test_whose_data_is_limited_is_sent_with_limited_processing() -> None:
    assert form_of({"Sec-GPC": "1"})["custom_data"]["opt_out_type"] == "LDP"
    assert "opt_out_type" not in form_of({})["custom_data"]


def test_a_phone_alone_finds_nobody() -> None:
    outcome = made().prepare(claimed({"event_name": "Lead", "phone": "+14155550132"}))

    assert isinstance(outcome, Rejected)
    assert outcome.fault.failure is Failure.EVENT_UNIDENTIFIED


@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize("within_details", [False, True])
def test_each_event_has_its_own_status(status: int, within_details: bool) -> None:
    listed = {"num_events_received": 3, "num_events_processed": 1}
    listed |= {"events": rows("processed", "em is no hash", "Internal error, try again")}  # type: ignore[dict-item]
    body = {"code": 4196, "message": "no", "details": listed} if within_details else listed

    verdict = told(status, body, events=3)

    assert isinstance(verdict, PerEvent)
    first, second, third = verdict.outcomes
    assert isinstance(first, Delivered)
    assert isinstance(second, Rejected)
    assert second.fault.message == "em is no hash"
    assert isinstance(third, Retry)


def test_a_warning_goes_with_the_event_that_drew_it() -> None:
    listed = [*rows("processed"), *rows("processed", warning="currency is unknown")]

    verdict = told(200, {"num_events_processed": 2, "events": listed})

    assert isinstance(verdict, PerEvent)
    assert verdict.outcomes[0] == Delivered(200)
    assert verdict.outcomes[1] == Delivered(200, warnings=(WARNED,), said="currency is unknown")


def test_a_number_that_is_too_small_has_the_request_searched() -> None:
    assert told(200, {"num_events_processed": 2}) == Uniform(Delivered(200))
    assert isinstance(told(200, {"num_events_processed": 1}), Refused)


@pytest.mark.parametrize(
    ("status", "code", "kind", "failure"),
    [
        (401, 2, Paused, Failure.PINTEREST_TOKEN_REFUSED),
        (403, 29, Paused, Failure.PINTEREST_PERMISSION_MISSING),
        (404, 50, Paused, Failure.PINTEREST_ACCOUNT_UNKNOWN),
        (429, 8, Throttled, Failure.PINTEREST_RATE_LIMITED),
        (503, 4197, Retry, Failure.PINTEREST_UNAVAILABLE),
    ],
)
def test_a_code_says_what_becomes_of_all(
    status: int, code: int, kind: type, failure: Failure
) -> None:
    verdict = told(status, {"code": code, "message": "no"})

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, kind)
    assert verdict.outcome.fault.failure is failure


def test_a_refused_request_is_searched() -> None:
    assert isinstance(told(400, {"code": 4196, "message": "The request was invalid."}), Refused)


def test_the_quality_that_pinterest_reports_is_told_by_its_weakest_events() -> None:
    entry = {
        "overall_status": "NEEDS_IMPROVEMENT",
        "source_platform": "WEB",
        "ingestion_source": "CONVERSIONS_API",
        "quality_components": {
            "hashed_email": {"checkout": {"coverage": 91.4}, "lead": {"coverage": 60}},
            "click_id_epik": {"checkout": {"coverage": 12}},
            "order_id": {},
        },
    }
    of_the_tag = {**entry, "ingestion_source": "TAG"}

    said = quality_words(Answer(200, {}, orjson.dumps([entry, of_the_tag, None, {}])))

    assert said == (
        "event quality of 14 days: WEB needs improvement (click_id_epik 12 %, hashed_email 60 %)"
    )
    assert "ads:read" in quality_words(Answer(401, {}, b"{}"))
    assert quality_words(Answer(fault="timeout")).startswith("event quality: no answer")


def test_a_check_sends_nothing_real_and_tells_the_quality_where_it_may() -> None:
    async def sent_and_checked(url: str) -> DestinationCheck:
        request = pinterest_request(url, "549", TOKEN)
        async with http_client(max_connections=1) as client:
            asked = PinterestCapi(
                request, client, ReadingRules(), secrets=(TOKEN,), ads_token="ads-token-1"
            )
            await asked.send([prepared({})], NOW)
            return await asked.check(NOW)

    with Sandbox(clock=NOW.timestamp) as sandbox:
        found = asyncio.run(sent_and_checked(sandbox.address_of("pinterest_capi")))

        assert found.state == "ok"
        assert "Pinterest took the test event; event quality of 14 days: WEB fair" in found.detail
        assert sandbox.memory.accepted_ids == {str(ROW_EVENT_ID)}
