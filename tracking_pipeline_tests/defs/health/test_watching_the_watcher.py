"""What Dagster remembers of our schedules and sensors, and the ping after each check."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.instance.automation import read_automation
from tracking_pipeline.store.rehearsal import mark_rehearsal

REPOSITORY = RemoteRepositoryOrigin(
    ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), "m"), "r"
)
FAILED = SerializableErrorInfo("secret words", [], "DatabaseError")


def ticked(
    instance: dg.DagsterInstance,
    name: str,
    kind: InstigatorType,
    *ticks: tuple[float, TickStatus],
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
) -> None:
    """Notes ticks as the daemon does: how many seconds ago, and what came of it."""
    data = (
        ScheduleInstigatorData("*/15 * * * *")
        if kind is InstigatorType.SCHEDULE
        else SensorInstigatorData(min_interval=30)
    )
    origin = REPOSITORY.get_instigator_origin(name)
    instance.add_instigator_state(InstigatorState(origin, kind, status, data))
    for seconds, outcome in ticks:
        instance.create_tick(
            TickData(
                instigator_origin_id=origin.get_id(),
                instigator_name=name,
                instigator_type=kind,
                status=outcome,
                timestamp=time.time() - seconds,
                selector_id=origin.get_selector().get_id(),
                run_ids=[],
                error=FAILED if outcome is TickStatus.FAILURE else None,
            )
        )


def test_the_instance_tells_which_of_our_own_fail(instance: dg.DagsterInstance) -> None:
    schedule, sensor = InstigatorType.SCHEDULE, InstigatorType.SENSOR
    ok, failed, begun = TickStatus.SUCCESS, TickStatus.FAILURE, TickStatus.STARTED
    ticked(instance, "check_tracking_health_schedule", schedule, (1000, ok), (100, ok))
    ticked(
        instance,
        "threshold_breach_sensor",
        sensor,
        (120, ok),
        (95, failed),
        (65, failed),
        (35, failed),
        (1, begun),
    )
    ticked(instance, "somebody_else_s_sensor", sensor, (40, failed), (30, failed), (20, failed))
    ticked(
        instance,
        "lost_runs_sensor",
        sensor,
        *((each, failed) for each in (90, 60, 30)),
        status=InstigatorStatus.STOPPED,
    )
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 12, "SENSOR", "d", []))

    reading = read_automation(instance)
    assert [each.name for each in reading.automations] == [
        "check_tracking_health_schedule",
        "threshold_breach_sensor",
    ]
    assert reading.measured.value == 1
    (cause,) = reading.measured.causes
    assert cause == "threshold_breach_sensor: the last 3 ticks failed (DatabaseError)"
    ages = reading.tick_ages.parts
    assert ages["check_tracking_health_schedule"] == pytest.approx(100, abs=20)
    assert reading.daemon_age.value == pytest.approx(12, abs=20)


@pytest.fixture
def pinged() -> Iterator[tuple[str, list[str]]]:
    """An address that takes pings, and the paths that were asked."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(404 if "gone" in self.path else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def check() -> dg.ExecuteInProcessResult:
    job = build_defs().resolve_job_def("check_tracking_health_job")
    return job.execute_in_process(asset_selection=[dg.AssetKey("tracking_health_alerts")])


@pytest.mark.usefixtures("served_database")
def test_the_switch_is_pinged_after_a_check_and_its_address_is_never_logged(
    pinged: tuple[str, list[str]],
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, paths = pinged
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("DEAD_MANS_SWITCH_URL", f"{address}/s3cret?msg=OK")
    assert check().success
    assert paths == ["/s3cret?msg=OK"]
    monkeypatch.setenv("DEAD_MANS_SWITCH_URL", f"{address}/s3cret/gone")
    assert check().success  # a switch that is gone fails no check
    assert "did not take the ping" in caplog.text
    assert "s3cret" not in caplog.text

    mark_rehearsal(connection)  # which must not tell that the real thing lives
    assert check().success
    assert len(paths) == 2
