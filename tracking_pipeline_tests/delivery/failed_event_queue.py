"""The queue as a test sees it: rows go in, and their state, attempts and destinations come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

DEADLINE_SECONDS = 30.0


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Polls until another thread or process has made the condition true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@dataclass(frozen=True)
class Added:
    """One row that a test put in the queue. The ids differ, so a mix-up shows."""

    id: UUID
    event_id: UUID

    @property
    def sent_as(self) -> str:
        """The id under which a destination knows the event."""
        return str(self.event_id)


def payload(email: str = "emily@example.com", **fields: Any) -> dict[str, Any]:
    """An ``event_payload`` that Meta and the ledger take: the flat shape."""
    return {"event_name": "Lead", "email": email, **fields}


class Queue:
    """Puts rows into one database's queue and reads back what became of them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def add(self, count: int = 1, **columns: Any) -> list[Added]:
        """Adds rows that are due at once; ``columns`` are values that all of them get."""
        values = {"event_name": "Lead", "error_message": "it failed", **columns}
        return self._insert("tracking_failed_events", count, values)

    def _insert(self, table: str, count: int, columns: dict[str, Any]) -> list[Added]:
        rows = [Added(uuid4(), uuid4()) for _ in range(count)]
        values = {"event_payload": payload(), "destination": "meta_capi", **columns}
        values = {k: Jsonb(v) if isinstance(v, dict) else v for k, v in values.items()}
        statement = sql.SQL("insert into {} (id, event_id, {}) values (%s, %s, {})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        with self.connection.cursor() as cursor:
            cursor.executemany(
                statement, [(row.id, row.event_id, *values.values()) for row in rows]
            )
        return rows

    def add_one(self, **columns: Any) -> Added:
        """Adds one row."""
        return self.add(**columns)[0]

    def accept(self, count: int = 1, **columns: Any) -> list[Added]:
        """Adds events that were accepted and wait for their first attempt."""
        values = {"event_name": "Lead", "event_type": "conversion", **columns}
        return self._insert("tracking_accepted_events", count, values)

    def accept_one(self, **columns: Any) -> Added:
        """Adds one of them."""
        return self.accept(**columns)[0]

    def accepted(self) -> dict[UUID, dict[str, Any]]:
        """The accepted events that are left, by the row's id."""
        return {row["id"]: row for row in self.read("select * from tracking_accepted_events")}

    def row(self, added: Added) -> dict[str, Any]:
        """All columns of a row."""
        (row,) = self.read("select * from tracking_failed_events where id = %s", added.id)
        return row

    def attempts(self, added: Added) -> list[dict[str, Any]]:
        """The attempt rows of one failed event, oldest first."""
        return self.read(
            "select * from tracking_delivery_attempts where failed_event_id = %s order by id",
            added.id,
        )

    def statuses(self) -> dict[str, int]:
        """How many rows have each status."""
        rows = self.read("select status, count(*) from tracking_failed_events group by status")
        return {row["status"]: row["count"] for row in rows}

    def leased(self) -> int:
        """How many rows are leased just now."""
        return int(
            self.one("select count(*) from tracking_failed_events where lease_expires_at > now()")
        )

    def make_due(self) -> None:
        """Lets the waiting rows' time come."""
        self.connection.execute(
            "update tracking_failed_events set next_retry_at = now() where status = 'retrying'"
        )

    def expire_leases(self) -> None:
        """Lets the minute go by that a dead worker's leases last."""
        for table in ("tracking_failed_events", "tracking_accepted_events"):
            self.connection.execute(
                f"update {table} set lease_expires_at = now() - interval '1 second'"
                " where lease_expires_at is not null".encode()
            )
        self.connection.execute("delete from tracking_destination_shares")

    def state(self, destination: str = "meta_capi") -> dict[str, Any]:
        """The shared state of a destination, with its waits in seconds from now."""
        (row,) = self.read(
            "select *, extract(epoch from not_before - now())::float8 as throttled_seconds,"
            " extract(epoch from probe_at - now())::float8 as probe_in_seconds"
            " from tracking_destination_state where destination = %s",
            destination,
        )
        return row

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, oldest first."""
        return self.read("select * from tracking_health_alerts order by created_at")

    def break_connections(self) -> int:
        """Ends every connection of the pipeline to this database; says how many there were."""
        return int(
            self.one(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and application_name = 'tracking_pipeline'"
            )
        )

    @contextmanager
    def settles_blocked(self) -> Iterator[None]:
        """Inside the block one settle is half done: its rows are updated, its log waits for us.

        To be entered when a run has begun to send: its first statements need the log as well.
        """
        with self._locked("tracking_delivery_attempts", "share"):
            wait_until(self.settles_under_way)
            yield

    def settles_under_way(self) -> int:
        """How many settles wait for a lock."""
        return self._workers("wait_event_type = 'Lock' and query ~ 'recordset'")

    @contextmanager
    def claims_blocked(self) -> Iterator[None]:
        """Inside the block a claim waits: it alone reads the leads."""
        with self._locked("leads", "access exclusive"):
            wait_until(lambda: self._workers("wait_event_type = 'Lock' and query ~ 'skip locked'"))
            yield

    @contextmanager
    def _locked(self, table: str, mode: str) -> Iterator[None]:
        with self._transaction() as blocker:
            blocker.execute(f"lock table {table} in {mode} mode".encode())
            yield

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        info = self.connection.info
        parameters: dict[str, Any] = {**info.get_parameters(), "password": info.password}
        with psycopg.connect(**parameters) as blocker:
            yield blocker
            blocker.rollback()

    @contextmanager
    def row_locked(self, added: Added, table: str = "tracking_failed_events") -> Iterator[None]:
        """Inside the block somebody has the row locked: a transaction left open in psql."""
        with self._transaction() as blocker:
            query = f"select from {table} where id = %s for update"
            blocker.execute(query.encode(), (added.id,))
            yield

    def has_workers(self) -> bool:
        """Whether the pipeline is still connected to this database."""
        return self._workers("true") > 0

    def _workers(self, condition: str) -> int:
        return int(
            self.one(
                "select count(*) from pg_stat_activity where datname = current_database()"
                f" and application_name = 'tracking_pipeline' and {condition}"
            )
        )

    def read(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), arguments or None).fetchall()

    def one(self, query: str, *arguments: Any) -> Any:
        """The single value of a query."""
        (row,) = self.read(query, *arguments)
        (value,) = row.values()
        return value


def sent_as(rows: Sequence[Added]) -> set[str]:
    """The ids under which a destination knows these events."""
    return {row.sent_as for row in rows}
