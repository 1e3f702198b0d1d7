from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from tracking_pipeline.delivery.destinations.json_batches import may_be_taken
from tracking_pipeline.delivery.destinations.reddit.answers import classify
from tracking_pipeline.delivery.destinations.reddit.capi import RedditCapi, reddit_request
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    OUTCOME_UNKNOWN,
    Delivered,
    Refused,
    Retry,
    Uniform,
)
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.http_client import Answer, DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.conformance import (
    GOOD,
    REDDIT,
    Fault,
    Front,
    HttpStand,
    answers,
    breaks_off,
    hangs_up,
    resets,
    takes_and_answers,
    takes_and_resets,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Queue

TOKEN = "token-of-a-test"


def made(url: str = "https://reddit.example", **options: Any) -> RedditCapi:
    request = reddit_request(url, "a2_test", TOKEN)
    return RedditCapi(request, httpx.AsyncClient(), ReadingRules(), secrets=(TOKEN,), **options)


def form_of(payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    prepared = made(**options).prepare(claimed({**GOOD, **payload}))
    assert isinstance(prepared, Prepared), prepared
    form: dict[str, Any] = orjson.loads(prepared.body)
    return form


@pytest.mark.parametrize(
    ("name", "sent_as"),
    [
        ("Lead", {"tracking_type": "LEAD"}),
        ("generate_lead", {"tracking_type": "LEAD"}),
        ("Order Completed", {"tracking_type": "PURCHASE"}),
        ("sign_up", {"tracking_type": "SIGN_UP"}),
        ("Schedule", {"tracking_type": "CUSTOM", "custom_event_name": "Schedule"}),
        ("Quote Asked", {"tracking_type": "LEAD"}),
    ],
)
def test_an_event_has_reddits_name_or_the_operators(name: str, sent_as: dict[str, str]) -> None:
    assert form_of({"event_name": name}, names={"quote_asked": "LEAD"})["type"] == sent_as


def test_a_click_a_browser_and_a_cart_are_told_in_the_words_of_version_3() -> None:
    form = form_of(
        {
            "event_source_url": "https://shop.example/?rdt_cid=click-1",
            "_rdt_uuid": "1700000000.browser",
            "event_id": "pixel-1",
            "items": [{"item_id": "A", "quantity": 2}, {"item_id": "B"}],
        }
    )

    assert form["click_id"] == "click-1"
    assert form["user"]["uuid"] == "1700000000.browser"
    assert form["metadata"] == {
        "conversion_id": "pixel-1",
        "value": 19.9,
        "currency": "USD",
        "item_count": 3,
        "products": [{"id": "A"}, {"id": "B"}],
    }


@pytest.mark.parametrize("limits", [{"opt_out": True}, {"Sec-GPC": "1"}, {"opt_out": "who knows"}])
def test_whose_data_is_limited_is_sent_with_limited_use(limits: dict[str, Any]) -> None:
    assert form_of(limits)["user"]["data_processing_options"] == {"modes": ["LDU"]}
    assert "data_processing_options" not in form_of({})["user"]


def test_reddit_names_the_culprits_by_their_position() -> None:
    error = {
        "code": 400,
        "message": "Bad request",
        "fields": [
            {"field": "data.events[3].event_at", "message": "too old"},
            {"field": "data.events[3].user", "message": "empty"},
            {"field": "data.events.11.type", "message": "unknown"},
        ],
    }
    answer = Answer(400, {}, orjson.dumps({"error": error}))

    verdict = classify(answer, NOW, made().judge, events=12)

    assert isinstance(verdict, Refused)
    assert {at: each.fault.message for at, each in verdict.named.items()} == {
        3: "too old",
        11: "unknown",
    }


def test_an_acceptance_of_fewer_than_were_sent_is_a_warning() -> None:
    body = orjson.dumps({"data": {"message": "Successfully processed 2 conversion events."}})

    verdict = classify(Answer(200, {}, body), NOW, made().judge, events=3)

    assert verdict == Uniform(Delivered(200, warnings=("fewer_received",)))


@pytest.mark.parametrize(
    ("answer", "is_in_doubt"),
    [
        (Answer(fault="timeout"), True),
        (Answer(fault="timeout", sent=False), False),
        (Answer(fault="connection"), True),
        (Answer(fault="connection", sent=False), False),
        (Answer(200, fault="oversized"), True),
        (Answer(200, {}, b"{"), True),
        (Answer(504), True),
        (Answer(504, {}, b'{"error": {"code": 504, "message": "in vain"}}'), True),
        (Answer(524), True),
        (Answer(500), False),
        (Answer(503, {}, b'{"error": {"code": 503, "message": "later"}}'), False),
    ],
)
def test_only_what_may_have_been_taken_is_in_doubt(answer: Answer, is_in_doubt: bool) -> None:
    verdict = classify(answer, NOW, made().judge)

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Retry)
    assert may_be_taken(answer) == is_in_doubt


@pytest.fixture
def stand(database_url: str) -> Iterator[HttpStand]:
    """Reddit as it is by default."""

    def make(url: str, client: DeliveryClient, pool: AsyncPool) -> RedditCapi:
        del pool
        request = reddit_request(f"{url}/reddit", "a2_test", TOKEN)
        return RedditCapi(request, client, ReadingRules(), secrets=(TOKEN,))

    with Sandbox() as sandbox, Front(sandbox.port) as front:
        yield HttpStand(replace(REDDIT, make=make), database_url, sandbox, front)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (answers(504), "dead_letter"),
        (takes_and_resets, "dead_letter"),
        (breaks_off, "dead_letter"),
        (hangs_up, "dead_letter"),
        (resets, "dead_letter"),
        (takes_and_answers(b"<html>"), "dead_letter"),
        (answers(502), "retrying"),
    ],
)
def test_what_reddit_may_have_is_not_sent_again_by_itself(
    queue: Queue, stand: HttpStand, fault: Fault, status: str
) -> None:
    (row,) = queue.add(destination="reddit_capi", event_payload=GOOD)
    stand.front.meets(fault)
    stand.run()
    stand.mend()
    queue.make_due()
    stand.run()

    assert stand.times_taken(row.sent_as) <= 1
    found = queue.row(row)
    if status == "dead_letter":
        assert (found["status"], found["dead_letter_reason"]) == (status, OUTCOME_UNKNOWN)
        assert found["failure_code"] == "REDDIT_OUTCOME_UNKNOWN"
    else:
        assert found["status"] == "resolved"


def test_what_was_about_to_be_sent_when_the_run_stopped_is_sent_by_the_next(
    queue: Queue, stand: HttpStand, connection: psycopg.Connection[Any]
) -> None:
    (row,) = queue.add(destination="reddit_capi", event_payload=GOOD)
    connection.execute(
        "create function slowly() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.9); return new; end $$"
    )
    connection.execute(
        "create trigger slowly before update of sent_lease_token on tracking_failed_events"
        " for each row when (new.sent_lease_token = old.lease_token) execute function slowly()"
    )
    stopped = stand.run(time_budget_seconds=0.8)
    connection.execute("drop function slowly cascade")

    assert (stopped.stopped_reason, stand.times_taken(row.sent_as)) == ("time_budget", 0)
    assert stand.run().total("resolved") == 1


def test_an_outage_costs_a_few_requests_and_then_the_others_wait(
    queue: Queue, stand: HttpStand
) -> None:
    queue.add(30, destination="reddit_capi", event_payload=GOOD)
    stand.request_events = 1
    stand.front.meets(takes_and_resets)

    stand.run()
    lost = queue.statuses()["dead_letter"]
    probed = stand.run(all_events=True).by_destination["reddit_capi"]

    assert 10 <= lost <= 12
    assert (probed.state, probed.requests) == ("paused", 1)
    # The probe's end is as unknown as that of the others.
    assert queue.statuses() == {"dead_letter": lost + 1, "pending": 29 - lost}
