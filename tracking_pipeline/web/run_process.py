"""One run of a job in a process of its own, for the API.

Not a thread: two runs that begin in one process can wait for each other for ever (at its start
Dagster reconfigures `logging` of the whole process, while the other's log handler writes to the
database), and a drain would take the interpreter from the requests that are served beside it
(docs/decisions/0005).

A template process imports everything once; each run is a fork of it, ready in a moment.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import dagster as dg

from tracking_pipeline.defs.instance.runs import RunError, open_instance, run_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.errors import ExplainedError
from tracking_pipeline.settings import read_settings

Answer = dict[str, Any]

_STOPPED = "the server was stopped; what was claimed is due again"
_INTERRUPT = (signal.SIGINT,)
_PROCESSES = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class RunOrder:
    """A job with the configuration of its ops, or an asset job narrowed to ``assets``. ``read``
    makes the answer of its result; it is a function of a module, because it is named to another
    process."""

    job: str
    ops: Mapping[str, Any]
    read: Callable[[dg.ExecuteInProcessResult], Answer]
    assets: tuple[dg.AssetKey, ...] = ()


def prepare_processes() -> None:
    """Lets the template process begin its imports, so that the first run need not wait for them.

    A terminal's Ctrl-C reaches it as well, and would show as a stack trace while it imports: it
    inherits that interrupts are held back. A run, which inherits that too, takes one that came
    while it began as soon as it can; and none that is meant for this process is lost."""
    _PROCESSES.set_forkserver_preload([__name__, "tracking_pipeline.definitions"])
    # Lets interrupts through again once it has started its process, so it comes first.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class RunProcess:
    """The process of one run."""

    def __init__(self, order: RunOrder, run_id: str, tracking: TrackingResource) -> None:
        self._run_id = run_id
        self._receiving, self._sending = _PROCESSES.Pipe(duplex=False)
        # The template has the environment of its own beginning.
        given = (self._sending, dict(os.environ), order, run_id, tracking.rehearsal)
        self._process = _PROCESSES.Process(target=_run, args=given, daemon=True)
        self._called_off = threading.Event()

    def answer(self) -> Answer:
        """Starts the process and waits for what the run gives. Raises :class:`RunError` when the
        run failed, EOFError when the process was killed."""
        # Takes as long as the template needs for its imports.
        self._process.start()
        if self._called_off.is_set():
            self._process.kill()
            raise RunError(_STOPPED)
        self._sending.close()
        try:
            found = self._receiving.recv()
        finally:
            self._receiving.close()
        self._process.join()
        if isinstance(found, RunError):
            raise found
        answer: Answer = found
        return answer

    @property
    def pid(self) -> int | None:
        """The process's id; None before its start."""
        return self._process.pid

    def interrupt(self, patience_seconds: float) -> None:
        """Ends the run: it gives back what it has claimed and says so in Dagster's storage. A
        process that does not end in time is killed, and one that is still to start does nothing."""
        self._called_off.set()
        if self._process.pid is None or not self._process.is_alive():
            return
        os.kill(self._process.pid, signal.SIGINT)
        self._process.join(patience_seconds)
        self._process.kill()


def _run(
    sending: Connection,
    environment: dict[str, str],
    order: RunOrder,
    run_id: str,
    rehearsal: Any,
) -> None:
    """The whole life of the forked process. An interrupt counts while there is something to hand
    back, and shows no stack trace before and after. Where the server is gone when it begins, nobody
    is left who could end it: it does nothing."""
    server = multiprocessing.parent_process()
    if server is not None and not server.is_alive():
        return
    os.environ.clear()
    os.environ.update(environment)
    found: Answer | RunError
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        found = _answer_or_error(order, run_id, TrackingResource(rehearsal=rehearsal))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        found = RunError(_STOPPED)
    with suppress(BrokenPipeError):  # the server is gone, and with it whoever asked
        sending.send(found)


def _answer_or_error(order: RunOrder, run_id: str, tracking: TrackingResource) -> Answer | RunError:
    try:
        with open_instance(read_settings()) as instance:
            result = run_job(
                instance,
                order.job,
                order.ops,
                resources={"tracking": tracking},
                assets=order.assets,
                run_id=run_id,
                trigger="api",
            )
            return order.read(result)
    except RunError as error:
        return error
    except ExplainedError as error:
        return RunError(str(error))
    except Exception as error:
        return RunError(f"run {run_id} failed ({type(error).__name__}): see it in the Dagster UI")


def retry_answer(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The totals of a retry run, also under the dashboard's own names."""
    totals: dict[str, Any] = result.output_for_node("summarize_retry").as_json()
    return {**totals, "ok": totals["success"], "deadLettered": totals["dead_lettered"]}


def replay_answer(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The totals of a replay."""
    totals: dict[str, Any] = result.output_for_node("replay_dead_letters").as_json()
    return totals


def backfill_answer(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The totals of a backfill."""
    totals: dict[str, Any] = result.output_for_node("backfill_destination").as_json()
    return totals
