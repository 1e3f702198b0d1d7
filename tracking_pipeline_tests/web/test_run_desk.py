"""What becomes of a run when the server that runs it is stopped."""

from __future__ import annotations

import asyncio

import dagster as dg
import pytest

from tracking_pipeline.jobs.retry import retry_failed_events_job
from tracking_pipeline.web import run_desk
from tracking_pipeline.web.run_desk import DeskRun, RunDesk, RunOrder
from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.web.serving import closed_queue

ORDER = RunOrder(retry_failed_events_job.name, {}, lambda result: {"result": "there"})


async def unrecorded(run_id: str, joined: bool) -> None:
    """Keeps no record."""


def test_a_run_that_outlives_its_server_is_said_to_be_cut_off(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setattr(run_desk, "CLOSING_SECONDS", 0.01)
    with dg.instance_for_test() as instance:

        async def serve() -> DeskRun:
            desk = RunDesk(instance)
            run, _ = await desk.join_or_start(ORDER, unrecorded)
            wait_until(lambda: instance.get_run_by_id(run.run_id))
            await desk.close()
            return run

        with closed_queue(database_url):
            run = asyncio.run(serve())
            stored = instance.get_run_by_id(run.run_id)
            assert stored is not None
            assert stored.status is dg.DagsterRunStatus.FAILURE
        wait_until(run.done.done)


def test_a_run_that_ends_in_time_is_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setattr(run_desk, "CLOSING_SECONDS", 60.0)
    with dg.instance_for_test() as instance:

        async def serve() -> DeskRun:
            desk = RunDesk(instance)
            run, _ = await desk.join_or_start(ORDER, unrecorded)
            await desk.close()
            return run

        run = asyncio.run(serve())
        assert run.done.result(0) == {"result": "there"}


def test_what_cannot_be_put_on_record_is_not_begun(database_url: str) -> None:
    async def refuse(run_id: str, joined: bool) -> None:
        raise ConnectionError

    with dg.instance_for_test() as instance:
        desk = RunDesk(instance)
        with pytest.raises(ConnectionError):
            asyncio.run(desk.join_or_start(ORDER, refuse))
        assert instance.get_run_records() == []
