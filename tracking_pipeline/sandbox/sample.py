"""Loads sample rows into a rehearsal database, and tells the sandbox how to treat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tracking_pipeline.sandbox.sample_data import (
    sample_failed_events,
    sample_leads,
    sample_ledger,
    sample_scripts,
)
from tracking_pipeline.sandbox.server import new_stage
from tracking_pipeline.store.rehearsal import is_rehearsal

SAMPLE_LEADS = 60
SAMPLE_EVENTS = 250
SAMPLE_CONVERSIONS = 6000
_JSON_COLUMNS = ("event_payload", "user_data", "session_data", "metadata")


def load_sample(
    connection: psycopg.Connection[Any],
    journal: Path,
    *,
    leads: int = SAMPLE_LEADS,
    events: int = SAMPLE_EVENTS,
    conversions: int = SAMPLE_CONVERSIONS,
) -> int:
    """Adds leads, failed events and conversions that were not there yet, and their scripts to the
    sandbox's journal. Returns the seed they were made from: 1 in a fresh database, then 2, ...

    Refuses a database that is not marked as a rehearsal.
    """
    if not is_rehearsal(connection):
        raise ValueError("sample rows go into a rehearsal database only")
    now = cast("tuple[datetime]", connection.execute("select now()").fetchone())[0]
    seed = 1
    while _is_loaded(connection, seed, now):
        seed += 1
    people = sample_leads(leads, seed, now)
    failed = sample_failed_events(people, events, seed, now)
    with connection.transaction():
        _insert(connection, "leads", people)
        _insert(connection, "tracking_failed_events", failed)
        _insert(connection, "wm_event_log", sample_ledger(people, conversions, seed, now))
    stage = new_stage(journal=journal)
    stage.scripts.update(sample_scripts(failed, seed))
    stage.memory.close()
    return seed


def _is_loaded(connection: psycopg.Connection[Any], seed: int, now: datetime) -> bool:
    first = sample_leads(1, seed, now)[0]["id"]
    return connection.execute("select from leads where id = %s", (first,)).fetchone() is not None


def _insert(
    connection: psycopg.Connection[Any], table: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    columns = list(rows[0])
    # An earlier version's rows may be there under the same ids.
    statement = sql.SQL("insert into public.{} ({}) values ({}) on conflict do nothing").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                [
                    Jsonb(row[name])
                    if name in _JSON_COLUMNS and row[name] is not None
                    else row[name]
                    for name in columns
                ]
                for row in rows
            ],
        )
