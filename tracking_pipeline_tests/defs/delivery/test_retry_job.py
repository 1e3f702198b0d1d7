"""The retry job as Dagster runs it: configuration, results, failures, the run page."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from tracking_pipeline.cli.delivery import show_retry
from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.delivery.retry import totals_metadata
from tracking_pipeline.delivery.engine.totals import Tally, totals_of
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.failed_event_queue import Queue

pytestmark = pytest.mark.usefixtures("meta_on_the_sandbox")

TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


def launch(*, raise_on_error: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs().get_job_def("retry_failed_events_job")
    return job.execute_in_process(
        run_config={"ops": {"plan_retry": {"config": config}}},
        raise_on_error=raise_on_error,
    )


def test_a_launch_with_untouched_config_drains_what_is_due(queue: Queue, sandbox: Sandbox) -> None:
    due = queue.add(3)
    (later,) = queue.add(next_retry_at=TOMORROW)
    job = build_defs().get_job_def("retry_failed_events_job")
    result = job.execute_in_process()
    assert result.success
    assert [queue.row(row)["status"] for row in due] == ["resolved"] * 3
    assert queue.row(later)["status"] == "pending"
    assert sandbox.memory.accepted_ids == {row.sent_as for row in due}


def test_the_run_page_tells_what_happened_in_numbers_of_fixed_name_and_in_tables(
    queue: Queue, sandbox: Sandbox
) -> None:
    queue.add(2)
    failing = queue.add_one()
    sandbox.scripts.set(failing.sent_as, [500])
    queue.add_one(event_payload={"email": "emily@example.com"}, event_name="")
    queue.add_one(destination="google_ec")
    result = launch()
    metadata = next(
        event.event_specific_data.metadata
        for event in result.events_for_node("summarize_retry")
        if event.is_successful_output
    )
    numbers = {
        name: value.value
        for name, value in metadata.items()
        if isinstance(value, (dg.IntMetadataValue, dg.FloatMetadataValue))
    }
    assert numbers["processed"] == 4
    assert (numbers["resolved"], numbers["failed"], numbers["dead_lettered"]) in (
        (2, 1, 1),
        (0, 3, 1),
    )
    assert numbers["meta_capi_dead_lettered"] == 1
    assert numbers["google_ec_waiting"] == 1
    by_destination = {
        record.data["destination"]: record.data for record in metadata["by_destination"].records
    }
    assert by_destination["google_ec"]["state"] == "not_configured"
    reasons = [record.data["reason"] for record in metadata["top_errors"].records]
    assert "missing event_name" in reasons


def test_the_log_has_one_line_for_all_that_is_not_configured_and_has_no_events(
    queue: Queue,
) -> None:
    queue.add_one(destination="google_ec")
    job = build_defs().get_job_def("retry_failed_events_job")
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = job.execute_in_process(instance=instance).run_id
        logged = [e.user_message for e in instance.all_logs(run_id) if not e.is_dagster_event]
    (lacking,) = (line for line in logged if line.startswith("not configured: "))
    assert "gtm_server (set GTM_SERVER_URL" in lacking
    assert "google_ec" not in lacking
    assert not any(line.startswith("gtm_server") for line in logged)
    planned, done = (line for line in logged if line.startswith("google_ec"))
    assert planned.startswith("google_ec: 1 to take")
    assert "1 left" in done


def test_the_run_page_and_the_terminal_tell_what_was_withheld_and_what_waits_for_its_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally("meta_capi")
    tally.numbers.update(withheld=3, postponed=2)
    tally.withheld.update({"consent denied": 2, "expired at arrival": 1})
    totals = totals_of([tally], seconds=1.0, stopped_reason="drained")

    metadata = totals_metadata(totals)

    assert metadata["withheld"] == metadata["meta_capi_withheld"] == 3
    assert metadata["postponed"] == 2
    assert metadata["processed"] == metadata["resolved"] == 0
    assert [record.data for record in metadata["withheld_by_reason"].records] == [
        {"destination": "meta_capi", "reason": "consent denied", "count": 2},
        {"destination": "meta_capi", "reason": "expired at arrival", "count": 1},
    ]
    show_retry(totals.as_json())
    shown = capsys.readouterr().out
    assert "meta_capi: 2 withheld: consent denied" in shown
    assert "2 events wait for their own time" in shown


def test_a_dry_run_counts_and_sends_nothing(queue: Queue, sandbox: Sandbox) -> None:
    rows = queue.add(4)
    totals = launch(dry_run=True).output_for_node("summarize_retry")
    assert totals.dry_run
    assert totals.by_destination["meta_capi"].waiting == 4
    assert sandbox.memory.requests == []
    assert all(queue.row(row)["lease_token"] == 0 for row in rows)


def test_one_event_can_be_named_by_its_row_or_by_itself(queue: Queue, sandbox: Sandbox) -> None:
    first, second, third = queue.add(3, next_retry_at=TOMORROW)
    launch(event_id=str(first.id))
    launch(event_id=str(second.event_id))
    assert sandbox.memory.accepted_ids == {first.sent_as, second.sent_as}
    assert queue.row(third)["status"] == "pending"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"event_id": "nonsense"}, "event_id must be a uuid"),
        ({"time_budget_seconds": 0}, "time_budget_seconds must be 1 to 3600"),
        ({"time_budget_seconds": 99_999}, "time_budget_seconds must be 1 to 3600"),
    ],
)
def test_a_value_out_of_bounds_fails_the_run_with_one_line_and_costs_nothing(
    queue: Queue, config: dict[str, Any], words: str
) -> None:
    row = queue.add_one()
    result = launch(raise_on_error=False, **config)
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert words in failure.step_failure_data.user_failure_data.description
    assert queue.row(row)["lease_token"] == 0


def test_a_database_that_is_not_there_fails_the_run_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    result = launch(raise_on_error=False)
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    description = failure.step_failure_data.user_failure_data.description
    assert "TRACKING_DATABASE_URL" in description
    assert "s3cret" not in str(failure)


def test_an_event_that_is_not_there_is_no_failure(queue: Queue) -> None:
    totals = launch(event_id=str(uuid4())).output_for_node("summarize_retry")
    assert totals.total("processed") == 0


def test_attempts_name_the_run_that_made_them(queue: Queue) -> None:
    row = queue.add_one()
    result = launch()
    (attempt,) = queue.read(
        "select run_id from tracking_delivery_attempts where failed_event_id = %s", row.id
    )
    assert attempt["run_id"] == result.run_id
