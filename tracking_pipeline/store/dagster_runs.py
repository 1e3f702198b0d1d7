"""Dagster's own table of runs, for whoever only wants to see the last ones: a statement here saves
the second that Dagster's import takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import args_row


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run, as far as an operator asks. Times are Unix seconds."""

    run_id: str
    job: str
    status: str
    started_at: float | None
    seconds: float | None

    @classmethod
    def of(
        cls, run_id: str, job: str, status: str, started: float | None, ended: float | None
    ) -> PastRun:
        """The run with these times of its beginning and its end, as far as there are any."""
        seconds = round(ended - started, 3) if started and ended else None
        return cls(run_id, job, status, started, seconds)


def read_past_runs(connection: psycopg.Connection[Any], *, limit: int) -> list[PastRun]:
    """The newest runs first; none where Dagster has never opened this storage."""
    row = connection.execute("select to_regclass('runs') is not null").fetchone()
    if row != (True,):
        return []
    with connection.cursor(row_factory=args_row(PastRun.of)) as cursor:
        return cursor.execute(
            "select run_id, pipeline_name, status, start_time, end_time"
            " from runs order by id desc limit %s",
            (limit,),
        ).fetchall()
