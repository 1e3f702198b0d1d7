"""What becomes of a run when the server that runs it is stopped, or its process is killed."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.defs.delivery.retry import retry_failed_events_job
from tracking_pipeline.defs.instance.runs import RunError
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.web.run_desk import DeskRun, RunDesk
from tracking_pipeline.web.run_process import RunOrder, RunProcess, prepare_processes, retry_answer
from tracking_pipeline_tests.dagster_instance import fresh_instance
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.web.serving import closed_queue

ORDER = RunOrder(retry_failed_events_job.name, {}, retry_answer)


@pytest.fixture
def instance(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    prepare_processes()
    with fresh_instance() as opened:
        yield opened


async def unrecorded(run_id: str, joined: bool) -> None:
    """Keeps no record."""


async def started(desk: RunDesk, url: str) -> DeskRun:
    """A run that waits at the queue's door."""
    run, _ = await desk.join_or_start(ORDER, unrecorded)
    wait_until(lambda: waits_at_the_door(url), 60)
    return run


def waits_at_the_door(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return bool(connection.execute("select from pg_locks where not granted").fetchall())


def status(instance: dg.DagsterInstance, run: DeskRun) -> dg.DagsterRunStatus:
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored.status


def test_a_run_ends_with_its_server_and_says_so(
    instance: dg.DagsterInstance, database_url: str
) -> None:
    async def serve() -> DeskRun:
        desk = RunDesk(instance)
        run = await started(desk, database_url)
        await desk.close()
        return run

    with closed_queue(database_url):
        run = asyncio.run(serve())
        wait_until(run.done.done)
        assert status(instance, run) is dg.DagsterRunStatus.FAILURE
    error = run.done.exception()
    assert isinstance(error, RunError)
    assert str(error) == "the server was stopped; what was claimed is due again"


def test_a_run_that_has_not_begun_when_its_server_ends_does_nothing(
    instance: dg.DagsterInstance,
) -> None:
    process = RunProcess(ORDER, str(uuid4()), TrackingResource())
    process.interrupt(0)
    with pytest.raises(RunError, match="the server was stopped"):
        process.answer()
    assert not instance.get_run_records()


def test_an_interrupt_that_comes_while_a_run_begins_is_not_lost(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    process = RunProcess(ORDER, str(uuid4()), TrackingResource())
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(process.answer)
        wait_until(lambda: process.pid is not None)
        process.interrupt(30)
        with pytest.raises(RunError, match="the server was stopped"):
            answer.result(30)
    assert capfd.readouterr().err == ""


def test_a_run_whose_process_is_killed_does_not_stand_there_as_if_it_went_on(
    instance: dg.DagsterInstance, database_url: str
) -> None:
    async def serve() -> DeskRun:
        desk = RunDesk(instance)
        return await started(desk, database_url)

    with closed_queue(database_url):
        run = asyncio.run(serve())
        assert run.process.pid is not None
        os.kill(run.process.pid, signal.SIGKILL)
        wait_until(run.done.done)
        assert "its process was killed" in str(run.done.exception())
        wait_until(lambda: status(instance, run) is dg.DagsterRunStatus.FAILURE)


def test_runs_beside_each_other_all_come_to_their_end(instance: dg.DagsterInstance) -> None:
    async def serve() -> list[dict[str, object] | None]:
        desk = RunDesk(instance)
        answers = []
        for destination in ("meta_capi", "google_ec", "gtm_server", "supabase"):
            config = {"plan_retry": {"config": {"destination": destination}}}
            order = RunOrder(ORDER.job, config, retry_answer)
            run, joined = await desk.join_or_start(order, unrecorded)
            assert not joined
            answers.append(run.answer(120))
        return list(await asyncio.gather(*answers))

    found = asyncio.run(serve())
    assert [each and each["success"] for each in found] == [True] * 4


def test_what_cannot_be_put_on_record_is_not_begun(instance: dg.DagsterInstance) -> None:
    async def refuse(run_id: str, joined: bool) -> None:
        raise ConnectionError

    desk = RunDesk(instance)
    with pytest.raises(ConnectionError):
        asyncio.run(desk.join_or_start(ORDER, refuse))
    assert instance.get_run_records() == []


def test_a_run_that_fails_when_nobody_waits_for_it_any_more_is_no_stack_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stops_waiting() -> None:
        run = DeskRun("late", retry_failed_events_job.name, process=None)
        run.done.set_running_or_notify_cancel()
        assert await run.answer(0) is None
        run.done.set_exception(RunError("ended late"))
        await asyncio.sleep(0)

    asyncio.run(stops_waiting())
    gc.collect()
    assert not caplog.records
