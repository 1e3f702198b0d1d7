from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.http_answers import LONGEST_THROTTLE_SECONDS
from tracking_pipeline.delivery.destinations.meta.answers import classify, cool_down_seconds
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Outcome,
    Paused,
    Refused,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW
from tracking_pipeline_tests.delivery.judged import agrees_with_the_catalogue

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, headers or {}, content)


def error(code: Any, subcode: Any = None, **more: Any) -> dict[str, Any]:
    fields = {"message": "Something", "type": "OAuthException", "code": code, **more}
    return {"error": {**fields, **({} if subcode is None else {"error_subcode": subcode})}}


def verdict(status: int, body: Any, headers: dict[str, str] | None = None) -> Verdict:
    return classify(answer(status, body, headers), NOW)


def outcome(status: int, body: Any, headers: dict[str, str] | None = None) -> Outcome:
    judged = verdict(status, body, headers)
    assert isinstance(judged, Uniform), judged
    return judged.outcome


def test_received_events_are_delivered() -> None:
    judged = outcome(200, {"events_received": 2, "messages": [], "fbtrace_id": "A"})

    assert judged == Delivered(200)


@pytest.mark.parametrize("kind", ["timeout", "connection", "oversized"])
def test_no_answer_is_a_retry(kind: Any) -> None:
    judged = classify(Answer(fault=kind), NOW)

    assert isinstance(judged, Uniform)
    assert isinstance(judged.outcome, Retry)
    assert judged.outcome.fault.code == kind


@pytest.mark.parametrize("code", [1, 2, 5000, 21009])
@pytest.mark.parametrize("status", [200, 400, 403, 500, 503])
def test_a_passing_fault_is_a_retry_whatever_the_status(code: int, status: int) -> None:
    assert isinstance(outcome(status, error(code)), Retry)


@pytest.mark.parametrize("code", [100, 190, 200, 987654])
def test_an_error_marked_transient_is_a_retry_whatever_its_code(code: int) -> None:
    assert isinstance(outcome(400, error(code, is_transient=True)), Retry)


@pytest.mark.parametrize("code", [4, 17, 32, 341, 613, 80000, 80003, 80004, 80014])
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_rate_limit_throttles_the_destination_although_it_is_marked_transient(
    code: int, status: int
) -> None:
    assert isinstance(outcome(status, error(code, is_transient=True)), Throttled)


@pytest.mark.parametrize("body", [error(None), HTML, b"", error(1)])
def test_a_429_throttles_whatever_its_body(body: Any) -> None:
    assert isinstance(outcome(429, body), Throttled)


@pytest.mark.parametrize(
    ("code", "subcode"),
    [
        (190, None),
        (190, 460),
        (190, 463),
        (102, None),
        (10, None),
        (3, None),
        (200, None),
        (294, None),
        (299, None),
        (100, 33),
        (368, None),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_bad_token_or_account_pauses_the_destination_whatever_the_status(
    code: int, subcode: int | None, status: int
) -> None:
    assert isinstance(outcome(status, error(code, subcode)), Paused)


def test_a_wrong_appsecret_proof_pauses_although_its_code_is_that_of_a_bad_event() -> None:
    body = error(
        100,
        type="GraphMethodException",
        message="Invalid appsecret_proof provided in the API argument",
    )

    assert isinstance(outcome(400, body), Paused)


@pytest.mark.parametrize(
    ("code", "subcode", "reason"),
    [
        (100, 2804003, "refused by Meta: 100/2804003"),
        (100, 2804009, "refused by Meta: 100/2804009"),
        (100, 2804050, "refused by Meta: 100/2804050"),
        (100, None, "refused by Meta: 100"),
        (105, None, "refused by Meta: 105"),
        ("100", "2804003", "refused by Meta: 100/2804003"),
    ],
)
def test_an_invalid_event_refuses_its_request_and_says_nothing_about_the_others(
    code: Any, subcode: Any, reason: str
) -> None:
    judged = verdict(400, error(code, subcode, error_user_title="Event Timestamp Too Old"))

    assert isinstance(judged, Refused)
    assert judged.rejected.reason == reason
    assert judged.rejected.fault.message == "Event Timestamp Too Old: Something"
    assert judged.named == {}


def test_error_data_may_be_an_object_or_its_text() -> None:
    for data in ({"blame_field_specs": [["data"]]}, '{"blame_field_specs":[["data"]]}', 7, "no"):
        assert isinstance(verdict(400, error(100, error_data=data)), Refused)


@pytest.mark.parametrize("code", [987654, -1, 0, 2**63, 400, 2636, 2500])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_code_that_nobody_knows_is_the_calls_fault_though_not_for_certain(
    code: int, status: int
) -> None:
    paused = outcome(status, error(code))

    assert isinstance(paused, Paused)
    assert not paused.certain


@pytest.mark.parametrize(
    "message",
    [
        "(#100) Tried accessing nonexisting field (events) on node type (AdAccount)",
        "Unsupported post request. Object with ID '1' does not exist",
    ],
)
def test_what_speaks_of_the_object_that_was_called_is_no_events_fault(message: str) -> None:
    assert isinstance(outcome(400, error(100, message=message)), Paused)


UNREADABLE = (
    b"",
    b'{"events_rec',
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"ok"',
    b"{}",
    b"[" * 5_000,
    b'{"error": "no"}',
    b'{"error": null}',
    b'{"error": []}',
    b'{"events_received": null}',
)


@pytest.mark.parametrize("body", [HTML, *UNREADABLE])
@pytest.mark.parametrize("status", [200, 408, 425, 500, 502, 503])
def test_an_unreadable_answer_is_a_retry(status: int, body: bytes) -> None:
    assert isinstance(outcome(status, body), Retry)


@pytest.mark.parametrize("body", [*UNREADABLE, error(None)])
@pytest.mark.parametrize("status", [400, 422])
def test_a_bare_refusal_of_what_was_sent_is_searched_for_the_culprit(
    status: int, body: Any
) -> None:
    judged = verdict(status, body)

    assert isinstance(judged, Refused)
    assert judged.named == {}
    assert judged.rejected.reason == f"refused by Meta: HTTP {status}"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HTML, {}),
        (b" \n" + HTML, {}),
        (b"Bad Request", {"content-type": "text/html; charset=utf-8"}),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_proxys_page_says_nothing_about_the_events(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    assert isinstance(outcome(status, body, headers), Retry)


def test_an_answer_that_nothing_was_received_is_no_delivery() -> None:
    assert isinstance(outcome(200, {"events_received": 0}), Retry)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404])
@pytest.mark.parametrize("body", [HTML, b"", error(None)])
def test_another_address_or_a_closed_door_pauses_and_only_a_token_is_surely_the_accounts(
    status: int, body: Any
) -> None:
    judged = outcome(status, body)

    assert isinstance(judged, Paused)
    assert judged.certain is (status == 401)


@pytest.mark.parametrize("body", [HTML, b"", error(None)])
def test_a_request_that_is_too_large_is_halved(body: Any) -> None:
    assert isinstance(verdict(413, body), Refused)


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("Tue, 24 Nov 2026 12:05:00 GMT", 300)])
def test_a_retry_after_is_kept(asked: str, seconds: float) -> None:
    judged = outcome(503, HTML, {"retry-after": asked})

    assert isinstance(judged, Retry)
    assert judged.retry_after_seconds == seconds


@pytest.mark.parametrize("asked", ["soon", "-5", "", "1e9", "٣", "Tue, 99 Nov 2026 12:05:00 GMT"])
def test_a_retry_after_that_is_nonsense_is_ignored(asked: str) -> None:
    judged = outcome(503, HTML, {"retry-after": asked})

    assert isinstance(judged, Retry)
    assert judged.retry_after_seconds is None


def test_a_date_is_counted_from_the_answers_own_clock() -> None:
    late = NOW + timedelta(hours=5)
    headers = {
        "date": "Tue, 24 Nov 2026 12:00:00 GMT",
        "retry-after": "Tue, 24 Nov 2026 12:00:30 GMT",
    }

    judged = classify(answer(503, HTML, headers), late)

    assert isinstance(judged, Uniform)
    assert isinstance(judged.outcome, Retry)
    assert judged.outcome.retry_after_seconds == 30


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "99999999999999"}, LONGEST_THROTTLE_SECONDS),
        ({"x-business-use-case-usage": '{"7":[{"estimated_time_to_regain_access":5}]}'}, 300.0),
        ({"x-ad-account-usage": '{"acc_id_util_pct":100,"reset_time_duration":90}'}, 90.0),
        (
            {
                "x-business-use-case-usage": '{"7":[{"estimated_time_to_regain_access":1},'
                '{"estimated_time_to_regain_access":9}]}'
            },
            540.0,
        ),
        ({}, 60.0),
        ({"retry-after": "nonsense"}, 60.0),
    ],
)
def test_a_throttle_lasts_as_long_as_the_answer_says(
    headers: dict[str, str], seconds: float
) -> None:
    judged = outcome(400, error(4), headers)

    assert isinstance(judged, Throttled)
    assert judged.wait_seconds == seconds


@pytest.mark.parametrize(
    "headers",
    [
        {"x-app-usage": '{"call_count":96,"total_cputime":1,"total_time":1}'},
        {"x-ad-account-usage": '{"acc_id_util_pct":99.5}'},
        {"x-business-use-case-usage": '{"7":[{"total_time":100}]}'},
    ],
)
def test_a_destination_near_its_limit_gets_a_rest(headers: dict[str, str]) -> None:
    assert cool_down_seconds(headers) == 60.0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-app-usage": '{"call_count":94}'},
        {"x-app-usage": "nonsense"},
        {"x-app-usage": ""},
        {"x-app-usage": "[100]"},
        {"x-app-usage": '{"call_count":"100"}'},
        {"x-app-usage": '{"call_count":true}'},
        {"x-business-use-case-usage": '{"7":{"call_count":[100]}}'},
        {"x-business-use-case-usage": '{"7":[100,null,"x"]}'},
        {"x-ad-account-usage": '{"acc_id_util_pct":null}'},
        {"x-app-usage": "[" * 5_000},
    ],
)
def test_usage_that_is_low_or_unreadable_slows_nothing(headers: dict[str, str]) -> None:
    assert cool_down_seconds(headers) is None


def test_the_message_holds_no_secret_and_no_person() -> None:
    token = "EAAB" + "a1B2" * 3
    message = (
        f"Error validating access token {token}: user jane.roe@example.com, +1 (650) 555-1212, "
        f"203.0.113.77, {'ab' * 32}"
    )

    judged = classify(answer(400, error(190, message=message)), NOW, secrets=(token,))

    assert isinstance(judged, Uniform)
    assert isinstance(judged.outcome, Paused)
    told = judged.outcome.fault.message
    for canary in (token, "jane.roe", "555", "203.0.113.77", "abab"):
        assert canary not in told
    assert told.startswith("Error validating access token")


def test_what_meta_says_to_people_is_kept_without_them() -> None:
    token = "EAAB" + "a1B2" * 3
    body = error(
        100,
        2804003,
        error_user_title="Event of jane.roe@example.com",
        error_user_msg=f"Call +1 (650) 555-1212 with {token}, {'ab' * 32}, from 203.0.113.77.",
        fbtrace_id="AbC-dEf_123",
        error_data=orjson.dumps(
            {"blame_field_specs": [["data", 0, "event_time"], ["data.0.jane.roe@example.com"]]}
        ).decode(),
    )

    judged = classify(answer(400, body), NOW, secrets=(token,))

    assert isinstance(judged, Refused)
    fault = judged.rejected.fault
    assert fault.said is not None
    assert fault.said.startswith("Event of ")
    for canary in (token, "jane", "555", "203.0.113.77", "abab"):
        assert canary not in fault.said
    assert (fault.trace_id, fault.fields) == ("AbC-dEf_123", "data.0.event_time")


@pytest.mark.parametrize("trace", ["jane.roe@example.com", "+16505551212", "a b", 7, "x" * 101])
def test_what_is_no_trace_id_is_not_kept_as_one(trace: Any) -> None:
    judged = verdict(400, error(100, fbtrace_id=trace))

    assert isinstance(judged, Refused)
    assert judged.rejected.fault.trace_id is None


def test_the_reason_of_a_refusal_never_quotes_the_event() -> None:
    judged = verdict(400, error(100, 2804003, message="event order-77 of Jane Roe is too old"))

    assert isinstance(judged, Refused)
    assert judged.rejected.reason == "refused by Meta: 100/2804003"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "error",
                    "code",
                    "error_subcode",
                    "is_transient",
                    "message",
                    "type",
                    "error_data",
                    "events_received",
                    "error_user_title",
                )
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None, database=None)
@given(
    st.integers(100, 599),
    st.builds(orjson.dumps, st.fixed_dictionaries({"error": _JSON}) | _JSON)
    | st.binary(max_size=30),
    st.dictionaries(
        st.sampled_from(("retry-after", "date", "x-app-usage", "x-business-use-case-usage")),
        st.text(max_size=12) | st.builds(lambda value: orjson.dumps(value).decode(), _JSON),
    ),
)
def test_any_answer_is_judged(status: int, body: bytes, headers: dict[str, str]) -> None:
    judged = verdict(status, body, headers)

    assert isinstance(judged, (Uniform, Refused))
    assert agrees_with_the_catalogue(judged)
    assert cool_down_seconds(headers) is None or cool_down_seconds(headers)
    if isinstance(judged, Uniform) and isinstance(judged.outcome, Throttled):
        assert 1 <= judged.outcome.wait_seconds <= LONGEST_THROTTLE_SECONDS
