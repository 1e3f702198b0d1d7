"""What an operator finds of a failure: its public code, and what the platform said."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.health.view.status import read_destinations
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.delivery.runs import Runs

TOO_OLD = {
    "status": 400,
    "code": 100,
    "subcode": 2804003,
    "user_title": "Event Timestamp Too Old",
    "user_message": (
        "The event of jane.roe@example.com, +1 (650) 555-1212, is older than 7 days "
        f"(access_token=EAAB{'a1B2' * 8})."
    ),
}
EXPIRED_TOKEN = {"status": 400, "code": 190, "subcode": 463, "user_message": "Log in again."}


def _meta(runs: Runs, **request: Any) -> DestinationTotals:
    return runs.run(destinations=("meta_capi",), **request).by_destination["meta_capi"]


def _attempts(queue: Queue, row: Any) -> list[dict[str, Any]]:
    with queue.connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select outcome, failure_code, platform_message, trace_id, field_path"
            " from tracking_delivery_attempts where failed_event_id = %s order by id",
            (row.id,),
        ).fetchall()


def test_a_refused_event_keeps_its_public_code_and_what_meta_said_without_anybodys_data(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    bad, good = queue.add(2)
    sandbox.scripts.set(bad.sent_as, [TOO_OLD, TOO_OLD])

    runs.run(destinations=("meta_capi",))

    attempt = _attempts(queue, bad)[-1]
    assert attempt["failure_code"] == Failure.META_EVENT_TOO_OLD.code
    assert attempt["platform_message"].startswith("Event Timestamp Too Old: The event of ")
    for canary in ("jane", "example.com", "555", "EAAB"):
        assert canary not in attempt["platform_message"]
    assert attempt["trace_id"]
    assert queue.row(bad)["failure_code"] == Failure.META_EVENT_TOO_OLD.code
    assert queue.row(good)["failure_code"] is None
    assert {each["failure_code"] for each in _attempts(queue, good)} == {None}


def test_a_pause_tells_its_public_code_and_its_remedy_everywhere_and_forgets_it_at_the_end(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    rows = queue.add(3)
    sandbox.conditions["meta_capi"].outage(EXPIRED_TOKEN)

    totals = _meta(runs)

    expired = Failure.META_TOKEN_EXPIRED
    assert (totals.state, totals.failure) == ("paused", expired.code)
    assert totals.as_json()["remedy"] == expired.remedy
    (alert,) = queue.alerts()
    assert expired.code in alert["message"]
    assert expired.remedy in alert["message"]
    status = read_destinations(queue.connection, {})["meta_capi"]
    assert status.failure == expired.code
    assert status.last_error is not None
    assert status.last_error.failure_code == expired.code
    assert status.last_error.platform_message == "Log in again."
    # Nothing was spent, so the rows themselves did not fail.
    assert {queue.row(row)["failure_code"] for row in rows} == {None}

    sandbox.conditions["meta_capi"].outage(None)
    assert _meta(runs, all_events=True).failure == ""
    assert read_destinations(queue.connection, {})["meta_capi"].failure is None


def test_a_probe_that_fails_keeps_the_failure_for_which_the_destination_was_paused(
    queue: Queue, runs: Runs, sandbox: Sandbox
) -> None:
    queue.add(3)
    sandbox.conditions["meta_capi"].outage(EXPIRED_TOKEN)
    _meta(runs)

    sandbox.conditions["meta_capi"].outage(503)

    assert _meta(runs, all_events=True).failure == Failure.META_TOKEN_EXPIRED.code


def test_a_run_counts_its_errors_by_public_code(queue: Queue, runs: Runs, sandbox: Sandbox) -> None:
    row, *_ = queue.add(2)
    sandbox.scripts.set(row.sent_as, ["bad"])

    (error,) = runs.run(destinations=("meta_capi",)).errors

    assert error.failure == Failure.META_EVENT_INVALID.code
