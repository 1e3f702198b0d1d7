from __future__ import annotations

from hashlib import sha256
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.snapchat.answers import classify
from tracking_pipeline.delivery.destinations.snapchat.capi import SnapchatCapi, snapchat_request
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Uniform,
    Withheld,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import GOOD

TOKEN = "token-of-a-test"


def made(rules: ReadingRules | None = None, **options: Any) -> SnapchatCapi:
    request = snapchat_request("https://snapchat.example", "pixel-1", TOKEN)
    return SnapchatCapi(
        request, httpx.AsyncClient(), rules or ReadingRules(), secrets=(TOKEN,), **options
    )


def form_of(payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    prepared = made(**options).prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


def told(status: int, body: dict[str, Any], events: int = 3) -> Any:
    return classify(Answer(status, {}, orjson.dumps(body)), NOW, made().judge, events=events)


@pytest.mark.parametrize(
    ("name", "sent_as"),
    [
        ("Purchase", "PURCHASE"),
        ("generate_lead", "SIGN_UP"),
        ("ADD_CART", "ADD_CART"),
        ("CUSTOM_EVENT_3", "CUSTOM_EVENT_3"),
        ("Quote Asked", "CUSTOM_EVENT_1"),
    ],
)
def test_an_event_has_snapchats_name_or_the_operators(name: str, sent_as: str) -> None:
    form = form_of({"event_name": name}, names={"quote_asked": "CUSTOM_EVENT_1"})

    assert form["event_name"] == sent_as


def test_an_event_that_snapchat_has_no_name_for_says_what_to_set() -> None:
    outcome = made().prepare(claimed({**GOOD, "event_name": "Quote Asked"}))

    assert isinstance(outcome, Rejected)
    assert outcome.fault.failure is Failure.EVENT_NAME_REFUSED
    assert "SNAPCHAT_EVENT_NAMES" in outcome.reason
    assert form_of({"event_name": "Quote Asked"}, names={"*": "CUSTOM_EVENT_2"})


def test_a_person_is_told_in_snapchats_way() -> None:
    form = form_of({"_scid": "browser-1", "ScCid": "click-1", "city": "Rome"})

    user = form["user_data"]
    assert user["ph"] == [sha256(b"14155550132").hexdigest()]
    assert user["ct"] == sha256(b"rome").hexdigest()
    assert (user["sc_click_id"], user["sc_cookie1"]) == ("click-1", "browser-1")
    assert form["action_source"] == "WEB"


def test_a_website_needs_the_address_of_a_page_or_of_the_site() -> None:
    nowhere = {**GOOD, "event_source_url": None, "action_source": "website"}

    missing = made().prepare(claimed(nowhere))
    found = made(ReadingRules(site_url="https://shop.example")).prepare(claimed(nowhere))

    assert isinstance(missing, Rejected)
    assert missing.reason == "missing event_source_url"
    assert isinstance(found, Prepared)
    assert form_of({"event_source_url": None})["action_source"] == "OFFLINE"


def test_whose_data_is_limited_is_withheld_until_snapchats_word_for_it_is_set() -> None:
    limited = {**GOOD, "Sec-GPC": "1"}

    assert isinstance(made().prepare(claimed(limited)), Withheld)
    form = form_of(limited, limited_option="LDU")
    assert form["data_processing_options"] == ["LDU"]


@pytest.mark.parametrize(("in_url", "header"), [(False, True), (True, False)])
def test_the_token_stands_in_a_header_unless_it_is_asked_for_in_the_url(
    in_url: bool, header: bool
) -> None:
    request = snapchat_request("https://snapchat.example", "p", TOKEN, token_in_url=in_url)

    assert (TOKEN in request.url) is in_url
    assert ("authorization" in request.headers) is header


def test_a_success_with_records_took_the_others() -> None:
    records = [{"index": 1, "reason": "bad time"}, {"index": 9, "reason": "nobody"}]

    verdict = told(200, {"status": "INVALID", "reason": "some", "error_records": records})

    assert isinstance(verdict, PerEvent)
    first, second, third = verdict.outcomes
    assert isinstance(first, Delivered)
    assert isinstance(third, Delivered)
    assert isinstance(second, Rejected)
    assert second.fault.message == "bad time"


def test_an_error_with_records_took_nothing_and_names_the_culprits() -> None:
    records = [{"index": 2, "reason": "bad time"}]

    verdict = told(400, {"status": "INVALID", "reason": "some", "error_records": records})

    assert isinstance(verdict, Refused)
    assert set(verdict.named) == {2}


def test_an_error_without_records_is_searched_and_one_of_the_call_pauses() -> None:
    assert isinstance(told(400, {"status": "INVALID", "reason": "event_time is bad"}), Refused)
    assert isinstance(told(200, {"status": "FAILED", "reason": "event_time is bad"}), Refused)
    verdict = told(400, {"status": "INVALID", "reason": "Invalid pixel id"})
    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Paused)
    assert verdict.outcome.fault.failure is Failure.SNAPCHAT_CALL_REFUSED


def test_only_snapchats_own_words_are_a_success() -> None:
    assert told(200, {"status": "VALID", "reason": "ok"}) == Uniform(Delivered(200))
    verdict = told(200, {"ok": True})
    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Retry)
