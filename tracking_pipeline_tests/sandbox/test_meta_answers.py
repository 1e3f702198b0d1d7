"""Meta's stand-in on the quality of what it accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.meta_answers import UnknownFieldError, parse_fields, quality
from tracking_pipeline.sandbox.server import Sandbox

HEADERS = {"authorization": "Bearer token"}


def ask(sandbox: Sandbox, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    return httpx.get(
        f"{sandbox.meta_url}/v26.0/dataset_quality",
        params={"dataset_id": "1234567890", **query},
        headers=HEADERS if headers is None else headers,
    )


def event(name: str = "Lead", source: str = "website", **person: Any) -> dict[str, Any]:
    return {"event_name": name, "action_source": source, "user_data": person}


def test_only_what_was_accepted_counts(sandbox: Sandbox, send: Any) -> None:
    send.ids("a", "b")
    sandbox.scripts.set("c", [500])
    send.ids("c")
    (lead,) = ask(sandbox).json()["web"]
    assert lead["event_name"] == "Lead"
    assert {"identifier": "email", "coverage": {"percentage": 100.0}} in lead[
        "event_match_quality"
    ]["match_key_feedback"]


def test_an_answer_has_the_fields_that_were_asked_for_and_no_others(
    sandbox: Sandbox, send: Any
) -> None:
    send.ids("a")
    fields = "web{event_name,event_match_quality{composite_score}}"
    (lead,) = ask(sandbox, fields=fields).json()["web"]
    assert lead.keys() == {"event_name", "event_match_quality"}
    assert lead["event_match_quality"].keys() == {"composite_score"}


@pytest.mark.parametrize(
    "fields", ["web{nonsense}", "data", "web{event_name", "web}", "web{event_name{x}}", "we b;"]
)
def test_a_field_that_there_is_not_is_refused(sandbox: Sandbox, fields: str) -> None:
    answer = ask(sandbox, fields=fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


def test_without_a_dataset_there_is_no_answer(sandbox: Sandbox) -> None:
    answer = httpx.get(f"{sandbox.meta_url}/v26.0/dataset_quality", headers=HEADERS)
    assert answer.json()["error"]["message"] == "(#100) The parameter dataset_id is required"


def test_a_token_is_needed_and_not_in_the_url(sandbox: Sandbox) -> None:
    assert ask(sandbox, headers={}).json()["error"]["code"] == 190
    assert ask(sandbox, access_token="token").json()["error"]["code"] == 190
    assert [violation.kind for violation in sandbox.memory.violations] == ["token_in_url"]


def test_an_outage_of_meta_is_one_for_questions_too(sandbox: Sandbox) -> None:
    sandbox.conditions["meta_capi"].outage(503)
    assert ask(sandbox).status_code == 503


def test_a_question_is_no_delivery(sandbox: Sandbox, send: Any) -> None:
    send.ids("a")
    ask(sandbox)
    assert sandbox.memory.summary()["requests"] == 1


def test_more_keys_score_higher_and_only_the_web_counts() -> None:
    events = [
        event(em="x", fbp="y"),
        event("Contact", fbp="y"),
        event("Purchase", "physical_store", em="x"),
        "not an event",
    ]
    contact, lead = quality(events, "web")["web"]
    scores = [each["event_match_quality"]["composite_score"] for each in (contact, lead)]
    assert [contact["event_name"], lead["event_name"]] == ["Contact", "Lead"]
    assert 0 < scores[0] < scores[1] < 10


def test_spaces_and_order_do_not_matter() -> None:
    parse: Callable[[str], Any] = parse_fields
    assert parse("web { event_name , event_match_quality }").keys() == {"web"}
    with pytest.raises(UnknownFieldError):
        parse("web{event_name}}")
