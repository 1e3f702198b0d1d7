"""Delivered with a warning, and delivered to nobody: settled, counted apart, nobody's failure."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest

from tracking_pipeline.delivery.destinations.google.answers import classify as classify_google
from tracking_pipeline.delivery.destinations.meta.answers import classify as classify_meta
from tracking_pipeline.delivery.engine.outcomes import Delivered, PerEvent, Uniform
from tracking_pipeline.http_client import Answer
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.health_readings import DeliveredFor, count_delivery_warnings
from tracking_pipeline_tests.delivery.claimed import NOW
from tracking_pipeline_tests.delivery.destinations.google.test_google_runs import (
    GoogleRuns,
    half_an_hour_goes_by,
    requests,
)
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs


def answer(body: Any) -> Answer:
    return Answer(status=200, body=orjson.dumps(body))


def warned_of(connection: psycopg.Connection) -> list[tuple[str, str, int]]:
    found = count_delivery_warnings(connection).warned
    return [(each.destination, each.reason, each.last_day) for each in found]


def test_google_warns_of_single_events_by_their_place() -> None:
    warnings = [
        {"field": "events[1].userData", "reason": "WARNING_REASON_INVALID_REGION_CODE"},
        {"field": "events.events[1].clientId", "reason": "WARNING_REASON_INVALID_CLIENT_ID"},
        {"field": "events[1].clientId", "reason": "WARNING_REASON_INVALID_CLIENT_ID"},
        {"field": "events[9].x", "reason": "WARNING_REASON_GENERIC"},
    ]

    verdict = classify_google(answer({"requestId": "r", "fieldWarnings": warnings}), NOW, events=3)

    both = ("INVALID_REGION_CODE", "INVALID_CLIENT_ID")
    assert verdict == PerEvent([Delivered(200), Delivered(200, warnings=both), Delivered(200)])


@pytest.mark.parametrize(
    ("warnings", "kind"),
    [
        ([{"field": "consent", "reason": "WARNING_REASON_GENERIC"}], "GENERIC"),
        ([{"reason": "jane@example.com"}], "unknown"),
        ([{"field": 7, "reason": 7}], "unknown"),
    ],
)
def test_a_warning_that_names_no_event_is_about_all_and_quotes_nothing(
    warnings: Any, kind: str
) -> None:
    verdict = classify_google(answer({"requestId": "r", "fieldWarnings": warnings}), NOW, events=2)

    assert verdict == PerEvent([Delivered(200, warnings=(kind,))] * 2)


@pytest.mark.parametrize("warnings", [None, {}, "x", [None, 3, "x"], [[]]])
def test_warnings_that_cannot_be_read_cost_nobody_the_delivery(warnings: Any) -> None:
    verdict = classify_google(answer({"requestId": "r", "fieldWarnings": warnings}), NOW, events=2)

    assert verdict == Uniform(Delivered(200))


def test_meta_warns_by_messages_and_by_fewer_that_it_received() -> None:
    body = {"events_received": 1, "messages": ["ignored ph of jane@example.com", {"code": 7}]}

    verdict = classify_meta(answer(body), NOW, events=6)

    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Delivered)
    assert verdict.outcome.warnings == ("fewer_received", "messages")
    assert verdict.outcome.said == 'ignored ph of [e-mail]; {"code":7}'
    whole = {"events_received": 6, "messages": []}
    assert classify_meta(answer(whole), NOW, events=6) == Uniform(Delivered(200))


def test_an_event_that_meta_warns_of_is_resolved_and_the_warning_is_on_record(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    failed = queue.add_one()
    sandbox.scripts.set(failed.sent_as, [{"status": 200, "message": "a field is ignored"}])

    totals = runs.run()

    told = totals.as_json()
    assert (told["resolved"], told["warned"], told["processed"]) == (1, 1, 1)
    assert told["by_destination"]["meta_capi"]["warned"] == 1
    assert told["warned_by_kind"] == [
        {"destination": "meta_capi", "reason": "messages", "count": 1}
    ]
    assert told["top_errors"] == []
    (attempt,) = queue.attempts(failed)
    assert (attempt["outcome"], attempt["warning"]) == ("delivered", "messages")
    assert attempt["error_message"] == "a field is ignored"
    assert queue.row(failed)["error_message"] == "it failed"
    assert warned_of(queue.connection) == [("meta_capi", "messages", 1)]


def test_a_warning_at_the_first_attempt_is_on_record_as_well(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    accepted = queue.accept_one()
    sandbox.scripts.set(accepted.sent_as, [{"status": 200, "message": "a field is ignored"}])

    totals = runs.run()

    assert (totals.total("accepted_delivered"), totals.total("warned")) == (1, 1)
    assert queue.accepted() == {}
    assert [each["warning"] for each in queue.attempts(accepted)] == ["messages"]


def test_of_a_batch_only_those_are_warned_of_that_google_names(
    queue: Queue, database_url: str, sandbox: Sandbox
) -> None:
    google = GoogleRuns(database_url, sandbox)
    rows = queue.add(5, destination="google_ec")
    google.behave(warned={rows[3].sent_as: "INVALID_REGION_CODE"})

    totals = google.run()

    assert (totals.resolved, totals.warned, totals.requests) == (5, 1, 1)
    assert [each["warning"] for each in queue.attempts(rows[3])] == ["INVALID_REGION_CODE"]
    assert [each["warning"] for each in queue.attempts(rows[2])] == [None]
    assert warned_of(queue.connection) == [("google_ec", "INVALID_REGION_CODE", 1)]


def test_conversions_that_follow_no_click_cost_no_request_and_no_dead_letter(
    queue: Queue, database_url: str, sandbox: Sandbox
) -> None:
    google = GoogleRuns(database_url, sandbox)
    rows = queue.add(100, destination="google_ec")
    google.run()
    nobodys = {row.sent_as: "CLICK_NOT_FOUND" for row in rows[:40]}
    google.behave(processing=False, refused_later=nobodys)
    sent = len(sandbox.memory.requests)
    told = []
    for _ in range(3):
        half_an_hour_goes_by(queue)
        totals = google.run()
        assert (totals.requests, totals.processed, totals.refused_later) == (0, 0, 0)
        assert totals.state == "ok"
        told.append(totals.unmatched)

    assert told == [40, 0, 0]
    assert len(sandbox.memory.requests) == sent
    assert queue.statuses() == {"resolved": 100}
    assert queue.alerts() == []
    (request,) = requests(queue)
    assert (request["outcome"], request["unmatched"]) == ("delivered", {"CLICK_NOT_FOUND": 40})
    assert count_delivery_warnings(queue.connection).unmatched == [
        DeliveredFor("google_ec", "CLICK_NOT_FOUND", 40, 40)
    ]


def test_a_fault_among_those_that_match_nobody_is_found_and_each_is_counted_once(
    queue: Queue, database_url: str, sandbox: Sandbox
) -> None:
    google = GoogleRuns(database_url, sandbox)
    rows = queue.add(20, destination="google_ec")
    google.run()
    reasons = {row.sent_as: "CLICK_NOT_FOUND" for row in rows[:8]}
    google.behave(processing=False, refused_later={**reasons, rows[15].sent_as: "NO_CONSENT"})

    unmatched = 0
    for _ in range(4):
        half_an_hour_goes_by(queue)
        unmatched += google.run().unmatched

    assert queue.statuses() == {"resolved": 19, "dead_letter": 1}
    assert queue.row(rows[15])["dead_letter_reason"] == "refused by Google: NO_CONSENT"
    assert unmatched == 8
