from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox


def _error(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_good_batch_is_received_and_answered_as_meta_does(sandbox: Sandbox, send: Any) -> None:
    answer = send.ids("a", "b")
    assert answer.status_code == 200
    assert answer.json().keys() == {"events_received", "messages", "fbtrace_id"}
    assert (answer.json()["events_received"], answer.json()["messages"]) == (2, [])
    assert sandbox.memory.violations == []


def test_one_bad_event_refuses_the_whole_batch_and_nothing_is_processed(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    old = event("old", event_time=int(time.time()) - 8 * 86400)
    answer = send(event("a"), old, event("b"))
    assert answer.status_code == 400
    error = _error(answer)
    assert (error["code"], error["error_subcode"]) == (100, 2804003)
    assert error["type"] == "OAuthException"
    assert error["is_transient"] is False
    assert error.keys() >= {"message", "error_user_title", "error_user_msg", "fbtrace_id"}
    assert "old" not in json.dumps(error["error_data"])
    assert sandbox.memory.accepted_ids == set()
    assert sandbox.memory.requests_with("a") == 1


def test_the_answer_leaves_to_bisection_which_event_was_bad(
    send: Any, event: Callable[..., Any]
) -> None:
    bad = event("bad", event_name="Purchase")
    assert send(event("a"), event("b")).status_code == 200
    assert send(event("c"), bad).status_code == 400
    assert send(bad).status_code == 400
    assert send(event("c")).status_code == 200


def test_a_thousand_events_are_taken_and_one_more_is_too_many(sandbox: Sandbox, send: Any) -> None:
    assert send.ids(*(f"a{number}" for number in range(1000))).status_code == 200
    answer = send.ids(*(f"b{number}" for number in range(1001)))
    assert (answer.status_code, _error(answer)["code"]) == (400, 100)
    assert [violation.kind for violation in sandbox.memory.violations] == ["too_many_events"]
    assert len(sandbox.memory.accepted_ids) == 1000


@pytest.mark.parametrize("data", [None, [], {}, "events", [None], [[]]])
def test_a_request_without_a_list_of_events_is_refused(send: Any, data: object) -> None:
    answer = send.raw(json={"access_token": "token", "data": data})
    assert (answer.status_code, _error(answer)["code"]) == (400, 100)


def test_a_body_that_is_no_json_is_refused(send: Any) -> None:
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
    answer = send.raw(content=b'{"data": [', headers=headers)
    assert (answer.status_code, _error(answer)["code"]) == (400, 100)


def test_the_token_may_come_in_the_body_or_in_the_header(
    send: Any, event: Callable[..., Any]
) -> None:
    in_header = {"Authorization": "Bearer token"}
    assert send.raw(json={"data": [event()], "access_token": "token"}).status_code == 200
    assert send.raw(json={"data": [event()]}, headers=in_header).status_code == 200
    without = send.raw(json={"data": [event()]})
    assert (without.status_code, _error(without)["code"]) == (400, 190)


def test_a_token_in_the_url_is_refused_and_remembered_without_the_token(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    body = {"data": [event("a")], "access_token": "token"}
    answer = send.raw(json=body, params={"access_token": "sesame"})
    assert (answer.status_code, _error(answer)["code"]) == (400, 190)
    [violation] = sandbox.memory.violations
    assert violation.kind == "token_in_url"
    assert "sesame" not in repr(sandbox.memory.violations)
    assert sandbox.memory.accepted("a") == 0


def test_a_form_body_is_read_as_the_sdk_sends_it(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    one_text = {"access_token": "token", "data": json.dumps([event("a"), event("b")])}
    assert send.raw(data=one_text).json()["events_received"] == 2
    text_each = {
        "access_token": "token",
        "data[0]": json.dumps(event("c")),
        "data[1]": json.dumps(event("d")),
    }
    assert send.raw(data=text_each).json()["events_received"] == 2
    assert sandbox.memory.accepted_ids == {"a", "b", "c", "d"}


def test_the_appsecret_proof_is_checked_when_there_is_an_app_secret(
    sender: Callable[[Sandbox], Any], event: Callable[..., Any]
) -> None:
    right = hmac.new(b"secret", b"token", sha256).hexdigest()
    with Sandbox(app_secret="secret") as sandbox:
        send = sender(sandbox)
        assert send(event("a"), appsecret_proof=right).status_code == 200
        for fields in ({}, {"appsecret_proof": "0" * 64}, {"appsecret_proof": 7}):
            answer = send(event("b"), **fields)
            assert answer.status_code == 400
            assert _error(answer)["type"] == "GraphMethodException"
        assert sandbox.memory.accepted_ids == {"a"}


def test_raw_personal_data_is_refused_and_remembered_without_the_value(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    raw = event("a", user_data={"em": "emily@example.com", "client_user_agent": "Mozilla/5.0"})
    answer = send(raw)
    assert answer.status_code == 400
    assert "emily" not in answer.text
    [violation] = sandbox.memory.violations
    assert (violation.kind, violation.what, violation.event_id) == (
        "raw_personal_data",
        "user_data.em",
        "a",
    )


def test_a_test_event_code_is_remembered(
    sandbox: Sandbox, send: Any, event: Callable[..., Any]
) -> None:
    send(event(), test_event_code="TEST123")
    send(event())
    codes = [request.test_event_code for request in sandbox.memory.requests]
    assert codes == ["TEST123", None]


def test_every_answer_carries_the_usage_that_was_set(sandbox: Sandbox, send: Any) -> None:
    conditions = sandbox.conditions["meta_capi"]
    conditions.usage_percent, conditions.regain_minutes = 97, 12
    sandbox.scripts.set("b", [503])
    for answer in (send.ids("a"), send.ids("b")):
        assert json.loads(answer.headers["X-App-Usage"])["call_count"] == 97
        [usage] = json.loads(answer.headers["X-Business-Use-Case-Usage"])["1234567890"]
        assert usage["estimated_time_to_regain_access"] == 12


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (400, (400, 100, None, False)),
        (429, (429, 4, None, True)),
        (500, (500, 1, None, True)),
        (503, (503, 2, None, True)),
        ({"code": 190}, (400, 190, None, False)),
        ({"code": 190, "status": 500}, (500, 190, None, False)),
        ({"code": 100, "subcode": 2804016}, (400, 100, 2804016, False)),
    ],
)
def test_a_scripted_error_has_a_body_like_metas(
    sandbox: Sandbox, send: Any, step: Any, told: tuple[object, ...]
) -> None:
    sandbox.scripts.set("a", [step])
    answer = send.ids("a")
    error = _error(answer)
    assert (
        answer.status_code,
        error["code"],
        error.get("error_subcode"),
        error["is_transient"],
    ) == told
    assert send.ids("a").status_code == 200
    assert (sandbox.memory.requests_with("a"), sandbox.memory.accepted("a")) == (2, 1)


def test_a_timeout_gets_no_answer_and_nothing_is_accepted(
    sandbox: Sandbox, send: Any, eventually: Any
) -> None:
    sandbox.scripts.set("a", ["timeout"])
    with pytest.raises(httpx.ReadTimeout):
        send.ids("a", timeout=0.2)
    assert eventually(lambda: sandbox.memory.requests_with("a") == 1)
    assert sandbox.memory.accepted("a") == 0
    assert [request.answer for request in sandbox.memory.requests] == ["timeout"]


@pytest.mark.parametrize(("step", "accepted"), [("reset", 0), ("late_reset", 1)])
def test_a_reset_tells_nothing_of_whether_the_event_was_accepted(
    sandbox: Sandbox, send: Any, step: str, accepted: int
) -> None:
    sandbox.scripts.set("a", [step])
    with pytest.raises(httpx.ReadError, match="reset"):
        send.ids("a", "b")
    assert (sandbox.memory.accepted("a"), sandbox.memory.accepted("b")) == (accepted, accepted)
    assert send.ids("a").status_code == 200


def test_an_html_page_and_a_broken_body_are_no_json(sandbox: Sandbox, send: Any) -> None:
    sandbox.scripts.set("a", ["html", "broken_json"])
    page, broken = send.ids("a"), send.ids("a")
    assert (page.status_code, page.headers["Content-Type"]) == (500, "text/html")
    assert broken.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        broken.json()
    # The events of an unreadable 200 have arrived: it is as much in doubt as a late reset.
    assert sandbox.memory.accepted("a") == 1


def test_a_scripted_delay_and_the_latency_pass_before_the_answer(
    sandbox: Sandbox, send: Any
) -> None:
    sandbox.scripts.set("a", [{"status": 200, "delay_seconds": 0.1}])
    sandbox.conditions["meta_capi"].latency_seconds = 0.1
    started = time.monotonic()
    assert send.ids("a").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_a_client_that_goes_away_while_it_waits_leaves_the_event_behind(
    sandbox: Sandbox, send: Any, eventually: Any
) -> None:
    sandbox.scripts.set("a", [{"status": 200, "delay_seconds": 30}])
    with pytest.raises(httpx.ReadTimeout):
        send.ids("a", timeout=0.2)
    assert eventually(lambda: sandbox.memory.accepted("a") == 1)


def test_a_request_while_told_to_wait_is_remembered(
    sandbox: Sandbox, send: Any, eventually: Any
) -> None:
    sandbox.scripts.set("a", [{"status": 429, "retry_after": "30"}])
    answer = send.ids("a")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert eventually(lambda: bool(send.ids("b") and sandbox.memory.violations))
    assert {violation.kind for violation in sandbox.memory.violations} == {
        "request_while_told_to_wait"
    }


@pytest.mark.parametrize("header", ["0", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "-5"])
def test_a_retry_after_that_is_past_or_garbage_asks_for_no_wait(
    sandbox: Sandbox, send: Any, header: str
) -> None:
    sandbox.scripts.set("a", [{"status": 503, "retry_after": header}])
    send.ids("a")
    deadline = time.monotonic() + 0.15
    while time.monotonic() < deadline:
        send.ids("b")
    assert sandbox.memory.violations == []


def test_an_outage_hits_every_request_and_uses_up_no_script(sandbox: Sandbox, send: Any) -> None:
    sandbox.scripts.set("a", [500])
    sandbox.conditions["meta_capi"].outage(503)
    assert [send.ids("a").status_code for _ in range(3)] == [503, 503, 503]
    sandbox.conditions["meta_capi"].outage(None)
    assert [send.ids("a").status_code for _ in range(2)] == [500, 200]


def test_a_throttle_hits_the_next_requests_only(sandbox: Sandbox, send: Any) -> None:
    sandbox.conditions["meta_capi"].throttle(2)
    assert [send.ids("a").status_code for _ in range(3)] == [429, 429, 200]


def test_requests_at_once_are_all_counted(sandbox: Sandbox, send: Any) -> None:
    def post(number: int) -> int:
        status: int = send.ids(f"own-{number}", "shared").status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(80))) == {200}
    assert sandbox.memory.requests_with("shared") == 80
    assert sandbox.memory.summary()["distinct_events"] == 81
    assert len(sandbox.memory.requests) == 80


def test_the_clock_of_the_stand_in_can_be_set(
    sender: Callable[[Sandbox], Any], event: Callable[..., Any]
) -> None:
    now = [time.time()]
    with Sandbox(clock=lambda: now[0]) as sandbox:
        assert sender(sandbox)(event("a")).status_code == 200
        now[0] += 7 * 86400 + 60
        assert sender(sandbox)(event("a")).status_code == 400
