"""Runs Dagster jobs for the API: in a thread of this process, so that no request waits in the event
loop, and one run for all who ask for the same at the same time.

A run that the server's end cuts off loses nothing: the leases of what it held run out within a
minute, and the next run takes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import anyio.to_thread
import dagster as dg

from tracking_pipeline.resources import TrackingResource
from tracking_pipeline.runs import PastRun, RunError, find_run, last_runs, mark_cut_off, run_job

# What an answer waits for a run before it says "still at it".
WAIT_SECONDS = 5.0
MOST_RUNS_AT_ONCE = 4
CLOSING_SECONDS = 10.0
_REMEMBERED = 100
_REHEARSAL: dict[bool | None, Literal["auto", "yes", "no"]] = {
    None: "auto",
    True: "yes",
    False: "no",
}

# Takes the run's id, and whether it was under way already.
Record = Callable[[str, bool], Awaitable[None]]

log = logging.getLogger(__name__)


class DeskFullError(Exception):
    """As many runs as this server does at once are under way."""


@dataclass(frozen=True)
class RunOrder:
    """A job with the configuration of its ops. ``read`` makes the answer of its result."""

    job: str
    ops: Mapping[str, Any]
    read: Callable[[dg.ExecuteInProcessResult], dict[str, Any]]

    @property
    def key(self) -> str:
        """The same for two orders of the same."""
        return json.dumps([self.job, self.ops], sort_keys=True)


@dataclass(frozen=True)
class DeskRun:
    """A run of this server. ``done`` becomes its answer, or the :class:`RunError` of a failure."""

    run_id: str
    job: str
    done: Future[dict[str, Any]] = field(default_factory=Future)

    async def answer(self, wait_seconds: float) -> dict[str, Any] | None:
        """What the run gave, None where it is still under way after that time.

        Raises :class:`RunError` when it failed.
        """
        waiting = asyncio.wrap_future(self.done)
        finished, _ = await asyncio.wait((waiting,), timeout=wait_seconds)
        return waiting.result() if finished else None


class RunDesk:
    """Starts runs and remembers the last ones. To be used from one event loop."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        *,
        rehearsal: bool | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """``rehearsal`` as :func:`~tracking_pipeline.installation.open_installation` has it."""
        self._instance = instance
        self._tracking = TrackingResource(rehearsal=_REHEARSAL[rehearsal])
        self.wait_seconds = wait_seconds
        self._under_way: dict[str, DeskRun] = {}
        self._known: OrderedDict[str, DeskRun] = OrderedDict()
        self._starting = asyncio.Lock()

    async def join_or_start(self, order: RunOrder, record: Record) -> tuple[DeskRun, bool]:
        """The run that does what is ordered, and whether it was under way already. ``record`` is
        awaited before anything begins; where it fails, nothing does.

        Raises :class:`DeskFullError`.
        """
        # Two clicks at once: the second finds what the first began.
        async with self._starting:
            run = self._under_way.get(order.key)
            if run is not None and not run.done.done():
                await record(run.run_id, True)
                return run, True
            self._under_way = {k: run for k, run in self._under_way.items() if not run.done.done()}
            if len(self._under_way) >= MOST_RUNS_AT_ONCE:
                raise DeskFullError
            run = DeskRun(str(uuid4()), order.job)
            await record(run.run_id, False)
            self._start(order, run)
            return run, False

    def _start(self, order: RunOrder, run: DeskRun) -> None:
        run.done.set_running_or_notify_cancel()
        self._under_way[order.key] = self._known[run.run_id] = run
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        # A daemon: the end of the server does not wait for minutes of work that loses nothing.
        threading.Thread(
            target=self._work, args=(order, run), name=f"run {run.run_id}", daemon=True
        ).start()

    def find(self, run_id: str) -> DeskRun | None:
        """A run of this server, as long as it is remembered."""
        return self._known.get(run_id)

    async def find_past(self, run_id: str) -> PastRun | None:
        """A run of any process, from Dagster's storage."""
        return await anyio.to_thread.run_sync(find_run, self._instance, run_id)

    async def last_runs(self, limit: int) -> list[PastRun]:
        """The newest runs of all processes, newest first."""
        return await anyio.to_thread.run_sync(lambda: last_runs(self._instance, limit=limit))

    async def close(self) -> None:
        """Waits a little for what is under way, and says of the rest that it was cut off."""
        await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        for run in self._under_way.values():
            try:
                run.done.exception(CLOSING_SECONDS)
            except FutureTimeoutError:
                mark_cut_off(self._instance, run.run_id, "the server that ran it was stopped")

    def _work(self, order: RunOrder, run: DeskRun) -> None:
        try:
            result = run_job(
                self._instance,
                order.job,
                order.ops,
                resources={"tracking": self._tracking},
                run_id=run.run_id,
                trigger="api",
            )
            run.done.set_result(order.read(result))
        except RunError as error:
            run.done.set_exception(error)
        except BaseException as error:
            log.error("run %s: %s", run.run_id, type(error).__name__)
            run.done.set_exception(RunError(f"run {run.run_id} failed ({type(error).__name__})"))
