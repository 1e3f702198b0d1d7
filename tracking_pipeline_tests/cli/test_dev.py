"""``tracking-pipeline dev`` with nothing configured: real webserver, real daemon, real runs."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tracking_pipeline.postgres.server import hold
from tracking_pipeline.store.database import connect
from tracking_pipeline_tests.dev_process import Dev, descendants, running_dev
from tracking_pipeline_tests.servers import reachable_folder

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
AGAIN = """mutation($id: String!) { launchRunReexecution(
  reexecutionParams: {parentRunId: $id, strategy: ALL_STEPS}) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "tracking_pipeline") {
  __typename } }"""
DAEMONS = """query { instance { daemonHealth { id } } }"""
RUNS = """query { runsOrError { ... on Runs { results { status tags { key value } } } } }"""


def running(dev: Dev, word: str) -> list[psutil.Process]:
    """Those of its processes that have this word in their command line."""
    found = []
    for pid in descendants(dev.process.pid):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if word in process.cmdline():
                found.append(process)
    return found


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    home = reachable_folder()
    with running_dev(home, tmp_path / "dev.log", TRACKING_REHEARSAL="true") as running:
        yield running


def test_dev_rehearses_the_whole_loop_and_stops_without_a_trace(dev: Dev) -> None:
    dev.wait_until_loaded()
    # Another process of the code location takes the place of the first: nothing has died.
    (first,) = running(dev, "grpc")
    dev.ask(RELOAD)
    dev.wait_for("the first is gone", lambda: first not in running(dev, "grpc"))
    dev.wait_until_loaded()
    automation = dev.ask(AUTOMATION)
    schedules = automation["schedulesOrError"]["results"]
    sensors = automation["sensorsOrError"]["results"]
    states = {s["name"]: s["scheduleState"]["status"] for s in schedules}
    states |= {s["name"]: s["sensorState"]["status"] for s in sensors}
    assert [name for name, state in states.items() if state != "RUNNING"] == [
        "update_geo_database_schedule"
    ]
    assert {"check_tracking_health_schedule", "threshold_breach_sensor"} < states.keys()

    # What "Launch Run" does in a launchpad that nobody has touched.
    config = dev.ask(DEFAULT_CONFIG)["runConfigSchemaOrError"]["rootDefaultYaml"]
    launched = dev.ask(LAUNCH, config=config)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess"
    dev.wait_for(
        "the launched run succeeds",
        lambda: dev.ask(RUN, id=launched["run"]["runId"])["runOrError"]["status"] == "SUCCESS",
    )

    # What the command line ran can be executed again from the UI.
    for verb in ("retry", "check"):
        told = json.loads(dev.call(verb, "--json"))
        again = dev.ask(AGAIN, id=told["run_id"])["launchRunReexecution"]
        assert again["__typename"] == "LaunchRunSuccess"
    dev.wait_for(
        "the run that is executed again succeeds",
        lambda: dev.ask(RUN, id=again["run"]["runId"])["runOrError"]["status"] == "SUCCESS",
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

    children = descendants(dev.process.pid)
    dev.process.send_signal(signal.SIGTERM)
    assert dev.process.wait(60) == 0
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=30
    )
    assert not alive


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("grpc", "process of the code location"),
        ("dagster._daemon", "daemon"),
    ],
)
def test_when_a_part_dies_all_of_it_ends_and_says_which(dev: Dev, word: str, part: str) -> None:
    dev.wait_until_loaded()
    # The watch looks every two seconds, and knows of what it saw.
    dev.wait_for("the daemon runs", lambda: dev.ask(DAEMONS)["instance"]["daemonHealth"]["id"])
    (victim,) = dev.wait_for(f"{word} runs", lambda: running(dev, word))
    dev.wait_for("it was seen", lambda: time.time() - victim.create_time() > 5)
    children = descendants(dev.process.pid)
    victim.kill()
    assert dev.process.wait(60) == 1
    assert f"error: the {part} died" in dev.log.read_text()
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=30
    )
    assert not alive
