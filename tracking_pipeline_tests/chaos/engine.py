"""Faults of the engine: Dagster's daemon, Redis and two Celery workers, with real events.

    python -m tracking_pipeline_tests.chaos.engine [--only TEXT] [--output FILE]

Each fault strikes while a run is at work, or waits. Afterwards everything has to have been sent and
every run to have ended, by the engine's own doing; at the end the checker of the chaos suite reads
the database and the sink's own log. It takes some twenty minutes: nobody's clock is moved.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from benchmarks.cluster import CHECKOUT, Cluster
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline_tests.chaos.matrix import check
from tracking_pipeline_tests.chaos.nursery import Nursery
from tracking_pipeline_tests.chaos.scene import Scene, scene
from tracking_pipeline_tests.servers import find_server_binaries, reachable_folder, start_server

_TEMPLATE = "chaos_template"
_EVENTS = 60
_AT_WORK = """
select h.run_id, h.worker from tracking_run_heartbeats h join runs r using (run_id)
where r.status = 'STARTED' and r.pipeline_name = 'retry_failed_events_job'
order by h.started_at desc limit 1
"""
_WAITS = """
select run_id from runs
where status = 'STARTING' and pipeline_name = 'retry_failed_events_job' limit 1
"""
_NOT_ENDED = """
select count(*) from runs where pipeline_name = 'retry_failed_events_job'
  and status not in ('SUCCESS', 'FAILURE', 'CANCELED')
"""
_STATUS = "select status from runs where run_id = %s"
_AGAIN = "select count(*) from run_tags where key = 'dagster/parent_run_id' and value = %s"


class Stage:
    """The engine, and the scene whose events it sends."""

    def __init__(self, made: Scene, cluster: Cluster) -> None:
        self.scene = made
        self.cluster = cluster

    def at_work(self) -> tuple[str, int]:
        """Events, and a run in the midst of sending them: its id and its process."""
        sent = len(self.scene.sandbox.memory.requests)
        self.scene.add("gtm_server", _EVENTS)
        self.cluster.until(
            "a run sends", lambda: len(self.scene.sandbox.memory.requests) > sent + 4
        )
        ((run_id, worker),) = self.cluster.until(
            "it shows that it lives", lambda: self.cluster.ask_dagster(_AT_WORK)
        )
        process = re.match(r"process (\d+) on", worker)
        assert process is not None
        return run_id, int(process.group(1))

    def worker_of(self, pid: int) -> str:
        """The worker that a process belongs to."""
        return next(name for name in self.cluster.processes if pid in self.cluster.members(name))

    def status(self, run_id: str) -> str:
        return str(self.cluster.ask_dagster(_STATUS, run_id)[0][0])

    def flush(self) -> None:
        """FLUSHALL, as of somebody who takes it for a cache."""
        with socket.create_connection(("127.0.0.1", self.cluster.redis_port)) as redis:
            redis.sendall(b"FLUSHALL\r\n")
            assert redis.recv(100).startswith(b"+OK")

    def settled(self) -> None:
        """Waits until everything was sent and every run has ended."""
        self.cluster.until("nothing waits", lambda: not self.scene.waiting(), 600)
        self.cluster.until(
            "every run ends", lambda: not self.cluster.ask_dagster(_NOT_ENDED)[0][0], 600
        )


def process_killed(stage: Stage) -> None:
    run_id, process = stage.at_work()
    os.kill(process, signal.SIGKILL)
    stage.scene.doubt(stage.scene.window())
    stage.settled()
    assert stage.status(run_id) == "FAILURE"


def worker_killed(stage: Stage) -> None:
    run_id, process = stage.at_work()
    name = stage.worker_of(process)
    stage.cluster.kill(name)
    stage.scene.doubt(stage.scene.window())
    stage.settled()
    assert stage.status(run_id) == "FAILURE"
    stage.cluster.start_worker(name)


def broker_restarted(stage: Stage) -> None:
    stage.at_work()
    stage.cluster.kill("redis")
    time.sleep(5)
    stage.cluster.start_redis()
    stage.settled()
    stage.at_work()
    stage.settled()


def broker_flushed(stage: Stage) -> None:
    names = [name for name in stage.cluster.processes if name.startswith("worker")]
    stage.cluster.stop(*names)
    stage.scene.add("gtm_server", _EVENTS)
    ((run_id,),) = stage.cluster.until(
        "a run waits in the broker", lambda: stage.cluster.ask_dagster(_WAITS)
    )
    time.sleep(2)
    stage.flush()
    for name in names:
        stage.cluster.start_worker(name)
    stage.settled()
    assert stage.status(run_id) == "SUCCESS"


def run_stopped(stage: Stage) -> None:
    run_id, _ = stage.at_work()
    with dg.DagsterInstance.get() as instance:
        assert instance.run_launcher.terminate(run_id)
    stage.cluster.until("it stops", lambda: stage.status(run_id) == "CANCELED", 60)
    stage.settled()
    assert stage.cluster.ask_dagster(_AGAIN, run_id) == [(0,)]


def worker_told_to_stop(stage: Stage) -> None:
    run_id, process = stage.at_work()
    name = stage.worker_of(process)
    stage.cluster.stop(name)
    stage.cluster.until("its run ends", lambda: stage.status(run_id) == "FAILURE", 60)
    stage.cluster.start_worker(name)
    stage.settled()


def worker_of_the_release_before(stage: Stage) -> None:
    """A worker with the code from before the newest revision of the tables, beside one of today."""
    before = stage.cluster.folder / "before"
    before.mkdir()
    _unpack_release_before(before)
    stage.cluster.stop("worker-1")
    stage.cluster.start_worker("worker-before", checkout=before)
    try:
        workers: set[str] = set()
        while "worker-before" not in workers:
            _, process = stage.at_work()
            workers.add(stage.worker_of(process))
            stage.settled()
    finally:
        stage.cluster.stop("worker-before")
        stage.cluster.start_worker("worker-1")


def _unpack_release_before(folder: Path) -> None:
    versions = "tracking_pipeline/store/migrations/versions"
    newest = ("git", "log", "-1", "--format=%H", "--diff-filter=A", "--", versions)
    commit = subprocess.check_output(newest, cwd=CHECKOUT, text=True).strip()
    packed = subprocess.check_output(("git", "archive", f"{commit}^"), cwd=CHECKOUT)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


FAULTS: dict[str, Callable[[Stage], None]] = {
    "a run's process is killed": process_killed,
    "a run is stopped": run_stopped,
    "a worker is told to stop": worker_told_to_stop,
    "a worker is killed": worker_killed,
    "a worker of the release before works beside one of today": worker_of_the_release_before,
    "the broker is killed and comes back empty": broker_restarted,
    "the broker is flushed while a run waits": broker_flushed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--output", type=Path, help="where the result goes, as Markdown")
    asked = parser.parse_args()
    binaries = find_server_binaries()
    server = start_server(binaries[max(binaries)], reachable_folder())
    lines, broken = [], False
    try:
        migrate(server.create_database(_TEMPLATE))
        storage = server.create_database("dagster")
        with (
            tempfile.TemporaryDirectory() as folder,
            Nursery() as nursery,
            scene(server, _TEMPLATE, nursery, random.Random(7), Path(folder)) as made,
        ):
            made.sandbox.conditions["gtm_server"].latency_seconds = 1.0
            cluster = Cluster(
                made.folder,
                made.url,
                storage,
                GTM_SERVER_URL=made.addresses["gtm_server"],
                GTM_REQUESTS_IN_FLIGHT="4",
            )
            os.environ.update(cluster.variables)
            try:
                cluster.start_redis()
                cluster.start_daemon()
                cluster.start_worker("worker-1")
                cluster.start_worker("worker-2")
                for name, strike in FAULTS.items():
                    if asked.only in name:
                        lines.append(_play(Stage(made, cluster), name, strike))
                        print(lines[-1], flush=True)
                        broken |= "BROKEN" in lines[-1]
            finally:
                cluster.stop_all()
            made.tell(at_rest=not made.waiting())
            for number, found in check(made.history()).items():
                for line in found or ():
                    broken = True
                    print(f"BROKEN {number}: {line}", flush=True)
                if found == []:
                    print(f"{number} holds", flush=True)
    finally:
        server.stop()
    if asked.output:
        asked.output.write_text("\n".join(["| fault | result |", "|---|---|", *lines]) + "\n")
    sys.exit(broken)


def _play(stage: Stage, name: str, strike: Callable[[Stage], None]) -> str:
    began = time.monotonic()
    try:
        strike(stage)
    except Exception as error:  # a scenario that cannot be played is a finding, too
        logs = {log.name: log.read_text()[-1500:] for log in stage.cluster.folder.glob("*.log")}
        print("\n".join(f"--- {log}\n{text}" for log, text in logs.items()), file=sys.stderr)
        return f"| {name} | BROKEN: {type(error).__name__} {error} |"
    return f"| {name} | all sent, every run ended, after {time.monotonic() - began:.0f} s |"


if __name__ == "__main__":
    main()
