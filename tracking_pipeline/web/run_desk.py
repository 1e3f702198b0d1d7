"""Runs Dagster jobs for the API: beside the requests, and one run for all who ask for the same at
the same time. Of two servers over one database each has a desk of its own; leases keep their runs
apart.

A run that the server's end cuts off loses nothing: it gives back what it has claimed, and where it
cannot, its leases run out within a minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

import anyio
import anyio.to_thread
import dagster as dg

from tracking_pipeline.defs.instance.runs import (
    RunError,
    find_run,
    last_runs,
    mark_cut_off,
)
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.web.run_process import Answer, RunOrder, RunProcess, prepare_processes

# What an answer waits for a run before it says "still at it".
WAIT_SECONDS = 8.0
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
class DeskRun:
    """A run of this server. ``done`` becomes its answer, or the :class:`RunError` of a failure."""

    run_id: str
    job: str
    process: RunProcess
    done: Future[Answer] = field(default_factory=Future)

    async def answer(self, wait_seconds: float) -> Answer | None:
        """What the run gave, None where it is still under way after that time.

        Raises :class:`RunError` when it failed.
        """
        # Who stops waiting takes its callback back: a run may end after the event loop has.
        with anyio.move_on_after(wait_seconds):
            return await asyncio.wrap_future(self.done)
        return None


class RunDesk:
    """Starts runs and remembers the last ones. To be used from one event loop."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        *,
        rehearsal: bool | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """``instance`` is the one that the processes of the runs open, too. ``rehearsal`` as
        :func:`~tracking_pipeline.wiring.installation.open_installation` has it."""
        self._instance = instance
        self._tracking = TrackingResource(rehearsal=_REHEARSAL[rehearsal])
        self.wait_seconds = wait_seconds
        self._under_way: dict[str, DeskRun] = {}
        self._known: OrderedDict[str, DeskRun] = OrderedDict()
        self._starting = asyncio.Lock()
        prepare_processes()

    async def join_or_start(self, order: RunOrder, record: Record) -> tuple[DeskRun, bool]:
        """The run that does what is ordered, and whether it was under way already. ``record`` is
        awaited before anything begins; where it fails, nothing does.

        Raises :class:`DeskFullError`.
        """
        key = json.dumps([order.job, order.ops], sort_keys=True)
        # Two clicks at once: the second finds what the first began.
        async with self._starting:
            self._under_way = {k: run for k, run in self._under_way.items() if not run.done.done()}
            if (run := self._under_way.get(key)) is not None:
                await record(run.run_id, True)
                return run, True
            if len(self._under_way) >= MOST_RUNS_AT_ONCE:
                raise DeskFullError
            run_id = str(uuid4())
            await record(run_id, False)
            run = DeskRun(run_id, order.job, RunProcess(order, run_id, self._tracking))
            self._under_way[key] = self._known[run_id] = run
            self._start(run)
            return run, False

    def _start(self, run: DeskRun) -> None:
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        run.done.set_running_or_notify_cancel()
        # It only waits for the process, so it may be left behind.
        threading.Thread(target=self._wait_for, args=(run,), daemon=True).start()

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
        """Ends what is under way; each run has some seconds to tidy up."""
        async with anyio.create_task_group() as ending:
            for run in self._under_way.values():
                ending.start_soon(self._end, run)

    async def _end(self, run: DeskRun) -> None:
        await anyio.to_thread.run_sync(run.process.interrupt, CLOSING_SECONDS)
        # Whoever waits for the run is told while there still is an event loop.
        with suppress(RunError):
            await run.answer(CLOSING_SECONDS)

    def _wait_for(self, run: DeskRun) -> None:
        try:
            run.done.set_result(run.process.answer())
        except RunError as error:
            run.done.set_exception(error)
        except Exception as error:  # EOFError: the process is gone
            log.error("the process of run %s ended (%s)", run.run_id, type(error).__name__)
            why = "its process was killed: what it had claimed is due again within a minute"
            run.done.set_exception(RunError(f"run {run.run_id} did not finish, {why}"))
            try:
                mark_cut_off(self._instance, run.run_id, why)
            except Exception as unmarked:  # the server has ended: the daemon ends such runs
                log.warning("run %s was not marked (%s)", run.run_id, type(unmarked).__name__)
