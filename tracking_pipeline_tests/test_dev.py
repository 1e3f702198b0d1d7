"""``tracking-pipeline dev`` with nothing configured: real webserver, real daemon, real runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tracking_pipeline.store.database import connect
from tracking_pipeline.store.embedded.server import hold
from tracking_pipeline_tests.servers import reachable_folder

COMMAND = str(Path(sys.executable).with_name("tracking-pipeline"))
CHECKOUT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 180

LOADED = """query { workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename } } } } }"""
AUTOMATION = """query { schedulesOrError(repositorySelector: {repositoryName: "__repository__",
    repositoryLocationName: "tracking_pipeline"}) {
    ... on Schedules { results { name scheduleState { status } } } }
  sensorsOrError(repositorySelector: {repositoryName: "__repository__",
    repositoryLocationName: "tracking_pipeline"}) {
    ... on Sensors { results { name sensorState { status } } } } }"""
DEFAULT_CONFIG = """query { runConfigSchemaOrError(selector: {
  pipelineName: "retry_failed_events_job", repositoryName: "__repository__",
  repositoryLocationName: "tracking_pipeline"}) {
  ... on RunConfigSchema { rootDefaultYaml } } }"""
LAUNCH = """mutation($config: RunConfigData) { launchRun(executionParams: {
  selector: {pipelineName: "retry_failed_events_job", repositoryName: "__repository__",
  repositoryLocationName: "tracking_pipeline"}, runConfigData: $config}) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""
RUNS = """query { runsOrError { ... on Runs { results { status tags { key value } } } } }"""


class Dev:
    """A running ``dev`` and its GraphQL endpoint."""

    def __init__(self, home: Path, port: int, log: Path) -> None:
        self.home = home
        self.port = port
        self.log = log
        variables = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [COMMAND, "dev", "--port", str(port)],
                cwd=CHECKOUT,
                env={**variables, "TRACKING_HOME": str(home), "TRACKING_REHEARSAL": "true"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json=body, timeout=30)
        return answer.json()["data"]

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                found = condition()
            except (httpx.HTTPError, KeyError, TypeError):
                found = None
            if found:
                return found
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.25)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = Dev(reachable_folder(), port, tmp_path / "dev.log")
    yield running
    for process in [running.process.pid, *_descendants(running.process.pid)]:
        if psutil.pid_exists(process):
            psutil.Process(process).kill()
    running.process.wait()


def _descendants(pid: int) -> list[int]:
    if not psutil.pid_exists(pid):
        return []
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_dev_rehearses_the_whole_loop_and_stops_without_a_trace(dev: Dev) -> None:
    dev.wait_for(
        "the code location loads",
        lambda: dev.ask(LOADED)["workspaceOrError"]["locationEntries"][0]["loadStatus"] == "LOADED",
    )
    automation = dev.ask(AUTOMATION)
    schedules = automation["schedulesOrError"]["results"]
    sensors = automation["sensorsOrError"]["results"]
    assert [(s["name"], s["scheduleState"]["status"]) for s in schedules] == [
        ("retry_failed_events_schedule", "RUNNING")
    ]
    assert [(s["name"], s["sensorState"]["status"]) for s in sensors] == [
        ("queue_growth_sensor", "RUNNING")
    ]

    # What "Launch Run" does in a launchpad that nobody has touched.
    config = dev.ask(DEFAULT_CONFIG)["runConfigSchemaOrError"]["rootDefaultYaml"]
    launched = dev.ask(LAUNCH, config=config)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess"
    dev.wait_for(
        "the launched run succeeds",
        lambda: dev.ask(RUN, id=launched["run"]["runId"])["runOrError"]["status"] == "SUCCESS",
    )

    with hold(dev.home) as server, connect(server.url("tracking_rehearsal")) as database:

        def waiting_and_due() -> int:
            row = database.execute(
                "select count(*) from tracking_failed_events where destination = 'meta_capi'"
                " and status in ('pending', 'retrying')"
                " and coalesce(next_retry_at, '-infinity') <= now()"
            ).fetchone()
            assert row is not None
            count: int = row[0]
            return count

        dev.wait_for("the queue is drained", lambda: waiting_and_due() == 0)
        database.execute(
            "update tracking_failed_events set next_retry_at = now()"
            " where destination = 'meta_capi' and status in ('pending', 'retrying')"
        )
        assert waiting_and_due() > 0
        dev.wait_for("work that appears is noticed and drained", lambda: waiting_and_due() == 0)
    by_sensor = [
        run
        for run in dev.ask(RUNS)["runsOrError"]["results"]
        if {"key": "dagster/sensor_name", "value": "queue_growth_sensor"} in run["tags"]
    ]
    assert by_sensor

    children = _descendants(dev.process.pid)
    dev.process.send_signal(signal.SIGTERM)
    assert dev.process.wait(60) == 0
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=30
    )
    assert not alive
