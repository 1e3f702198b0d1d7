"""The two streams that people read, and a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from tracking_pipeline.defs.resources import DrainProgress
from tracking_pipeline.delivery.engine.totals import RetryTotals

# What has left the queue for good or for now, as far as it is counted while a run goes on.
_SETTLED = ("processed", "withheld", "postponed", "accepted_delivered")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ProgressBar(DrainProgress):
    """The progress of a drain as a bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, log: dg.DagsterLogManager, total: int) -> None:
        self._task = self._progress.add_task("sending", total=total)

    def report(self, log: dg.DagsterLogManager, totals: RetryTotals) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=sum(map(totals.total, _SETTLED)))


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """A bar that goes when the work is done; nothing where ``quiet`` or without a terminal."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        yield progress
