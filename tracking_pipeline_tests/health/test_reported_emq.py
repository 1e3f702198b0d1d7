"""Meta's Dataset Quality API as we read it, and what is kept of it."""

from __future__ import annotations

import hmac
import json
import time
from hashlib import sha256
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.health.readings.deduplication import read_deduplication
from tracking_pipeline.health.readings.meta_reported import (
    FIELDS,
    EventQuality,
    ReportedEmq,
    read_quality_answer,
    record_reported_emq,
)
from tracking_pipeline.health.readings.rollup import roll_up
from tracking_pipeline.health.view.accounting import meeting_words
from tracking_pipeline.http_client import Answer
from tracking_pipeline.sandbox import meta_answers
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.health_history import KeyFeedback, read_reported_scores
from tracking_pipeline_tests.health.site import EVERYTHING, Site, policy

TOKEN = "EAAB-the-secret-token-of-the-dataset"


def account(sandbox: Sandbox, **changes: Any) -> MetaAccount:
    return MetaAccount(
        **{"dataset_id": "123", "access_token": TOKEN, "url": sandbox.meta_url} | changes
    )


def post_events(sandbox: Sandbox, *people: dict[str, Any], name: str = "Lead") -> None:
    now = int(time.time())
    events = [
        {
            "event_name": name,
            "event_time": now,
            "event_id": f"{name}-{number}",
            "action_source": "website",
            "event_source_url": "https://www.example.com/quote",
            "user_data": {"client_user_agent": "Mozilla/5.0", **person},
        }
        for number, person in enumerate(people)
    ]
    answer = httpx.post(
        f"{sandbox.meta_url}/v26.0/123/events", json={"access_token": "t", "data": events}
    )
    assert answer.status_code == 200, answer.text


def read(body: object, status: int = 200) -> ReportedEmq:
    return read_quality_answer(Answer(status, {}, json.dumps(body).encode()), secrets=(TOKEN,))


DOCUMENTED = {
    "web": [
        {
            "event_match_quality": {
                "composite_score": 7.2,
                "match_key_feedback": [
                    {"identifier": "email", "coverage": {"percentage": 100}},
                    {"identifier": "ip_address", "coverage": {"percentage": 99.9}},
                ],
            },
            "event_name": "CompleteRegistration",
        }
    ]
}


def test_the_documented_answer_is_read() -> None:
    (event,) = read(DOCUMENTED).events
    assert event == EventQuality("CompleteRegistration", 7.2, {"email": 100.0, "ip_address": 99.9})


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "Lead",
        {},
        {"event_name": "Lead"},
        {"event_name": "Lead", "event_match_quality": None},
        {"event_name": "Lead", "event_match_quality": {"composite_score": None}},
        {"event_name": "Lead", "event_match_quality": {"composite_score": True}},
        {"event_name": "Lead", "event_match_quality": {"composite_score": 11}},
        {"event_name": None, "event_match_quality": {"composite_score": 5}},
    ],
)
def test_an_entry_without_a_score_is_left_out_and_the_others_stay(entry: object) -> None:
    reported = read({"web": [entry, *DOCUMENTED["web"]]})
    assert [event.event_name for event in reported.events] == ["CompleteRegistration"]


def test_a_key_that_we_do_not_know_is_kept() -> None:
    quality = {
        "composite_score": 5,
        "match_key_feedback": [
            {"identifier": "brand_new", "coverage": {"percentage": 12}},
            {"identifier": "no_coverage"},
            "not even an object",
        ],
    }
    (event,) = read({"web": [{"event_name": "Lead", "event_match_quality": quality}]}).events
    assert event.coverage_percent == {"brand_new": 12.0}


def test_what_is_said_of_deduplication_is_read_with_or_without_a_score() -> None:
    """The form of Meta's own page; a part that is missing or odd is left out."""
    feedback = [
        {
            "dedupe_key": "event_id",
            "browser_events_with_dedupe_key": {"percentage": 98.2},
            "server_events_with_dedupe_key": {"percentage": 100},
            "overall_browser_coverage_from_dedupe_key": {"percentage": 61},
        },
        {"dedupe_key": "fbp", "overall_browser_coverage_from_dedupe_key": {"percentage": "many"}},
        {"dedupe_key": None},
        "not even an object",
    ]
    found = read({"web": [{"event_name": "Lead", "dedupe_key_feedback": feedback}]})
    assert found.events == ()
    assert found.deduplication == (
        KeyFeedback("Lead", "event_id", 98.2, 100.0, 61.0),
        KeyFeedback("Lead", "fbp"),
    )


def test_how_pixel_and_server_meet_is_kept_and_the_last_word_is_told(
    connection: psycopg.Connection, database_url: str, sandbox: Sandbox
) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]}, {"em": [EVERYTHING["em"]]})
    pixel = [{"event_name": "Lead", "event_id": each} for each in ("Lead-0", "px-1")]
    for events in (pixel[1:], pixel):
        sandbox.pixel_events[:] = events
        record_reported_emq(database_url, account(sandbox), policy())
    site = Site(connection)
    found = read_deduplication(connection, site.ago(days=7), site.ago(days=-1), repeated_orders=0)
    assert found.meta == [KeyFeedback("Lead", "event_id", 100.0, 100.0, 50.0)]
    told = " ".join(meeting_words(found))
    assert "50.0 % of the pixel's events have a server event with the same event_id" in told
    assert "Meta's goal is 75 %" in told
    assert len(read_reported_scores(connection, site.ago(days=1))) == 2


def test_a_version_that_says_nothing_of_deduplication_is_asked_for_the_scores_alone(
    database_url: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(meta_answers.KNOWN["web"], "dedupe_key_feedback")
    post_events(sandbox, {"em": [EVERYTHING["em"]]})
    reported = record_reported_emq(database_url, account(sandbox), policy())
    assert (reported.state, len(reported.events), reported.deduplication) == ("ok", 1, ())


def test_a_dataset_without_web_events_is_no_failure() -> None:
    assert read({"web": []}) == ReportedEmq("ok", "Meta has no score of a web event yet", ())


def test_a_refusal_says_what_to_check_and_no_token() -> None:
    error = {"message": f"Invalid OAuth access token {TOKEN} of a@b.example", "code": 190}
    reported = read({"error": error}, 400)
    assert reported.state == "unavailable"
    assert "code 190" in reported.detail
    assert "META_ACCESS_TOKEN" in reported.detail
    assert TOKEN not in reported.detail
    assert "a@b.example" not in reported.detail


@pytest.mark.parametrize(
    "answer",
    [
        Answer(fault="timeout"),
        Answer(fault="connection"),
        Answer(200, fault="oversized"),
        Answer(502, {}, b"<html>"),
        Answer(200, {}, b"[1]"),
        Answer(302, {}, b""),
    ],
)
def test_whatever_is_no_answer_of_the_api_is_an_outage(answer: Answer) -> None:
    assert read_quality_answer(answer).state == "unavailable"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "web",
                    "error",
                    "event_name",
                    "event_match_quality",
                    "composite_score",
                    "coverage",
                    "match_key_feedback",
                    "identifier",
                    "percentage",
                    "message",
                    "code",
                    "dedupe_key_feedback",
                    "dedupe_key",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_answer_whatever_its_form_is_an_error(body: object) -> None:
    reported = read_quality_answer(Answer(200, {}, json.dumps(body).encode()))
    assert all(0 <= event.score <= 10 for event in reported.events)


def test_scores_are_kept_with_the_coverage_of_our_own_ledger(
    connection: psycopg.Connection, database_url: str, sandbox: Sandbox
) -> None:
    site = Site(connection)
    site.add_events(3, keys=EVERYTHING, at=site.ago(hours=2))
    site.add_events(1, keys={"ph": EVERYTHING["ph"]}, at=site.ago(hours=2))
    roll_up(connection, policy().counting)
    post_events(sandbox, {"em": [EVERYTHING["em"]]}, {"ph": [EVERYTHING["ph"]]})
    reported = record_reported_emq(database_url, account(sandbox), policy(), run_id="run-1")
    assert reported.state == "ok"
    (kept,) = read_reported_scores(connection, site.ago(days=1))
    assert (kept.event_name, kept.score) == ("Lead", reported.events[0].score)
    assert kept.meta_coverage_percent == {"email": 50.0, "phone": 50.0, "user_agent": 100.0}
    assert kept.ledger_coverage_percent["em"] == 75.0
    assert kept.ledger_coverage_percent["ph"] == 100.0


def test_an_event_that_our_ledger_does_not_have_is_kept_without_a_coverage(
    connection: psycopg.Connection, database_url: str, sandbox: Sandbox
) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]}, name="ViewContent")
    record_reported_emq(database_url, account(sandbox), policy())
    (kept,) = read_reported_scores(connection, Site(connection).ago(days=1))
    assert kept.ledger_coverage_percent == {}


def test_the_token_is_in_no_url(database_url: str, sandbox: Sandbox) -> None:
    record_reported_emq(database_url, account(sandbox), policy())
    assert sandbox.memory.violations == []


def test_with_an_app_secret_the_proof_goes_with_the_question(database_url: str) -> None:
    with Sandbox(app_secret="of the app") as sandbox:
        wrong = account(sandbox, app_secret="another")
        right = account(sandbox, app_secret="of the app")
        refused = record_reported_emq(database_url, wrong, policy())
        assert refused.state == "unavailable"
        proof = hmac.new(b"another", TOKEN.encode(), sha256).hexdigest()
        assert proof not in refused.detail
        assert record_reported_emq(database_url, right, policy()).state == "ok"


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_an_outage_is_a_result_and_keeps_nothing(
    connection: psycopg.Connection, database_url: str, sandbox: Sandbox, status: int
) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]})
    sandbox.conditions["meta_capi"].outage(status)
    reported = record_reported_emq(database_url, account(sandbox), policy())
    assert reported.state == "unavailable"
    assert TOKEN not in reported.detail
    assert read_reported_scores(connection, Site(connection).ago(days=1)) == []


def test_nobody_there_is_a_result_as_well(database_url: str, sandbox: Sandbox) -> None:
    nowhere = account(sandbox, url="http://127.0.0.1:1")
    assert record_reported_emq(database_url, nowhere, policy()).state == "unavailable"


def test_without_an_account_nobody_is_asked(database_url: str) -> None:
    reported = record_reported_emq(database_url, None, policy())
    assert reported == ReportedEmq(
        "not_configured", "set META_DATASET_ID and META_ACCESS_TOKEN", ()
    )


def test_the_stand_in_knows_all_fields_that_are_asked_for(sandbox: Sandbox) -> None:
    answer = httpx.get(
        f"{sandbox.meta_url}/v26.0/dataset_quality",
        params={"dataset_id": "1", "fields": FIELDS},
        headers={"authorization": "Bearer t"},
    )
    assert (answer.status_code, answer.json()) == (200, {"web": []})
