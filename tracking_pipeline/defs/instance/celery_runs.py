"""Runs as Celery tasks: the launcher of ``deploy/celery/dagster.yaml``, and the workers' task.

    celery -A tracking_pipeline.defs.instance.celery_runs worker -Q dagster -c 2

``dagster-celery`` believes the broker: what it lost never runs, a message that comes twice may run
twice, and what became of a run is asked of a store of results that forgets. Here the broker only
carries a run's id, and what holds is in Dagster's database:

- A run that waits is sent again every two minutes, until it is executed or ended: a broker that was
  restarted, flushed or away loses none, and none fails for having waited.
- Whoever first writes the run's heartbeat executes it; every other message of it is passed over.
- Whether a run lives is told by its heartbeat (``heartbeat.py``); results are not kept.
- A run that was told to stop stops: one that nobody executes yet is canceled at once, another is
  interrupted by its worker, and where that message is lost by its own heart.
- A worker that is told to stop (SIGTERM) interrupts its runs. They hand back what they hold and
  fail, and Dagster's run retries execute them again elsewhere.
"""

from __future__ import annotations

import logging
import signal
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg
import psutil
import psycopg
from celery.signals import worker_shutting_down
from dagster._cli.api import _execute_run_command_body
from dagster._core.launcher import LaunchRunContext
from dagster._utils.interrupts import capture_interrupts
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_RUN_PRIORITY_TAG
from kombu.exceptions import OperationalError

# Before the workers fork: one second less for each first run, and memory that they share.
import tracking_pipeline.definitions
from tracking_pipeline.defs.instance.heartbeat import claim
from tracking_pipeline.store.database import DatabaseError

SEND_AGAIN_AFTER = timedelta(minutes=2)
TASK = "tracking_pipeline.execute_run"
TIMES_SENT_TAG = "tracking/times_sent"

_WAITING = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)
# Nobody waits long for a broker that is away: the run is sent again.
_PATIENCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
_TRANSPORT = {"socket_connect_timeout": 5, "socket_timeout": 10}

log = logging.getLogger(__name__)

app = make_app()  # type: ignore[no-untyped-call]
# CELERY_BROKER_URL names the broker; nothing is kept of results.
app.conf.update(result_backend=None, task_ignore_result=True, worker_prefetch_multiplier=1)


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def execute_run(run_id: str) -> str:
    """Executes the run unless it was executed, ended or claimed by another; says what it did."""
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        with capture_interrupts(), dg.DagsterInstance.get() as instance:
            return _execute(instance, run_id)
    finally:
        signal.signal(signal.SIGTERM, terminated)


def _execute(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in _WAITING:
        return "not waiting any more"
    if not claim(instance, run_id):
        return "claimed by another"
    try:
        _execute_run_command_body(run_id, instance, lambda event: None, False)
    except Exception as error:  # of this worker's code or settings: the run never began
        instance.report_run_failed(
            run,
            f"the worker could not load the run ({type(error).__name__}): is it of the same "
            "release, with the same settings, as the code server?",
        )
        return "could not be loaded"
    return "executed"


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _interrupt_runs(**_: Any) -> None:
    """Those of the worker's processes that execute nothing ignore it."""
    for child in psutil.Process().children():
        child.send_signal(signal.SIGINT)


class TrackingRunLauncher(CeleryRunLauncher):
    """``run_launcher`` of ``deploy/celery/dagster.yaml``; configured as ``CeleryRunLauncher``."""

    def __init__(self, default_queue: str, config_source: Any = None, **given: Any) -> None:
        options = {
            "task_ignore_result": True,
            **(config_source or {}),
            "broker_transport_options": {
                **_TRANSPORT,
                **(config_source or {}).get("broker_transport_options", {}),
            },
        }
        super().__init__(default_queue, config_source=options, **{**given, "backend": None})

    def launch_run(self, context: LaunchRunContext) -> None:
        """Sends the run's id to the workers. Never raises for a broker that is away."""
        self._send(context.dagster_run, times=1)

    def send_waiting_runs_again(self) -> list[str]:
        """Sends what was sent a while ago and is not executed yet; returns the runs' ids."""
        waiting = self._instance.get_run_records(
            dg.RunsFilter(
                statuses=[dg.DagsterRunStatus.STARTING],
                updated_before=datetime.now(timezone.utc) - SEND_AGAIN_AFTER,
            )
        )
        for record in waiting:
            run = record.dagster_run
            self._send(run, times=int(run.tags.get(TIMES_SENT_TAG, "0")) + 1)
        return [record.dagster_run.run_id for record in waiting]

    def _send(self, run: dg.DagsterRun, *, times: int) -> None:
        # Also what tells when it was sent last.
        self._instance.add_run_tags(run.run_id, {TIMES_SENT_TAG: str(times)})
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue)
        priority = run.tags.get(DAGSTER_CELERY_RUN_PRIORITY_TAG, "")
        try:
            self.celery.send_task(
                TASK,
                (run.run_id,),
                task_id=run.run_id,
                queue=queue,
                priority=int(priority) if priority.lstrip("-").isdecimal() else 0,
                retry_policy=_PATIENCE,
            )
        except (OperationalError, OSError) as error:
            said = (
                f"The broker cannot be reached ({type(error).__name__}): the run is sent again "
                f"within {SEND_AGAIN_AFTER.total_seconds() + 60:.0f} seconds."
            )
        else:
            said = f"Sent to the workers of queue {queue!r}."
            if times > 1:
                said += f" This is time {times}: nobody has executed it yet."
        self._instance.report_engine_event(said, run, cls=type(self))

    def terminate(self, run_id: str) -> bool:
        """Stops a run. One that nobody executes is canceled at once, and never executed."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        try:
            if run.status in _WAITING and claim(self._instance, run_id):
                self._instance.report_run_canceled(run, "It was canceled before it was executed.")
                return True
        except (psycopg.Error, DatabaseError) as error:
            log.warning("run %s may be executed already (%s)", run_id, type(error).__name__)
        try:
            self.celery.control.revoke(run_id, terminate=True, signal="SIGINT")
        except (OperationalError, OSError) as error:
            log.warning("run %s stops by itself (%s)", run_id, type(error).__name__)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: a run that does not live is found by its heartbeat."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """No: a run is executed again from its start."""
        return False

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        return None


assert tracking_pipeline.definitions.defs  # noqa: S101  imported for its own sake
