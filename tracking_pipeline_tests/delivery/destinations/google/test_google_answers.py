from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.google.answers import (
    CODES,
    DAILY_QUOTA_SECONDS,
    TOO_EARLY_SECONDS,
    classify,
    request_id,
)
from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    LONGEST_THROTTLE_SECONDS,
)
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Outcome,
    Paused,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW
from tracking_pipeline_tests.delivery.judged import agrees_with_the_catalogue

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
TOKEN = "ya29.canary"


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, headers or {}, content)


def error(status: str, *violations: tuple[str, str], **more: Any) -> dict[str, Any]:
    """An error as Google writes one: the violations are (field, reason)."""
    details: list[dict[str, Any]] = [
        {"reason": more.pop("reason", status), "metadata": more.pop("metadata", {})}
    ]
    listed = [{"field": field, "reason": reason} for field, reason in violations]
    if listed:
        details.append({"fieldViolations": listed})
    if "delay" in more:
        details.append({"retryDelay": more.pop("delay")})
    return {"error": {"message": "Something", "status": status, "details": details, **more}}


def verdict(
    status: int, body: Any, headers: dict[str, str] | None = None, events: int = 5
) -> Verdict:
    return classify(answer(status, body, headers), NOW, events=events, secrets=(TOKEN,))


def outcome(status: int, body: Any, headers: dict[str, str] | None = None) -> Outcome:
    judged = verdict(status, body, headers)
    assert isinstance(judged, Uniform), judged
    return judged.outcome


def refusal(status: int, body: Any) -> Refused:
    judged = verdict(status, body)
    assert isinstance(judged, Refused), judged
    return judged


def test_an_accepted_request_is_delivered_and_has_an_id() -> None:
    accepted = {"requestId": "r-1", "fieldWarnings": []}

    assert outcome(200, accepted) == Delivered(200)
    assert request_id(answer(200, accepted)) == "r-1"


@pytest.mark.parametrize("body", [{}, {"requestId": ""}, {"requestId": 7}, [], b"", HTML, b'{"r'])
def test_a_200_without_an_id_is_no_acceptance(body: Any) -> None:
    assert isinstance(outcome(200, body), Retry)
    assert request_id(answer(200, body)) is None


def test_an_id_in_an_error_is_no_acceptance() -> None:
    assert request_id(answer(500, {"requestId": "r-1"})) is None
    assert isinstance(outcome(500, {"requestId": "r-1"}), Retry)


@pytest.mark.parametrize("kind", ["timeout", "connection", "oversized"])
def test_no_answer_is_a_retry(kind: Any) -> None:
    judged = classify(Answer(fault=kind), NOW, events=1)

    assert isinstance(judged, Uniform)
    assert isinstance(judged.outcome, Retry)
    assert judged.outcome.fault.code == kind


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, error("UNAVAILABLE")),
        (504, error("DEADLINE_EXCEEDED")),
        (500, error("INTERNAL")),
        (500, error("INTERNAL", reason="INTERNAL_ERROR")),
        (409, error("ABORTED")),
        (408, b""),
        (425, b""),
        (502, HTML),
        (400, HTML),
        (503, error("UNAVAILABLE", message=None)),
    ],
)
def test_what_may_work_later_is_a_retry(status: int, body: Any) -> None:
    assert isinstance(outcome(status, body), Retry)


def test_a_retry_waits_as_long_as_it_is_asked_to() -> None:
    by_info = outcome(503, error("UNAVAILABLE", delay="7.5s"))
    by_header = outcome(503, error("UNAVAILABLE", delay="7s"), {"retry-after": "90"})

    assert isinstance(by_info, Retry)
    assert isinstance(by_header, Retry)
    assert (by_info.retry_after_seconds, by_header.retry_after_seconds) == (7.5, 90)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (error("RESOURCE_EXHAUSTED"), {}, DEFAULT_THROTTLE_SECONDS),
        (error("RESOURCE_EXHAUSTED", delay="12s"), {}, 12),
        (error("RESOURCE_EXHAUSTED", delay="soon"), {}, DEFAULT_THROTTLE_SECONDS),
        (error("RESOURCE_EXHAUSTED", delay="12s"), {"retry-after": "30"}, 30),
        (
            error("RESOURCE_EXHAUSTED"),
            {"retry-after": format_datetime(NOW + timedelta(seconds=45), usegmt=True)},
            45,
        ),
        (error("RESOURCE_EXHAUSTED"), {"retry-after": "99999999"}, LONGEST_THROTTLE_SECONDS),
        (
            error("RESOURCE_EXHAUSTED", metadata={"quota_limit": "IngestRequestsPerDayPerProject"}),
            {},
            DAILY_QUOTA_SECONDS,
        ),
        (
            error("RESOURCE_EXHAUSTED", metadata={"quota_limit": "IngestRequestsPerMinute"}),
            {},
            DEFAULT_THROTTLE_SECONDS,
        ),
        (HTML, {"retry-after": "5"}, 5),
        (b"", {}, DEFAULT_THROTTLE_SECONDS),
    ],
)
def test_a_quota_that_is_used_up_throttles_for_as_long_as_it_takes(
    body: Any, headers: dict[str, str], seconds: float
) -> None:
    judged = outcome(429, body, headers)

    assert isinstance(judged, Throttled)
    assert judged.wait_seconds == seconds


def test_a_conversion_action_that_is_too_new_spends_no_retry() -> None:
    body = error("INVALID_ARGUMENT", ("destinations[0]", "CONVERSION_ACTION_TOO_RECENTLY_CREATED"))

    judged = outcome(400, body)

    assert isinstance(judged, Throttled)
    assert judged.wait_seconds == TOO_EARLY_SECONDS


@pytest.mark.parametrize("reason", sorted(CODES.having("paused")))
@pytest.mark.parametrize("status", [400, 403])
def test_a_fault_of_the_account_pauses_whatever_the_status(reason: str, status: int) -> None:
    judged = outcome(status, error("INVALID_ARGUMENT", reason=reason))

    assert isinstance(judged, Paused)
    assert judged.fault.code == reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, error("UNAUTHENTICATED")),
        (403, error("PERMISSION_DENIED")),
        (404, error("NOT_FOUND")),
        (404, HTML),
        (401, b""),
        (302, b""),
        (400, error("FAILED_PRECONDITION")),
        (400, error("INVALID_ARGUMENT", ("destinations[0].operatingAccount", "INVALID_FORMAT"))),
        (400, error("INVALID_ARGUMENT", ("encoding", "REQUIRED_FIELD_MISSING"))),
    ],
)
def test_what_no_event_is_to_blame_for_pauses(status: int, body: Any) -> None:
    assert isinstance(outcome(status, body), Paused)


@pytest.mark.parametrize(
    "path", ["events[{}]", "events[{}].currency", "events.events[{}].user_data"]
)
def test_the_events_that_are_named_are_the_culprits(path: str) -> None:
    bad = [(path.format(position), "INVALID_CURRENCY_CODE") for position in (1, 3)]

    judged = refusal(400, error("INVALID_ARGUMENT", *bad))

    assert set(judged.named) == {1, 3}
    assert judged.rejected.reason == "refused by Google: INVALID_CURRENCY_CODE"
    assert judged.rejected.fault.code == "INVALID_CURRENCY_CODE"


def reasons(judged: Refused) -> dict[int, str]:
    """Why each named event is a dead letter; of a duplicate, that it is one."""
    return {
        position: each.fault.code or "" if isinstance(each, Rejected) else f"{each.duplicate}"
        for position, each in judged.named.items()
    }


def test_each_named_event_has_its_own_reason() -> None:
    judged = refusal(
        400,
        error(
            "INVALID_ARGUMENT",
            ("events[1].currency", "INVALID_CURRENCY_CODE"),
            ("events[2].event_timestamp", "EVENT_TIME_INVALID"),
            ("events[4].currency", "INVALID_CURRENCY_CODE"),
            ("events[4].event_timestamp", "EVENT_TIME_INVALID"),
        ),
    )

    assert reasons(judged) == {
        1: "INVALID_CURRENCY_CODE",
        2: "EVENT_TIME_INVALID",
        4: "INVALID_CURRENCY_CODE",
    }
    # Told in the same words, whatever its place: a run counts them as one kind of failure.
    told = {position: words(each) for position, each in judged.named.items()}
    assert told[1] == told[4] == words(judged.rejected) != told[2]


def test_the_fields_that_google_objects_to_and_its_requests_id_are_kept() -> None:
    body = error(
        "INVALID_ARGUMENT",
        ("events[1].currency", "INVALID_CURRENCY_CODE"),
        ("events[1].userData.userIdentifiers[0].emailAddress", "INVALID_SHA256_FORMAT"),
        metadata={"requestId": "t4Jh-Qz_0"},
    )

    fault = refusal(400, body).named[1].fault

    assert fault.fields == "events[].currency, events[].userData.userIdentifiers[0].emailAddress"
    assert fault.trace_id == "t4Jh-Qz_0"


def words(judged: Delivered | Rejected) -> tuple[str, str | None]:
    assert isinstance(judged, Rejected)
    return judged.fault.message, judged.fault.code


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("INVALID_ARGUMENT")),
        (400, error("INVALID_ARGUMENT", ("events.currency", "INVALID_CURRENCY_CODE"))),
        (400, error("INVALID_ARGUMENT", ("events", "TOO_MANY_EVENTS"))),
        (400, error("INVALID_ARGUMENT", ("", "INVALID_FORMAT"))),
        (400, {"error": {"status": "INVALID_ARGUMENT"}}),
        (400, {"unknown": 1}),
        (413, HTML),
        (413, b""),
    ],
)
def test_a_refusal_that_names_no_event_is_left_to_bisection(status: int, body: Any) -> None:
    assert refusal(status, body).named == {}


@pytest.mark.parametrize("reason", ["DUPLICATE_TRANSACTION_ID", "DUPLICATE_GCLID"])
def test_a_duplicate_is_delivered_where_it_is_named_or_stands_alone(reason: str) -> None:
    there = Delivered(409, duplicate="event")
    named = error("ALREADY_EXISTS", ("events[2].transaction_id", reason))
    named_without_reason = error("ALREADY_EXISTS", ("events[2]", ""), reason=reason)
    unnamed = error("ALREADY_EXISTS", reason=reason)

    for body in (named, named_without_reason, unnamed):
        assert verdict(409, body, events=1) == Uniform(there)
    assert refusal(409, named).named == {2: there}
    assert refusal(409, named_without_reason).named == {2: there}
    assert refusal(409, unnamed).named == {}


def test_a_duplicate_beside_a_bad_event_is_not_rejected() -> None:
    judged = refusal(
        400,
        error(
            "INVALID_ARGUMENT",
            ("events[0].transaction_id", "DUPLICATE_TRANSACTION_ID"),
            ("events[2].currency", "INVALID_CURRENCY_CODE"),
            # Both at once: it may not be what Google has.
            ("events[2].transaction_id", "DUPLICATE_TRANSACTION_ID"),
        ),
    )

    assert reasons(judged) == {0: "event", 2: "INVALID_CURRENCY_CODE"}
    assert judged.rejected.fault.code == "INVALID_CURRENCY_CODE"


def test_a_fault_holds_neither_the_token_nor_anybodys_data() -> None:
    message = f"Bad token {TOKEN} for jane.roe@example.com, +1 650 555 1212"

    judged = outcome(401, error("UNAUTHENTICATED", message=message, reason="say jane@example.com"))

    assert isinstance(judged, Paused)
    for canary in (TOKEN, "jane", "650"):
        assert canary not in repr(judged.fault)
    assert judged.fault.code == "unknown"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_DETAILS = st.lists(
    st.dictionaries(
        st.sampled_from(("reason", "metadata", "fieldViolations", "retryDelay", "field")),
        _JSON | st.lists(st.dictionaries(st.sampled_from(("field", "reason")), _JSON)),
    )
    | _JSON
)


@settings(max_examples=200)
@given(
    status=st.integers(200, 599),
    body=_JSON
    | st.builds(
        lambda **fields: {"error": fields},
        details=_DETAILS | _JSON,
        message=_JSON,
        status=_JSON | st.sampled_from(("INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED")),
    ),
)
def test_any_answer_gets_a_verdict(status: int, body: Any) -> None:
    judged = verdict(status, body)

    assert isinstance(judged, (Uniform, Refused))
    assert agrees_with_the_catalogue(judged)
    if isinstance(judged, Uniform) and isinstance(judged.outcome, Throttled):
        assert 1 <= judged.outcome.wait_seconds <= LONGEST_THROTTLE_SECONDS
