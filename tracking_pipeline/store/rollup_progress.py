"""How far a roll-up of the ledger has come: its row of ``tracking_rollup_progress``.

    rolled_until        everything created before it is in the roll-up, and nothing else is
    rule                which events were counted; another rule means counting all anew
    seen_at             when the transactions below were seen running
    seen_transactions   those whose start the connected role may not see
    recount_from        the next hour to be counted again; null: no recount is under way
    recount_begun_at    when the last recount began
    stale_hours         hours that are to be counted again: of delivery accounting

The row is locked while a piece of work is done and written in the same transaction, so that two
roll-ups at once take turns, and one that is killed loses nothing but the piece in hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.database import read_now

MATCH_KEYS = "match_keys"
DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Progress:
    """The row's columns; see the module. Times are None where nothing was done yet."""

    rolled_until: datetime | None = None
    rule: str | None = None
    seen_at: datetime | None = None
    seen_transactions: frozenset[str] = frozenset()
    recount_from: datetime | None = None
    recount_begun_at: datetime | None = None
    stale_hours: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningTransaction:
    """A transaction of another session. ``began_at`` is None where this role may not see it."""

    id: str
    began_at: datetime | None


_CREATE: LiteralString = """
insert into public.tracking_rollup_progress (name) values (%s) on conflict do nothing
"""
_LOCK: LiteralString = """
select rolled_until, rule, seen_at, seen_transactions, recount_from, recount_begun_at, stale_hours
from public.tracking_rollup_progress where name = %s for update
"""


@contextmanager
def locked_progress(
    connection: psycopg.Connection[Any], name: str = MATCH_KEYS
) -> Iterator[Progress]:
    """The progress, in a transaction that keeps every other roll-up waiting until the block ends.

    The row is made in a transaction of its own: were it part of this one, another roll-up would
    wait for a row that it cannot see yet.
    """
    connection.execute(_CREATE, (name,))
    with connection.transaction():
        yield _progress(connection.execute(_LOCK, (name,)).fetchone())


def read_progress(connection: psycopg.Connection[Any], name: str = MATCH_KEYS) -> Progress:
    """The progress as it is, without waiting for a roll-up at work."""
    row = connection.execute(_LOCK.replace(" for update", ""), (name,)).fetchone()
    return _progress(row)


def _progress(row: tuple[Any, ...] | None) -> Progress:
    if row is None:
        return Progress()
    rolled_until, rule, seen_at, seen, recount_from, recount_begun_at, stale = row
    return Progress(
        rolled_until, rule, seen_at, frozenset(seen), recount_from, recount_begun_at, tuple(stale)
    )


_SAVE: LiteralString = """
update public.tracking_rollup_progress
set rolled_until = %(rolled_until)s, rule = %(rule)s, seen_at = %(seen_at)s,
    seen_transactions = %(seen_transactions)s, recount_from = %(recount_from)s,
    recount_begun_at = %(recount_begun_at)s, stale_hours = %(stale_hours)s, updated_at = now()
where name = %(name)s
"""


def save_progress(
    connection: psycopg.Connection[Any], progress: Progress, name: str = MATCH_KEYS
) -> None:
    """Writes the row that :func:`locked_progress` holds."""
    connection.execute(
        _SAVE,
        {
            "name": name,
            "rolled_until": progress.rolled_until,
            "rule": progress.rule,
            "seen_at": progress.seen_at,
            "seen_transactions": sorted(progress.seen_transactions),
            "recount_from": progress.recount_from,
            "recount_begun_at": progress.recount_begun_at,
            "stale_hours": list(progress.stale_hours),
        },
    )


# Every transaction holds a lock on its own virtual id from its first moment, and every role sees
# it; when a transaction of another role began is shown to members of pg_read_all_stats only. What
# has no user is autovacuum, which writes no events and may take hours.
_RUNNING: LiteralString = """
select l.virtualtransaction, a.xact_start
from pg_locks l
join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'virtualxid' and l.granted and l.mode = 'ExclusiveLock'
  and a.datname = current_database() and a.usesysid is not null
  and l.pid <> pg_backend_pid()
"""


def read_running_transactions(
    connection: psycopg.Connection[Any],
) -> tuple[datetime, list[RunningTransaction]]:
    """The database's time, and every other transaction of this database that was open at it.

    One that is prepared for a two-phase commit is not among them: the recount finds its events.
    """
    with connection.transaction():
        now = read_now(connection)
        rows = connection.execute(_RUNNING).fetchall()
    return now, [RunningTransaction(*row) for row in rows]
