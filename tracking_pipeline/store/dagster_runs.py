"""The runs in Dagster's own database: the last ones, and their signs of life, one row for each run
that was begun.

A run writes that it is alive every few seconds. One that has been silent too long is *missed* at
first, and *lost* when it is still silent at a later look: after an outage of the database, or a
laptop's sleep, everybody has been silent, and the living speak up before the second look. Only the
database's clock counts.

Rows are removed by whoever looks, once their run has ended: a run that removed its own row could
be killed right after it, before it told Dagster of its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import args_row, class_row


# A statement on Dagster's own table of runs saves the second that Dagster's import takes.
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


BEAT_SECONDS = 10.0
# Three beats that did not come, and a little for a busy machine.
SILENT_SECONDS = 40.0
# Between a run's being missed and its end: time for two beats of one that lives.
GRACE_SECONDS = 20.0

_LOCK_KEY = int.from_bytes(b"beats", "big")


@dataclass(frozen=True, slots=True)
class RunHeartbeat:
    """The last sign of life of one run. ``worker`` is the process, for people to find."""

    run_id: str
    worker: str
    silent_seconds: float
    is_lost: bool


def has_heartbeats(connection: psycopg.Connection[Any]) -> bool:
    """Whether any run has ever written one here."""
    row = connection.execute("select to_regclass('tracking_run_heartbeats') is not null").fetchone()
    return row is not None and bool(row[0])


def create_heartbeats(connection: psycopg.Connection[Any]) -> None:
    """Makes the table where it is absent. Several may do so at once."""
    if has_heartbeats(connection):
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        connection.execute(
            "create table if not exists tracking_run_heartbeats ("
            " run_id text primary key,"
            " worker text not null,"
            " started_at timestamptz not null default now(),"
            " beat_at timestamptz not null default now(),"
            " missed_at timestamptz)"
        )
        # Where the two databases are one, it may be open to an API: nobody but its owner gets in.
        connection.execute("alter table tracking_run_heartbeats enable row level security")


def claim_run(connection: psycopg.Connection[Any], run_id: str, worker: str) -> bool:
    """Whether the caller is the first to speak of the run. For what may be asked of several, and is
    for one alone: to execute it, or to end it unexecuted. It is the first heartbeat."""
    claimed = connection.execute(
        "insert into tracking_run_heartbeats (run_id, worker) values (%s, %s)"
        " on conflict do nothing",
        (run_id, worker),
    )
    return claimed.rowcount == 1


def write_heartbeat(connection: psycopg.Connection[Any], run_id: str, worker: str) -> bool:
    """Notes that the run lives. Returns whether it was told to stop: it is being canceled, or
    somebody has ended it already."""
    row = connection.execute(
        "insert into tracking_run_heartbeats (run_id, worker) values (%s, %s)"
        " on conflict (run_id) do update"
        " set beat_at = now(), missed_at = null, worker = excluded.worker"
        " returning exists (select from runs where runs.run_id = tracking_run_heartbeats.run_id"
        "  and runs.status in ('CANCELING', 'CANCELED', 'FAILURE'))",
        (run_id, worker),
    ).fetchone()
    return bool(row and row[0])


def take_silent_runs(connection: psycopg.Connection[Any]) -> list[RunHeartbeat]:
    """The runs that are silent, those that were just missed among them; within a transaction, at
    whose end they may be taken again. What another look has taken is left out."""
    with connection.cursor(row_factory=class_row(RunHeartbeat)) as cursor:
        silent = cursor.execute(
            "select run_id, worker, extract(epoch from now() - beat_at)::float8 as silent_seconds,"
            "  coalesce(missed_at < now() - make_interval(secs => %s), false) as is_lost"
            " from tracking_run_heartbeats where beat_at < now() - make_interval(secs => %s)"
            " order by beat_at for update skip locked",
            (GRACE_SECONDS, SILENT_SECONDS),
        ).fetchall()
    connection.execute(
        "update tracking_run_heartbeats set missed_at = now()"
        " where missed_at is null and run_id = any(%s)",
        ([each.run_id for each in silent],),
    )
    return silent


def forget_run(connection: psycopg.Connection[Any], run_id: str) -> None:
    """Removes the row of a run that has ended."""
    connection.execute("delete from tracking_run_heartbeats where run_id = %s", (run_id,))
