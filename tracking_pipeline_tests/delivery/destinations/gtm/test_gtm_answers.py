from __future__ import annotations

from typing import Any

import httpx
import pytest

from tracking_pipeline.delivery.destinations.gtm.answers import GtmProtocol, classify
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    Refused,
    Retry,
    Throttled,
    Uniform,
    Verdict,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.http_client import Answer
from tracking_pipeline_tests.delivery.claimed import NOW
from tracking_pipeline_tests.delivery.judged import agrees_with_the_catalogue

MARK = {"Access-Control-Allow-Headers": "content-type,set-cookie,x-gtm-server-preview"}
TAKEN = b'{"timestamp":1764000000,"unique_event_id":"1_2"}'


def judged(
    status: int | None,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    protocol: GtmProtocol = "data_client",
    sent_list: bool = False,
    previewed: bool = False,
) -> Verdict:
    answer = Answer(status, httpx.Headers(headers or {}), body)
    return classify(answer, NOW, protocol, sent_list=sent_list, previewed=previewed)


def outcome(*arguments: Any, **named: Any) -> Any:
    verdict = judged(*arguments, **named)
    assert isinstance(verdict, Uniform)
    return verdict.outcome


@pytest.mark.parametrize(
    ("status", "body"), [(200, TAKEN), (200, b""), (201, TAKEN), (200, b'{"event_name":"Lead"}')]
)
def test_what_the_data_client_takes_is_delivered(status: int, body: bytes) -> None:
    assert outcome(status, body) == Delivered(status)


@pytest.mark.parametrize("body", [b"", b"GIF89a", b"{}"])
def test_what_a_measurement_protocol_client_takes_is_delivered(body: bytes) -> None:
    assert outcome(204, body, protocol="measurement_protocol") == Delivered(204)


@pytest.mark.parametrize("status", [301, 302, 403, 404])
def test_a_status_that_the_operator_chose_for_a_success_is_one(status: int) -> None:
    assert outcome(status, b"your message", MARK) == Delivered(status)
    assert isinstance(outcome(status, b"your message"), Paused)
    assert isinstance(outcome(status, b"", MARK, protocol="measurement_protocol"), Paused)


def test_a_list_that_was_taken_for_one_event_pauses_and_says_which_box_to_tick() -> None:
    paused = outcome(200, TAKEN, MARK, sent_list=True)

    assert isinstance(paused, Paused)
    assert "Accept Multiple Events" in paused.fault.message
    assert outcome(200, b"[%b,%b]" % (TAKEN, TAKEN), MARK, sent_list=True) == Delivered(200)
    assert outcome(200, b"", MARK, sent_list=True) == Delivered(200)


@pytest.mark.parametrize("protocol", ["data_client", "measurement_protocol"])
def test_an_unclaimed_request_pauses_and_says_what_to_look_at(protocol: GtmProtocol) -> None:
    paused = outcome(400, b"", protocol=protocol)

    assert isinstance(paused, Paused)
    assert "no client claimed the request" in paused.fault.message
    assert paused.fault.http_status == 400


def test_an_unclaimed_request_with_a_preview_token_names_the_token() -> None:
    paused = outcome(400, previewed=True)

    assert paused.fault.failure is Failure.GTM_PREVIEW_TOKEN_REFUSED
    assert "GTM_PREVIEW_TOKEN" in paused.fault.message
    assert "GTM_PREVIEW_TOKEN" not in outcome(400).fault.message
    assert "GTM_PREVIEW_TOKEN" not in outcome(404, previewed=True).fault.message


@pytest.mark.parametrize("headers", [{}, MARK])
@pytest.mark.parametrize("protocol", ["data_client", "measurement_protocol"])
def test_any_answer_is_judged_as_the_catalogue_says(
    headers: dict[str, str], protocol: GtmProtocol
) -> None:
    for status in (*range(199, 206), *range(300, 600)):
        for previewed in (False, True):
            verdict = judged(status, b"", headers, protocol=protocol, previewed=previewed)
            assert agrees_with_the_catalogue(verdict), status


def test_a_refusal_by_the_client_itself_is_about_the_event() -> None:
    verdict = judged(400, b"", MARK)

    assert isinstance(verdict, Refused)
    assert verdict.rejected.reason == "refused by the container: HTTP 400"


@pytest.mark.parametrize("protocol", ["data_client", "measurement_protocol"])
def test_a_body_that_is_too_large_is_the_events_own(protocol: GtmProtocol) -> None:
    assert isinstance(judged(413, b"", protocol=protocol), Refused)


@pytest.mark.parametrize("status", [300, 304, 307, 308, 401, 403, 404, 405, 410, 422, 451])
def test_what_only_a_human_can_mend_pauses(status: int) -> None:
    assert isinstance(outcome(status), Paused)


@pytest.mark.parametrize("status", [102, 408, 425, 500, 502, 503, 504, 520, 599])
def test_what_passes_by_itself_is_tried_again(status: int) -> None:
    retry = outcome(status, b"<html>", {"Retry-After": "30"})

    assert isinstance(retry, Retry)
    assert retry.retry_after_seconds == 30


@pytest.mark.parametrize("fault", ["timeout", "connection", "oversized"])
def test_no_answer_is_tried_again(fault: Any) -> None:
    verdict = classify(Answer(fault=fault), NOW, "data_client")

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Retry)
    assert verdict.outcome.fault.code == fault


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("7", 7), ("0", 1), (None, 60), ("soon", 60), ("999999999999", 24 * 3600)],
)
def test_a_throttle_waits_as_long_as_asked_within_reason(asked: str | None, seconds: float) -> None:
    throttled = outcome(429, b"", {} if asked is None else {"Retry-After": asked})

    assert isinstance(throttled, Throttled)
    assert throttled.wait_seconds == seconds


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<!doctype html><title>Shop</title>", {}),
        (b"", {"Content-Type": "text/html; charset=utf-8"}),
        (b'{"timestamp": ', {}),
    ],
)
def test_a_success_that_is_no_answer_of_a_container_is_tried_again(
    body: bytes, headers: dict[str, str]
) -> None:
    assert isinstance(outcome(200, body, headers), Retry)


def test_a_web_page_is_no_answer_to_the_measurement_protocol_either() -> None:
    page = outcome(200, b"<html></html>", protocol="measurement_protocol")

    assert isinstance(page, Retry)


@pytest.mark.parametrize("status", [200, 302, 400, 403, 413, 429, 500])
def test_no_word_of_the_answer_is_kept(status: int) -> None:
    said = b"<html>canary@example.com"

    assert "canary" not in repr(judged(status, said, MARK))
