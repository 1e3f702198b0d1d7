"""The replay job as Dagster runs it: a safe launchpad, results, failures, the sensor beside it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pytest

from tracking_pipeline.cli.status import show_queue, status_json
from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.delivery.replay import replay_after_pause_sensor
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.settings import read_settings
from tracking_pipeline.wiring.installation import open_installation
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue

pytestmark = pytest.mark.usefixtures("meta_on_the_sandbox")


def told(failure: Failure) -> dict[str, str]:
    """The public code with its remedy, as they stand beside a reason."""
    return {"failure": failure.name, "remedy": failure.remedy}


def launch(*, raise_on_error: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs().get_job_def("replay_dead_letters_job")
    return job.execute_in_process(
        run_config={"ops": {"replay_dead_letters": {"config": config}}} if config else None,
        raise_on_error=raise_on_error,
    )


def bury(queue: Queue, count: int = 1, **columns: Any) -> list[Added]:
    values = {"status": "dead_letter", "dead_letter_reason": "max_retries", **columns}
    return queue.add(count, **values)


def test_the_launchpad_opens_as_a_dry_run_and_every_field_says_what_it_does() -> None:
    job: Any = build_defs().get_job_def("replay_dead_letters_job")
    filled = job.run_config_schema.config_type.fields["ops"].default_value
    assert filled["replay_dead_letters"]["config"]["dry_run"] is True
    ops = job.run_config_schema.config_type.fields["ops"].config_type
    fields = ops.fields["replay_dead_letters"].config_type.fields["config"].config_type.fields
    assert set(filled["replay_dead_letters"]["config"]) == set(fields)
    assert all(field.description for field in fields.values())


def test_a_launch_with_untouched_config_counts_by_reason_and_changes_nothing(queue: Queue) -> None:
    bury(queue, 2)
    bury(queue, dead_letter_reason="expired")
    result = launch()
    assert queue.statuses() == {"dead_letter": 3}
    (event,) = (e for e in result.events_for_node("replay_dead_letters") if e.is_successful_output)
    metadata = event.event_specific_data.metadata
    assert (metadata["matched"].value, metadata["replayed"].value) == (3, 0)
    assert metadata["sent"].value == 3
    rows = {record.data["reason"]: record.data["matched"] for record in metadata["groups"].records}
    assert rows == {"max_retries": 2, "expired": 1}


def test_a_reason_that_somebody_else_wrote_is_told_without_the_person_in_it(
    queue: Queue, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("emily", "robert")
    for name in names:
        bury(queue, dead_letter_reason=None, error_code=f"token for {name}@example.com refused")
    result = launch()
    (event,) = (e for e in result.events_for_node("replay_dead_letters") if e.is_successful_output)
    totals = result.output_for_node("replay_dead_letters")
    assert totals.by_reason == {"token for [removed] refused": 2}
    assert [(each.matched, each.sent) for each in totals.groups] == [(2, 2)]
    with open_installation(read_settings()) as installation:
        status = status_json(installation, [])
    assert status["queue"]["dead_letters_by_reason"] == [
        {"destination": "meta_capi", "reason": "token for [removed] refused", "count": 2}
        | {"failure": None, "remedy": None}
    ]
    log = capfd.readouterr().err
    assert "token for [removed] refused: 2 matched" in log
    told = f"{log} {totals} {totals.as_json()} {event.event_specific_data.metadata} {status}"
    assert not any(name in told for name in names)


def test_the_status_says_which_dead_letters_a_longer_horizon_would_have_saved(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(queue, 2, updated_at=datetime.now(timezone.utc) - timedelta(days=2))
    recovered = datetime.now(timezone.utc) - timedelta(days=1, hours=12)
    queue.add(status="resolved", resolved_by="tracking_pipeline", resolved_at=recovered)
    with open_installation(read_settings()) as installation:
        status = status_json(installation, [])
    (told,) = status["queue"]["saved_by_longer_horizon"]
    assert (told["destination"], told["count"]) == ("meta_capi", 2)
    assert told["setting"] == "META_RETRY_HORIZON_HOURS"
    show_queue(status)
    words = " ".join(capsys.readouterr().out.split())
    assert "a longer META_RETRY_HORIZON_HOURS would have kept them waiting" in words
    assert "replay --destination meta_capi --exact --reason max_retries" in words


def test_a_reason_is_matched_as_it_stands_in_the_row(queue: Queue) -> None:
    meant, other = (
        bury(queue, dead_letter_reason=f"token for {name}@example.com refused")[0]
        for name in ("emily", "robert")
    )
    launch(dry_run=False, reason="token for emily@example.com refused", reason_match="exact")
    assert [queue.row(row)["status"] for row in (meant, other)] == ["pending", "dead_letter"]


def test_a_replay_goes_back_as_the_filters_say(queue: Queue) -> None:
    meant, other = bury(queue)[0], bury(queue, event_name="Purchase")[0]
    totals = launch(dry_run=False, event_name="Lead").output_for_node("replay_dead_letters")
    assert totals.by_reason == {"max_retries": 1}
    assert [queue.row(row)["status"] for row in (meant, other)] == ["pending", "dead_letter"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"ids": ["nonsense"]}, "ids must be uuids"),
        ({"since": "yesterday"}, "since must be a time in ISO 8601"),
        ({"until": "-5"}, "until must be a time in ISO 8601"),
        ({"canary": -1}, "canary must be 0 to 100"),
        ({"events_per_minute": -1}, "events_per_minute must be 0 to"),
        ({"repair": "[{set: $.a}]"}, "repair: rule 1: set needs a value"),
    ],
)
def test_a_value_that_cannot_be_used_fails_the_run_with_one_line_and_costs_nothing(
    queue: Queue, config: dict[str, Any], words: str
) -> None:
    bury(queue)
    result = launch(raise_on_error=False, dry_run=False, **config)
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert words in failure.step_failure_data.user_failure_data.description
    assert queue.statuses() == {"dead_letter": 1}


def end_a_pause(queue: Queue, error_code: str = "190", **columns: Any) -> Added:
    """A dead letter of a pause that is over."""
    (row,) = bury(queue, error_code=error_code, **columns)
    queue.connection.execute(
        "update tracking_failed_events set updated_at = now() - interval '1 hour'"
    )
    for outcome, code, minutes in (("paused", error_code, 30), ("delivered", None, 20)):
        queue.connection.execute(
            "insert into tracking_delivery_attempts (failed_event_id, event_id, destination,"
            " attempt, outcome, lease_token, error_code, attempted_at) values"
            " (%s, %s, 'meta_capi', 1, %s, 1, %s, now() - make_interval(mins => %s))",
            (row.id, row.event_id, outcome, code, minutes),
        )
    return row


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance)
    answer = replay_after_pause_sensor(context, tracking=TrackingResource())
    assert isinstance(answer, (dg.RunRequest, dg.SkipReason))
    return answer


def test_dead_letters_of_a_pause_that_is_over_are_offered(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "0 dead letters of a pause that is over"
    end_a_pause(queue)
    with open_installation(read_settings()) as installation:
        status = status_json(installation, [])
    assert status["queue"]["replayable_after_pause"] == [
        {"destination": "meta_capi", "reason": "max_retries", "count": 1}
        | told(Failure.RETRIES_USED_UP)
    ]
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert (answer.skip_message or "").startswith(
        "1 dead letters of a pause that is over (meta_capi)"
    )


def test_an_offer_tells_the_reason_without_the_person_in_it(queue: Queue) -> None:
    end_a_pause(queue, "token for emily@example.com refused", dead_letter_reason=None)
    with open_installation(read_settings()) as installation:
        status = status_json(installation, [])
    assert status["queue"]["replayable_after_pause"] == [
        {"destination": "meta_capi", "reason": "token for [removed] refused", "count": 1}
        | {"failure": None, "remedy": None}
    ]


def test_by_setting_they_go_back_by_themselves(
    queue: Queue, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_AFTER_PAUSE", "true")
    row = end_a_pause(queue)
    request = tick(instance)
    assert isinstance(request, dg.RunRequest)
    job = build_defs().get_job_def("replay_dead_letters_job")
    assert job.execute_in_process(run_config=request.run_config).success
    assert queue.row(row)["status"] == "pending"
    assert isinstance(tick(instance), dg.SkipReason)


def test_everything_an_operator_meets_has_a_description() -> None:
    repository = build_defs().get_repository_def()
    for name in ("replay_dead_letters_job", "send_notifications_job"):
        job: Any = repository.get_job(name)
        for each in (job, *job.nodes):
            assert getattr(each, "description", None) or each.definition.description, each.name
    for sensor in ("alert_notification_sensor", "replay_after_pause_sensor"):
        assert repository.get_sensor_def(sensor).default_status == dg.DefaultSensorStatus.RUNNING
