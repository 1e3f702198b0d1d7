"""Every run of ours shows that it lives, and one whose process is gone is ended.

Dagster notices the death of a run's process only where it started that process itself and lives on:
a run of the command line or the API that was killed would stand as started for an hour or two, and
so would the daemon's when the machine goes. It would take a slot of the run queue, and schedules
and sensors would wait for it.

So a thread beside each run writes a sign of life into Dagster's database (`store/dagster_runs`),
where the run's own events go too: a run that cannot write there cannot go on either. Whoever looks
next, from any machine, ends a run that is silent: `lost_runs_sensor` every half minute, and whoever
asks whether a run is under way. Runs that wait in the queue have no process and no heartbeat, and
are left alone. The whole story: docs/decisions/0008.

Where Dagster's storage is no PostgreSQL there are no heartbeats, and Dagster's run monitoring alone
ends such runs.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
import psycopg

from tracking_pipeline.store.dagster_runs import (
    BEAT_SECONDS,
    RunHeartbeat,
    claim_run,
    create_heartbeats,
    forget_run,
    has_heartbeats,
    take_silent_runs,
    write_heartbeat,
)
from tracking_pipeline.store.database import DatabaseError, connect

_QUEUED = dg.DagsterRunStatus.QUEUED

# The first leaves time for whoever interrupts it by other means.
_BEATS_BEFORE_STOP = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LostRuns:
    """What a look found: runs it has ended, and runs that are silent but not for long enough."""

    ended: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


def heartbeat_url(instance: dg.DagsterInstance) -> str | None:
    """Where the heartbeats of this instance's runs are kept; None where its storage is no
    PostgreSQL."""
    url = getattr(instance.run_storage, "postgres_url", None)
    if url is None:
        return None
    scheme, rest = str(url).split("://", 1)
    return f"{scheme.split('+')[0]}://{rest}"


def this_process() -> str:
    """This process, for people to find."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def claim(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether this process alone may execute, or end unexecuted, a run that others may be asked to
    execute as well. Raises psycopg.Error, or DatabaseError where no connection can be had."""
    url = heartbeat_url(instance)
    if url is None:
        return True
    with connect(url, answer_seconds=BEAT_SECONDS) as connection:
        create_heartbeats(connection)
        return claim_run(connection, run_id, this_process())


@contextmanager
def heartbeat(
    instance: dg.DagsterInstance, run_id: str, *, stops_itself: bool = False
) -> Iterator[None]:
    """Shows that the run lives, for the time of the block. Fails open: without a heartbeat a run
    is no worse off than any of Dagster's.

    ``stops_itself``: this process gets a SIGINT when the run was told to stop two beats ago and is
    still there. Whoever should have interrupted it may be gone, or the message lost.
    """
    url = heartbeat_url(instance)
    if url is None:
        yield
        return
    heart = _Heart(url, run_id, stops_itself)
    heart.begin()
    try:
        yield
    finally:
        heart.end()


class _Heart:
    """The thread of one run."""

    def __init__(self, url: str, run_id: str, stops_itself: bool) -> None:
        self._url = url
        self._run_id = run_id
        self._stops_itself = stops_itself
        self._beats_since_stop = 0
        self._ending = threading.Event()
        self._held = ExitStack()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def begin(self) -> None:
        """The first beat is there when this returns: before the run is, if need be."""
        self._beat()
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        # A connection that hangs is not waited for: the thread ends with the process.
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        with self._held:
            while not self._ending.wait(BEAT_SECONDS):
                self._beat()

    def _beat(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._held.enter_context(
                    connect(self._url, answer_seconds=BEAT_SECONDS)
                )
                create_heartbeats(self._connection)
            is_told_to_stop = write_heartbeat(self._connection, self._run_id, this_process())
            self._beats_since_stop += is_told_to_stop
            if self._stops_itself and self._beats_since_stop == _BEATS_BEFORE_STOP:
                log.warning("run %s was told to stop and has not: it is interrupted", self._run_id)
                os.kill(os.getpid(), signal.SIGINT)
        except (psycopg.Error, DatabaseError) as error:
            # It may be back by the next beat; a run that is missed speaks up in time.
            log.warning("no heartbeat of run %s (%s)", self._run_id, type(error).__name__)
            self._connection = None
            self._held.close()


def end_lost_runs(instance: dg.DagsterInstance) -> LostRuns:
    """Ends the runs of the instance whose process is gone, and tells which. Several may look at
    once. Fails open: a database that cannot be asked is asked again at the next look."""
    url = heartbeat_url(instance)
    if url is None:
        return LostRuns()
    ended, missed = [], []
    try:
        with connect(url, answer_seconds=BEAT_SECONDS) as connection:
            if not has_heartbeats(connection):
                return LostRuns()
            # The rows stay locked until their runs have ended: killed here, this changes nothing.
            with connection.transaction():
                for silent in take_silent_runs(connection):
                    run = instance.get_run_by_id(silent.run_id)
                    if run is None or run.is_finished or run.status is _QUEUED:
                        forget_run(connection, silent.run_id)
                    elif not silent.is_lost:
                        missed.append(silent.run_id)
                    else:
                        _end(instance, run, silent)
                        forget_run(connection, silent.run_id)
                        ended.append(silent.run_id)
    except (psycopg.Error, DatabaseError) as error:
        log.warning("lost runs cannot be looked for (%s)", type(error).__name__)
    return LostRuns(tuple(ended), tuple(missed))


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, silent: RunHeartbeat) -> None:
    why = (
        f"the process of this run ({silent.worker}) has shown no sign of life for "
        f"{silent.silent_seconds:.0f} s: it was killed, or its machine is gone. Nothing is lost: "
        "what it had claimed is due again within a minute"
    )
    log.warning("run %s is ended: %s", run.run_id, why)
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, why)
    else:
        instance.report_run_failed(run, why)


if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig


class ExecutorWithHeartbeat(dg.Executor):
    """Another executor, with a heartbeat of the run for as long as it executes."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with heartbeat(plan_context.instance, plan_context.run_id, stops_itself=True):
            yield from self._inner.execute(plan_context, execution_plan)


def _create(context: dg.InitExecutorContext) -> dg.Executor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None  # noqa: S101  Dagster's own has one
    return ExecutorWithHeartbeat(create(context))


# Its name and configuration are Dagster's: a launchpad's "execution" stays as it was.
in_process_with_heartbeat = dg.ExecutorDefinition(
    name=dg.in_process_executor.name,
    config_schema=cast("Any", dg.in_process_executor.config_schema),
    executor_creation_fn=_create,
    description="Executes a run in one process, one op after the other: a run drains in one event "
    "loop, and a process for each op would cost two seconds each.",
)
