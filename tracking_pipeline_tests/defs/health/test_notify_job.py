"""The outbox as Dagster drains it: sensor, run, metadata, failures."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from pydantic import SecretStr

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.health.notify import alert_notification_sensor
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.health.notifications.channels import read_channels
from tracking_pipeline.store.alert_notifications import Notification, enqueue
from tracking_pipeline_tests.health.sinks import Webhook, webhook


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture(autouse=True)
def _channel(monkeypatch: pytest.MonkeyPatch, served_database: None, hook: Webhook) -> None:
    monkeypatch.setenv("ALERT_CHANNELS", hook.url)


def owe(connection: psycopg.Connection, url: str, title: str = "Down") -> None:
    notification = Notification(
        uuid4(), "dead_letters", "started", "critical", title, "Do this.", f"key {title}"
    )
    names = [channel.name for channel in read_channels(SecretStr(url))]
    enqueue(connection, [notification], names)


def launch(*, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    job = build_defs().get_job_def("send_notifications_job")
    return job.execute_in_process(raise_on_error=raise_on_error)


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance)
    answer = alert_notification_sensor(context, tracking=TrackingResource())
    assert isinstance(answer, (dg.RunRequest, dg.SkipReason))
    return answer


def skip_message(instance: dg.DagsterInstance) -> str:
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    return answer.skip_message or ""


def test_a_run_tells_the_channels_and_says_so_in_numbers(
    connection: psycopg.Connection, hook: Webhook
) -> None:
    owe(connection, hook.url)
    result = launch()
    assert hook.titles == ["Down"]
    (event,) = (e for e in result.events_for_node("send_notifications") if e.is_successful_output)
    metadata = event.event_specific_data.metadata
    numbers = {n: metadata[n].value for n in ("sent", "failed", "closed", "waiting")}
    assert numbers == {"sent": 1, "failed": 0, "closed": 0, "waiting": 0}
    assert hook.url not in str(result.all_events)


def test_the_sensor_launches_a_run_only_when_something_can_be_sent(
    connection: psycopg.Connection, hook: Webhook, instance: dg.DagsterInstance
) -> None:
    assert skip_message(instance) == "0 to send, 0 waiting"
    owe(connection, hook.url)
    assert isinstance(tick(instance), dg.RunRequest)
    connection.execute(
        "update tracking_alert_notifications set next_attempt_at = now() + interval '4 min 10 s'"
    )
    assert skip_message(instance) == "0 to send, 1 waiting, next in 4 min"


def test_no_second_run_is_launched_beside_one_under_way(
    connection: psycopg.Connection, hook: Webhook, instance: dg.DagsterInstance
) -> None:
    owe(connection, hook.url)
    job = build_defs().get_job_def("send_notifications_job")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert skip_message(instance) == "1 to send; a run is under way"


def test_a_channel_that_cannot_be_used_fails_the_run_after_the_others_were_told(
    connection: psycopg.Connection, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = f"{hook.url},nosuchservice://t0kenOfTheBadOne"
    monkeypatch.setenv("ALERT_CHANNELS", both)
    owe(connection, both)
    result = launch(raise_on_error=False)
    assert not result.success
    assert hook.titles == ["Down"]
    failure = next(event for event in result.all_events if event.is_step_failure)
    description = failure.step_failure_data.user_failure_data.description
    assert description.startswith("channel 2 of ALERT_CHANNELS")
    assert "t0kenOfTheBadOne" not in str(result.all_events)


def test_a_channel_that_is_down_is_no_failure_of_the_run(
    connection: psycopg.Connection, hook: Webhook
) -> None:
    hook.statuses = [503]
    owe(connection, hook.url)
    totals = launch().output_for_node("send_notifications")
    assert (totals.sent, totals.failed, totals.waiting) == (0, 1, 1)


def test_without_channels_a_run_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALERT_CHANNELS")
    assert launch().output_for_node("send_notifications").by_channel == {}
