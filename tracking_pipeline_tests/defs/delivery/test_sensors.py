"""The sensor launches when due events wait, and says numbers when it does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.defs import ticks
from tracking_pipeline.defs.delivery import backlog as backlog_module
from tracking_pipeline.defs.delivery.backlog import DueEvents, runs_called_for, why_nothing_is_due
from tracking_pipeline.defs.delivery.queue_growth import has_grown, queue_growth_sensor
from tracking_pipeline.defs.delivery.retry import (
    retry_failed_events_job,
    retry_failed_events_schedule,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.ticks import count_under_way, is_under_way
from tracking_pipeline.settings import read_settings
from tracking_pipeline.store.launches import take_places
from tracking_pipeline.store.queue_counts import BACKLOG_CAP, Backlog
from tracking_pipeline.wiring.health import health_config
from tracking_pipeline_tests.delivery.failed_event_queue import Queue
from tracking_pipeline_tests.health.checking import check_tracking_health

RETRY, CHECK = "retry_failed_events_job", "check_tracking_health_job"


@pytest.fixture(autouse=True)
def _meta(monkeypatch: pytest.MonkeyPatch, served_database: None) -> None:
    monkeypatch.setenv("META_DATASET_ID", "123")
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-for-tests")


def tick(instance: dg.DagsterInstance) -> dict[str, dg.RunRequest] | str:
    """What was launched, by job; or why nothing was."""
    answer = queue_growth_sensor(dg.build_sensor_context(instance), tracking=TrackingResource())
    if isinstance(answer, dg.SkipReason):
        return answer.skip_message or ""
    assert isinstance(answer, dg.SensorResult)
    return {request.job_name or "": request for request in answer.run_requests or []}


def launched(instance: dg.DagsterInstance) -> set[str]:
    answer = tick(instance)
    assert isinstance(answer, dict), answer
    return set(answer)


def skip_message(instance: dg.DagsterInstance) -> str:
    answer = tick(instance)
    assert isinstance(answer, str)
    return answer


def scheduled(instance: dg.DagsterInstance) -> int:
    """How many runs the schedule's tick launches."""
    context = dg.build_schedule_context(instance, resources={"tracking": TrackingResource()})
    answer = retry_failed_events_schedule(context)
    if isinstance(answer, dg.SkipReason):
        return 0
    assert isinstance(answer, list)
    return len({request.run_key for request in answer})


def start_run(instance: dg.DagsterInstance) -> None:
    instance.create_run_for_job(retry_failed_events_job, status=dg.DagsterRunStatus.STARTED)


def test_due_events_launch_a_run(queue: Queue, instance: dg.DagsterInstance) -> None:
    queue.add(2)
    assert launched(instance) == {RETRY}


def test_two_ticks_of_one_window_share_their_run_key(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    queue.add()
    keys = {tick(instance)[RETRY].run_key for _ in range(2)}
    # The window may turn over between the two; then the second is a run of its own.
    assert all(key and key.startswith("due:") for key in keys)


def test_a_tick_with_nothing_due_says_how_many_wait_and_how_long(
    queue: Queue, instance: dg.DagsterInstance, connection: psycopg.Connection
) -> None:
    queue.add(3)
    connection.execute(
        "update tracking_failed_events set next_retry_at = now() + interval '4 minutes 10 seconds'"
    )
    assert skip_message(instance) == "0 due, 3 waiting, next in 4 min"


def test_an_empty_queue_is_said_to_be_empty(instance: dg.DagsterInstance) -> None:
    assert skip_message(instance) == "0 due, 0 waiting"


def test_no_second_run_is_launched_beside_one_under_way(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    queue.add(2)
    start_run(instance)
    assert skip_message(instance) == "2 due; a retry run is under way"
    assert is_under_way(instance, retry_failed_events_job.name)
    assert scheduled(instance) == 0


@pytest.mark.parametrize(
    ("due", "workers", "runs"),
    [
        (0, 4, 0),
        (1, 1, 1),
        (1, 4, 1),
        (1000, 4, 1),
        (1001, 4, 2),
        (9999, 4, 4),
        (9999, 1, 1),
        (BACKLOG_CAP, 64, 64),
    ],
)
def test_a_queue_calls_for_a_run_for_each_thousand_events_up_to_the_setting(
    due: int, workers: int, runs: int
) -> None:
    assert runs_called_for(due, workers) == runs


@pytest.mark.parametrize("beside", [0, 1, 2, 3])
def test_a_long_queue_is_given_as_many_runs_as_it_calls_for_and_those_under_way_count(
    queue: Queue,
    instance: dg.DagsterInstance,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    beside: int,
) -> None:
    monkeypatch.setenv("RETRY_WORKERS", "3")
    monkeypatch.setattr(backlog_module, "EVENTS_FOR_ANOTHER_RUN", 2)
    queue.add(5)
    for _ in range(beside):
        start_run(instance)
    answer = queue_growth_sensor(dg.build_sensor_context(instance), tracking=TrackingResource())
    wanted = answer.run_requests if isinstance(answer, dg.SensorResult) else []
    assert len({request.run_key for request in wanted or ()}) == 3 - beside
    # Those are launched, if nobody sees them yet.
    assert scheduled(instance) == 0
    let_places_go(connection)
    assert scheduled(instance) == 3 - beside


def test_a_sensor_and_a_schedule_in_the_same_second_launch_no_more_than_the_setting(
    queue: Queue, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_WORKERS", "3")
    monkeypatch.setattr(backlog_module, "EVENTS_FOR_ANOTHER_RUN", 2)
    queue.add(5)

    def by_sensor() -> int:
        answer = queue_growth_sensor(dg.build_sensor_context(instance), tracking=TrackingResource())
        return len(answer.run_requests or ()) if isinstance(answer, dg.SensorResult) else 0

    with ThreadPoolExecutor() as ticks_at_once:
        launched_by = [
            ticks_at_once.submit(each) for each in (by_sensor, partial(scheduled, instance))
        ]
        assert sum(each.result() for each in launched_by) == 3


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_place_is_held_for_seconds_whatever_became_of_the_clock(
    connection: psycopg.Connection, instance: dg.DagsterInstance, hours: int
) -> None:
    assert take_places(connection, retry_failed_events_job.name, [0], by="somebody") == [0]
    assert scheduled(instance) == 0
    later = "update tracking_launches set launched_at = launched_at + make_interval(hours => %s)"
    connection.execute(later, (hours,))
    assert scheduled(instance) == 1


def let_places_go(connection: psycopg.Connection) -> None:
    """As if the last ticks had been longer ago than their runs can be unseen."""
    connection.execute("update tracking_launches set launched_at = launched_at - interval '1 min'")


def test_the_schedule_launches_one_run_where_nothing_is_known_to_be_due(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_WORKERS", "3")
    assert scheduled(instance) == 1
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    assert scheduled(instance) == 1


def test_a_run_that_waits_counts_however_long_and_one_that_executes_for_ten_minutes(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "COUNTS_FOR", timedelta(0))
    run = instance.create_run_for_job(retry_failed_events_job, status=dg.DagsterRunStatus.STARTING)
    assert count_under_way(instance, RETRY) == 1
    begun = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, RETRY)
    instance.report_dagster_event(begun, run.run_id)
    assert count_under_way(instance, RETRY) == 0


def test_events_of_destinations_that_take_none_launch_nothing(
    queue: Queue, instance: dg.DagsterInstance, connection: psycopg.Connection
) -> None:
    queue.add(2)
    connection.execute(
        "insert into tracking_destination_state (destination, not_before)"
        " values ('meta_capi', now() + interval '1 minute')"
    )
    assert skip_message(instance) == (
        "0 due, 0 waiting, 2 held back: destination paused, throttled or not configured"
    )


def test_a_paused_destination_launches_a_run_when_its_probe_is_due(
    queue: Queue, instance: dg.DagsterInstance, connection: psycopg.Connection
) -> None:
    queue.add(2)
    connection.execute(
        "insert into tracking_destination_state (destination, state, probe_at)"
        " values ('meta_capi', 'open', now() + interval '1 minute')"
    )
    assert "2 held back" in skip_message(instance)
    connection.execute("update tracking_destination_state set probe_at = now()")
    assert launched(instance) == {RETRY}


def test_a_destination_without_settings_launches_nothing(
    queue: Queue, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add(2)
    monkeypatch.delenv("META_ACCESS_TOKEN")
    assert "2 held back" in skip_message(instance)


def test_a_database_that_is_not_there_fails_the_tick_with_one_line(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/shop")
    with pytest.raises(dg.Failure) as caught:
        tick(instance)
    assert "TRACKING_DATABASE_URL" in (caught.value.description or "")
    assert "s3cret" not in (caught.value.description or "")


def test_a_queue_that_has_grown_since_the_last_check_is_checked(
    queue: Queue, instance: dg.DagsterInstance, database_url: str
) -> None:
    queue.add(12)
    check_tracking_health(database_url, health_config(read_settings()))
    assert launched(instance) == {RETRY}
    queue.add(6)
    assert launched(instance) == {RETRY}
    queue.add(1)
    assert launched(instance) == {RETRY, CHECK}
    check_tracking_health(database_url, health_config(read_settings()))
    assert launched(instance) == {RETRY}


def test_growth_alone_launches_a_check(
    queue: Queue,
    instance: dg.DagsterInstance,
    connection: psycopg.Connection,
    database_url: str,
) -> None:
    check_tracking_health(database_url, health_config(read_settings()))
    queue.add(6)
    connection.execute(
        "update tracking_failed_events set next_retry_at = now() + interval '1 hour'"
    )
    assert launched(instance) == {CHECK}


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        (None, 1000, False),
        (0.0, 5, False),
        (0.0, 6, True),
        (100.0, 150, False),
        (100.0, 151, True),
        (100.0, 20, False),
    ],
)
def test_a_queue_has_grown_by_half_and_by_more_than_a_few(
    before: float | None, now: int, grown: bool
) -> None:
    assert has_grown(now, before, least=5) is grown


def test_a_count_at_its_cap_says_that_there_may_be_more() -> None:
    backlog = [Backlog("meta_capi", 0, BACKLOG_CAP, 30.0)]
    due = DueEvents(backlog, backlog)
    assert why_nothing_is_due(due) == f"0 due, {BACKLOG_CAP}+ waiting, next in 30 s"


def test_events_that_wait_for_their_first_attempt_are_due(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    queue.accept(destination="google_ec")
    held = tick(instance)
    assert isinstance(held, str)
    assert "1 held back" in held

    queue.accept()

    assert launched(instance) == {RETRY}
